import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { type Adaptation, UNADAPTED } from './adaptation.ts';
import { logSumExp } from './divergence.ts';
import { attach, newSequence } from './sequence.ts';
import type { Session } from './session.ts';

/**
 * Logits of every position of `tokens`, batch by batch: `[length, vocabSize]` from position `start` on. Nothing else may
 * run meanwhile (see `LocalEngine.alone`). Gives the mean rank read of the adapters, as the GPU counted.
 */
export async function eachLogits(
  session: Session,
  tokens: readonly number[],
  visit: (start: number, length: number, logits: Float32Array) => void,
  adaptation: Adaptation = UNADAPTED,
  policy: CachePolicy = DENSE,
): Promise<number> {
  const text = await adaptation.begin(tokens, 0);
  const sequence = { ...newSequence(), policy };
  attach(sequence, text);
  session.ranks.reset(sequence);
  try {
    const onBatch = async (start: number, length: number): Promise<void> => {
      visit(start, length, await session.logits(0, length));
    };
    await session.prefill(sequence, tokens, onBatch);
    return await session.ranks.read(sequence);
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
  return (await score(session, tokens, adaptation)).nlls;
}

async function score(session: Session, tokens: readonly number[], adaptation?: Adaptation, policy?: CachePolicy) {
  const nlls: number[] = [];
  const visit = (start: number, length: number, logits: Float32Array): void => {
    const width = logits.length / length;
    for (let i = 0; i < length; i++) {
      const next = tokens[start + i + 1];
      if (next !== undefined) nlls.push(negativeLogLikelihood(logits.subarray(i * width, (i + 1) * width), next));
    }
  };
  const meanRank = await eachLogits(session, tokens, visit, adaptation, policy);
  return { nlls, meanRank };
}

const negativeLogLikelihood = (logits: Float32Array, token: number): number =>
  logSumExp(logits) - (logits[token] as number);

export interface PerplexityWindow {
  /** Tokens of a window, BOS included where the tokenizer adds one. */
  context: number;
  /** First token taken, and how many at most. */
  start: number;
  maxTokens: number;
  /** Put before each window. */
  bosId: number | undefined;
  adaptation?: Adaptation;
  /** Of the cache. */
  policy?: CachePolicy;
}

/**
 * Perplexity over consecutive windows: every token after a window's first is scored; exp of their mean negative
 * log-likelihood. `tokens`: the scored tokens; 0 when there were too few to score any. `meanRank`: as the GPU counted.
 */
export async function perplexity(
  session: Session,
  text: readonly number[],
  { context, start, maxTokens, bosId, adaptation, policy }: PerplexityWindow,
): Promise<{ perplexity: number; nll: number; tokens: number; meanRank: number }> {
  const taken = text.slice(start, start + maxTokens);
  const bos = bosId === undefined ? [] : [bosId];
  const step = context - bos.length;
  let sum = 0;
  let count = 0;
  let ranks = 0;
  let computed = 0;
  for (let at = 0; at < taken.length; at += step) {
    const tokens = [...bos, ...taken.slice(at, at + step)];
    const { nlls, meanRank } = await score(session, tokens, adaptation, policy);
    sum += nlls.reduce((total, nll) => total + nll, 0);
    count += nlls.length;
    ranks += meanRank * tokens.length;
    computed += tokens.length;
  }
  const nll = count === 0 ? 0 : sum / count;
  return { perplexity: Math.exp(nll), nll, tokens: count, meanRank: ranks / Math.max(1, computed) };
}
