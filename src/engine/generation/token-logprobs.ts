import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { logSumExp } from '../../session/sampling/log-sum-exp.ts';
import type { TokenChance, TokenLogprobs } from '../types.ts';

/** What the model's logits say of the token drawn, and of the `count` likeliest; of equals the lower id comes first. */
export function tokenLogprobs(tokenizer: Tokenizer, logits: Float32Array, drawn: number, count: number): TokenLogprobs {
  const total = logSumExp(logits);
  const chance = (id: number): TokenChance => ({
    token: tokenizer.tokenText(id),
    bytes: [...tokenizer.tokenBytes(id)],
    logprob: (logits[id] ?? NaN) - total,
  });
  return { ...chance(drawn), top: likeliest(logits, Math.min(count, tokenizer.vocabSize)).map(chance) };
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
