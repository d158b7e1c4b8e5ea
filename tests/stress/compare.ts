import type { GenerateEvent, TokenLogprobs } from '../../src/engine/types.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import type { Asked } from './random-round.ts';

/** Result of a request. */
export interface Answered {
  tokens: number[];
  logprobs: (TokenLogprobs | undefined)[];
  text: string;
  end?: Extract<GenerateEvent, { type: 'end' }>;
  error?: unknown;
  /** It diverged from the answer alone at two equally likely tokens. */
  isTie?: boolean;
}

/** The outcome in one word. */
export const outcomeOf = ({ end, error, isTie }: Answered): string =>
  error ? codeOf(error) : isTie ? 'tie' : end ? 'whole' : 'left';

/**
 * Largest difference of log-probabilities between a text computed alone and next to others: other kernels sum in another
 * order. In quantized pages, values midway between two codes can round either way.
 */
const TOLERANCE = { dense: 0.02, q8: 0.1, q4: 0.3, q3: 0.4, k3v2: 0.5, sparse: 0.5, policy: 0.5 };
const SHADOW_TOLERANCE = 0.1;
const EMBEDDING_TOLERANCE = 1e-3;

/** Faults of an answer, compared with `want`, the complete answer computed alone. */
export function faultsOf({ options, reader }: Asked, got: Answered, want: Answered, tokenizer: Tokenizer): string[] {
  const fault = (text: string): string[] => [`${text}; ${JSON.stringify({ options, reader })}`];
  if (want.error && !(want.error instanceof ChunkwiseError)) return fault(`alone it threw ${describe(want.error)}`);
  const expected = [
    codeOf(want.error),
    ...(reader.does.startsWith('abort') ? ['aborted'] : []),
    ...(reader.does === 'stay away' ? ['abandoned'] : []),
  ];
  const code = codeOf(got.error);
  const isWhole = got.end !== undefined;
  if (got.error ? !expected.includes(code) : isWhole && want.error)
    return fault(`threw ${describe(got.error)}, alone ${describe(want.error)}`);
  const tolerance = TOLERANCE[options.kv ?? 'dense'];
  const parting = got.tokens.findIndex((token, i) => token !== want.tokens[i]);
  const same = parting < 0 ? got.tokens.length : parting;
  for (let i = 0; i < same; i++) {
    const [a, b] = [got.logprobs[i]?.logprob, want.logprobs[i]?.logprob];
    if (a !== undefined && b !== undefined && !(Math.abs(a - b) <= tolerance))
      return fault(`token ${i} had log-probability ${a}, alone ${b}`);
  }
  if (parting >= 0) {
    const scores = scoresOf(options, want, parting, tokenizer);
    // The answers diverge at two tokens of almost equal likelihood.
    if (Math.abs(scores(got.tokens[parting]) - scores(want.tokens[parting])) <= tolerance) {
      got.isTie = true;
      return [];
    }
    const chances = want.logprobs[parting]?.top
      .slice(0, 5)
      .map(({ token, logprob }) => `${JSON.stringify(token)} ${logprob.toFixed(2)}`);
    return fault(`answered ${got.tokens.join()}, alone ${want.tokens.join()}, where they part ${chances?.join(', ')}`);
  }
  if (!got.end || !want.end) return [];
  if (
    got.text !== want.text ||
    got.end.finishReason !== want.end.finishReason ||
    got.tokens.length !== want.tokens.length
  ) {
    return fault(
      `ended ${got.end.finishReason} ${JSON.stringify(got.text)}, alone ${want.end.finishReason} ${JSON.stringify(want.text)}`,
    );
  }
  const [shadows, shadowsAlone = []] = [got.end.report.kv.shadowErrors, want.end.report.kv.shadowErrors];
  if (shadows?.some((error, layer) => !(Math.abs(error - (shadowsAlone[layer] ?? NaN)) <= SHADOW_TOLERANCE))) {
    return fault(`the shadows' errors are ${shadows.join()}, alone ${shadowsAlone.join()}`);
  }
  return [];
}

export const embeddingFaults = (got: readonly Float32Array[], want: readonly Float32Array[]): string[] =>
  want.flatMap((vector, i) => {
    const difference = Math.max(...vector.map((value, at) => Math.abs(value - (got[i]?.[at] ?? NaN))));
    return difference <= EMBEDDING_TOLERANCE ? [] : [`embedding ${i} is ${difference} from what it is alone`];
  });

/** Returns the log-probability of a token at position `at` of the answer `want`, with bias and penalties; NaN if unknown. */
function scoresOf(
  { sampling }: Asked['options'],
  want: Answered,
  at: number,
  tokenizer: Tokenizer,
): (token: number | undefined) => number {
  const before = want.tokens.slice(0, at);
  return (token) => {
    if (token === undefined) return NaN;
    const bytes = String(tokenizer.tokenBytes(token));
    const raw = want.logprobs[at]?.top.find((chance) => String(chance.bytes) === bytes)?.logprob ?? NaN;
    const uses = before.filter((other) => other === token).length;
    return (
      raw +
      (sampling.logitBias.get(token) ?? 0) -
      (uses > 0 ? sampling.presencePenalty : 0) -
      uses * sampling.frequencyPenalty
    );
  };
}

const codeOf = (error: unknown): string => (error instanceof ChunkwiseError ? error.code : error ? 'untyped' : 'none');
const describe = (error: unknown): string => (error instanceof Error ? `${codeOf(error)} ${error.message}` : 'nothing');
