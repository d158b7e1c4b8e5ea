import type { CachePolicy } from '../cache/policy.ts';
import type { Adaptation } from '../engine/adaptation.ts';
import { Sequence } from '../session/sequence.ts';
import { logSumExp } from '../session/sampling/log-sum-exp.ts';
import type { Session } from '../session/session.ts';

export interface Divergence {
  /** Of each position: KL(p ‖ q) of the next token's distributions, in nats. */
  kl: number[];
  /** Of p, over ln vocabSize. */
  entropy: number[];
}

/** Compares what two adaptations say of a text's next tokens. Nothing else may run meanwhile (`LocalEngine.alone`). */
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

/** KL(p ‖ q), and the entropy of p, in nats. */
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
