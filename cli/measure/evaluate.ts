import { type KvReport, kvReport } from '../../src/cache/kv-cache.ts';
import { type CachePolicy, DENSE } from '../../src/cache/policy.ts';
import type { MemoryReport } from '../../src/gpu/buffers.ts';
import { type Adaptation, UNADAPTED } from '../../src/engine/adapters.ts';
import { logSumExp } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';

/** Options of computing a text. */
export interface Computed {
  adaptation?: Adaptation | undefined;
  /** Policy of the KV cache. */
  policy?: CachePolicy | undefined;
  /** See `KvOptions.kvShadow`. */
  shadows?: boolean | undefined;
  /** Tokens between changes of page forms; default: all, in the device's batches. */
  piece?: number | undefined;
  /** First position whose logits are computed. */
  from?: number;
}

/**
 * Computes the logits of `tokens` from position `from` on and passes them to `visit`, batch by batch:
 * `[length, vocabSize]` from position `start` on. Nothing else may run meanwhile (see `LocalEngine.alone`). Returns the mean
 * adapter rank counted on the GPU, and the KV cache and memory reports at the end.
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
    const { pageChanges } = session;
    const kv = kvReport(sequence, pageChanges.isRefused(sequence.policy));
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

interface AnswerScores {
  /** Log-probability of each token, in nats. */
  logProbs: number[];
  /** Whether greedy decode would give these tokens. */
  isGreedy: boolean;
  kv: KvReport;
}

/** Scores the last `count` of `tokens` as an answer to those before. */
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
  /** Tokens of a window, including BOS if the tokenizer adds one. */
  context: number;
  /** First token, and most tokens. */
  start: number;
  maxTokens: number;
  /** Prepended to each window. */
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
 * Perplexity over consecutive windows: exp of the mean negative log-likelihood of every token after a window's first.
 * `nlls`: the negative log-likelihoods. `tokens`: scored tokens; 0 if the text is too short. `meanRank`: counted on the GPU.
 * `kv`, `memory`: reports at the end of the last window. `memoryPeak`: report at the memory peak.
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

export interface Divergence {
  /** KL(p ‖ q) of the next token's distributions at each position, in nats. */
  kl: number[];
  /** Entropy of p over ln(vocabSize), at each position. */
  entropy: number[];
}

/** Compares two adaptations' next-token distributions over a text. Nothing else may run meanwhile (`LocalEngine.alone`). */
export async function divergence(
  session: Session,
  tokens: readonly number[],
  p: Adaptation,
  q: Adaptation,
  policy?: CachePolicy,
): Promise<Divergence> {
  const result: Divergence = { kl: [], entropy: [] };
  const texts = [await p.begin(tokens, 0), await q.begin(tokens, 0)];
  const sequences = texts.map((text, slot) => {
    const sequence = new Sequence(undefined, slot, policy);
    sequence.attach(text);
    return sequence;
  });
  try {
    const step = session.transformer.batchTokens;
    for (let start = 0; start < tokens.length; start += step) {
      const piece = tokens.slice(start, start + step);
      const [ofP, ofQ] = [await logitsOf(session, sequences[0], piece), await logitsOf(session, sequences[1], piece)];
      const width = ofP.length / piece.length;
      for (let i = 0; i < piece.length; i++) {
        const row = (logits: Float32Array): Float32Array => logits.subarray(i * width, (i + 1) * width);
        const { kl, entropy } = divergenceOf(row(ofP), row(ofQ));
        result.kl.push(kl);
        result.entropy.push(entropy / Math.log(width));
      }
    }
    return result;
  } finally {
    for (const sequence of sequences) session.release(sequence);
    for (const text of texts) text.close();
  }
}

async function logitsOf(
  session: Session,
  sequence: Sequence | undefined,
  piece: readonly number[],
): Promise<Float32Array> {
  if (!sequence) throw new Error('no sequence');
  let logits = new Float32Array();
  await session.prefill(sequence, piece, async (_start, length) => {
    logits = new Float32Array(await session.logits(0, length));
  });
  return logits;
}

/** KL(p ‖ q) and the entropy of p, in nats, from logits. */
export function divergenceOf(p: Float32Array, q: Float32Array): { kl: number; entropy: number } {
  const [logSumP, logSumQ] = [logSumExp(p), logSumExp(q)];
  let kl = 0;
  let entropy = 0;
  for (let i = 0; i < p.length; i++) {
    const logP = (p[i] as number) - logSumP;
    const share = Math.exp(logP);
    kl += share * (logP - ((q[i] as number) - logSumQ));
    entropy -= share * logP;
  }
  return { kl, entropy };
}
