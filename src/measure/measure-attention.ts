import { type KvOptions, policyOf } from '../cache/kv-options.ts';
import { partialFloats } from '../kernels/attention.ts';
import { UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { anyTokens, fill } from './decode-run.ts';
import { stepCalls } from './measure.ts';
import { type Call, timeCalls } from './time-calls.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import { quantile } from '../config/quantile.ts';

export interface AttentionTiming extends KvOptions {
  /** Tokens attended to, the batch's included. */
  context: number;
  /** Of the batch: one, as in decoding, or as many as a prefill computes at once. */
  tokens: number;
  /** Of one layer: attention and the merge of its splits. */
  msPerToken: { median: number; p95: number };
  dispatchesPerToken: number;
  /** Of one layer's pages: what the batch has to read of the cache at least. */
  bytes: number;
  gbPerSecond: number;
  /** What the splits leave for the merge. */
  scratchBytes: number;
}

/** Times attention of one layer over `context` tokens whose pages lie as `kv` has them: for one token, and for a batch. */
export async function measureAttention(session: Session, context: number, kv: KvOptions): Promise<AttentionTiming[]> {
  const { config } = session.plan;
  const sequence = new Sequence(undefined, 0, policyOf(kv));
  try {
    await fillInForms(session, sequence, context);
    const bytes = sequence.pages.reduce((sum, { layers }) => sum + (layers[0]?.place.units ?? 0) * UNIT_BYTES, 0);
    const timings: AttentionTiming[] = [];
    for (const tokens of [1, Math.min(session.transformer.batchTokens, context)]) {
      const { attend, merge } = ofFirstLayer(stepCalls(session, sequence, context - tokens, tokens));
      const calls = merge ? [attend, merge] : [attend];
      const times = (await timeCalls(session, calls, tokens === 1 ? 20 : 2)).map((ms) => ms / tokens);
      const msPerToken = { median: quantile(times, 0.5), p95: quantile(times, 0.95) };
      timings.push({
        ...kv,
        ...{ context, tokens, msPerToken },
        dispatchesPerToken: calls.length / tokens,
        bytes,
        gbPerSecond: bytes / (msPerToken.median * tokens) / 1e6,
        scratchBytes: (merge?.params['splits'] ?? 0) * tokens * config.numHeads * partialFloats(config.headDim) * 4,
      });
    }
    return timings;
  } finally {
    session.release(sequence);
  }
}

/** Attention and, where it leaves splits, their merge. */
function ofFirstLayer(calls: readonly Call[]): { attend: Call; merge?: Call | undefined } {
  const nameOf = (call?: Call): string => call?.operation.pipeline.kernel.name ?? '';
  const [attend, next] = calls.filter((call) => nameOf(call).startsWith('attention')) as [Call, Call?];
  return { attend, merge: nameOf(next).startsWith('attention-merge') ? next : undefined };
}

/** Gives `sequence` pages for `context` tokens in the forms of its policy. */
async function fillInForms(session: Session, sequence: Sequence, context: number): Promise<void> {
  const tokens = anyTokens(session, context);
  // Which forms a policy chooses by its trials follows from what is in the pages. Where all get one, it does not matter.
  if (sequence.policy.choose) {
    await session.prefill(sequence, tokens, () => undefined);
    return;
  }
  await fill(session, sequence, tokens);
  await session.recorder.inOneGo(() => session.trials.settle(sequence, context, context));
}
