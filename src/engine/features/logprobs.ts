import { logSumExp, type SampleRequest } from '../../session/sampling/sampler.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { TokenChance, TokenLogprobs } from '../types.ts';
import type { AnswerToken, Feature, TokenEvent } from './feature.ts';

/** Tells the log-probability of each token, and of the `count` likeliest ones. */
export class LogprobsFeature implements Feature {
  readonly forbidsDrafts = true;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly count: number,
  ) {}

  beforeSample(sample: SampleRequest): void {
    sample.wantsLogits = true;
  }

  onToken({ token, logits }: AnswerToken, isEnd: boolean): Partial<TokenEvent> {
    return logits && !isEnd ? { logprobs: tokenLogprobs(this.tokenizer, logits, token, this.count) } : {};
  }
}

/** The log-probability of the sampled token and of the `count` likeliest by the model's logits; of equals the lower id comes first. */
function tokenLogprobs(tokenizer: Tokenizer, logits: Float32Array, sampled: number, count: number): TokenLogprobs {
  const total = logSumExp(logits);
  const chance = (id: number): TokenChance => ({
    token: tokenizer.tokenText(id),
    bytes: [...tokenizer.tokenBytes(id)],
    logprob: (logits[id] ?? NaN) - total,
  });
  return { ...chance(sampled), top: likeliest(logits, Math.min(count, tokenizer.vocabSize)).map(chance) };
}

function likeliest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < logits.length && count > 0; id++) {
    const last = ids[count - 1];
    if (last !== undefined && (logits[id] ?? 0) <= (logits[last] ?? 0)) continue;
    const at = ids.findIndex((other) => (logits[other] ?? 0) < (logits[id] ?? 0));
    ids.splice(at < 0 ? ids.length : at, 0, id);
    ids.length = Math.min(ids.length, count);
  }
  return ids;
}
