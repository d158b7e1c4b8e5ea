import { type KvReport, kvReport } from '../cache/kv-report.ts';
import { type CachePolicy, DENSE } from '../cache/policy.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import { type Adaptation, UNADAPTED } from '../engine/adaptation.ts';
import { logSumExp } from '../session/sampling/log-sum-exp.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';

/** How a text is computed. */
export interface Computed {
  adaptation?: Adaptation | undefined;
  /** Of the cache. */
  policy?: CachePolicy | undefined;
  /** See `KvOptions.kvShadow`. */
  shadows?: boolean | undefined;
  /** Tokens that are computed before pages may take other forms again; default: all of them, in batches as the device has them. */
  piece?: number | undefined;
  /** First position whose logits are wanted. */
  from?: number;
}

/**
 * Logits of every position of `tokens`, batch by batch: `[length, vocabSize]` from position `start` on; of positions
 * before `from` none are computed. Nothing else may run meanwhile (see `LocalEngine.alone`). Gives the mean rank read of
 * the adapters, as the GPU counted, and how the keys and values lie and what lives at the end, before they are released.
 */
export async function eachLogits(
  session: Session,
  tokens: readonly number[],
  visit: (start: number, length: number, logits: Float32Array) => void,
  { adaptation = UNADAPTED, policy = DENSE, shadows = false, piece = tokens.length, from = 0 }: Computed = {},
): Promise<{ meanRank: number; kv: KvReport; memory: MemoryReport }> {
  const text = await adaptation.begin(tokens, 0);
  const sequence = new Sequence(undefined, 0, policy);
  sequence.shadows = shadows;
  sequence.attach(text);
  session.ranks.reset(sequence);
  try {
    for (let done = 0; done < tokens.length; done += piece) {
      const onBatch = async (at: number, length: number): Promise<void> => {
        const start = done + at;
        const skipped = Math.max(0, from - start);
        const wanted = length - skipped;
        if (wanted > 0) visit(start + skipped, wanted, await session.logits(skipped, wanted));
      };
      await session.prefill(sequence, tokens.slice(done, done + piece), onBatch);
    }
    const meanRank = await session.ranks.read(sequence);
    const kv = kvReport(sequence, session.trials.isRefused(sequence.policy));
    const memory = session.device.buffers.report();
    return { meanRank, kv: shadows ? { ...kv, shadowErrors: await session.shadow.errors(sequence) } : kv, memory };
  } finally {
    session.release(sequence);
    text.close();
  }
}

/** −log p of each token after the first of `tokens`, in nats. */
export async function negativeLogLikelihoods(
  session: Session,
  tokens: readonly number[],
  adaptation?: Adaptation,
): Promise<number[]> {
  return (await score(session, tokens, { adaptation })).nlls;
}

export interface AnswerScores {
  /** Of each token, in nats. */
  logProbs: number[];
  /** Every token was the likeliest: decoding greedily would have given them. */
  isGreedy: boolean;
  kv: KvReport;
}

/** What a model makes of the last `count` of `tokens`, as an answer to those before. */
export async function scoreAnswer(
  session: Session,
  tokens: readonly number[],
  count: number,
  computed: Computed,
): Promise<AnswerScores> {
  const logProbs: number[] = [];
  let isGreedy = true;
  const visit = (start: number, length: number, logits: Float32Array): void => {
    const width = logits.length / length;
    for (let i = 0; i < length; i++) {
      const next = tokens[start + i + 1];
      if (next === undefined) continue;
      const row = logits.subarray(i * width, (i + 1) * width);
      logProbs.push(-negativeLogLikelihood(row, next));
      isGreedy &&= row.every((logit) => logit <= (row[next] as number));
    }
  };
  const { kv } = await eachLogits(session, tokens, visit, { ...computed, from: tokens.length - count - 1 });
  return { logProbs, isGreedy, kv };
}

async function score(session: Session, tokens: readonly number[], computed: Computed) {
  const nlls: number[] = [];
  const visit = (start: number, length: number, logits: Float32Array): void => {
    const width = logits.length / length;
    for (let i = 0; i < length; i++) {
      const next = tokens[start + i + 1];
      if (next !== undefined) nlls.push(negativeLogLikelihood(logits.subarray(i * width, (i + 1) * width), next));
    }
  };
  return { nlls, ...(await eachLogits(session, tokens, visit, computed)) };
}

const negativeLogLikelihood = (logits: Float32Array, token: number): number =>
  logSumExp(logits) - (logits[token] as number);

export interface PerplexityWindow extends Omit<Computed, 'from'> {
  /** Tokens of a window, BOS included where the tokenizer adds one. */
  context: number;
  /** First token taken, and how many at most. */
  start: number;
  maxTokens: number;
  /** Put before each window. */
  bosId: number | undefined;
}

export interface Perplexity {
  perplexity: number;
  nll: number;
  nlls: readonly number[];
  tokens: number;
  meanRank: number;
  kv: KvReport;
  memory: MemoryReport;
  memoryPeak: MemoryReport;
}

/**
 * Perplexity over consecutive windows: every token after a window's first is scored; exp of their mean negative
 * log-likelihood, each of which is in `nlls`. `tokens`: those scored; 0 when there were too few. `meanRank`: as the GPU
 * counted. `kv`, `memory`: how keys and values lie, and what lives, at the end of the last window. `memoryPeak`: what lived
 * when most did.
 */
export async function perplexity(
  session: Session,
  text: readonly number[],
  { context, start, maxTokens, bosId, ...computing }: PerplexityWindow,
): Promise<Perplexity> {
  const taken = text.slice(start, start + maxTokens);
  const bos = bosId === undefined ? [] : [bosId];
  const step = context - bos.length;
  const { buffers } = session.device;
  const nlls: number[] = [];
  let kv = kvReport(new Sequence(), false);
  let memory = buffers.report();
  let ranks = 0;
  let computed = 0;
  buffers.watchPeak();
  for (let at = 0; at < taken.length; at += step) {
    const tokens = [...bos, ...taken.slice(at, at + step)];
    const scored = await score(session, tokens, computing);
    for (const nll of scored.nlls) nlls.push(nll);
    ({ kv, memory } = scored);
    ranks += scored.meanRank * tokens.length;
    computed += tokens.length;
  }
  const nll = nlls.length === 0 ? 0 : nlls.reduce((total, each) => total + each, 0) / nlls.length;
  const meanRank = ranks / Math.max(1, computed);
  return { perplexity: Math.exp(nll), nll, nlls, tokens: nlls.length, meanRank, kv, memory, memoryPeak: buffers.peak };
}
