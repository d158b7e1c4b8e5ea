import { UNADAPTED } from '../engine/adapters.ts';
import { type SampledToken, greedy } from '../session/sampling/sampler.ts';
import type { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';

/** Arbitrary token ids, for work that does not depend on them. */
export const anyTokens = (session: Session, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7919 + 13) % session.plan.config.vocabSize);

/** Prefills `tokens` after the sequence's cached ones, and samples the next token. */
export async function prefillAndSample(
  session: Session,
  sequence: Sequence,
  tokens: readonly number[],
  adaptation = UNADAPTED,
  signal?: AbortSignal,
): Promise<SampledToken> {
  let sampled: Promise<SampledToken> | undefined;
  const held = sequence.tokens.length;
  const text = await adaptation.begin([...sequence.tokens, ...tokens], held);
  sequence.attach(text);
  await session.prefill(
    sequence,
    tokens,
    (start, length) => {
      if (start + length < tokens.length) return;
      if (text.follow) session.samples.levels.begin(sequence.slot, text.follow.start);
      sampled = session.batches.sample(length, greedy(sequence, held + tokens.length));
    },
    signal,
  );
  if (!sampled) throw new Error('nothing to prefill');
  return sampled;
}

/**
 * Fills a sequence with `tokens` without computing them, batch by batch. Its keys and values are the finite old contents of
 * its pages, which cost the same to read.
 */
export async function fill(session: Session, sequence: Sequence, tokens: readonly number[]): Promise<void> {
  const { batchTokens } = session.plan;
  while (sequence.tokens.length < tokens.length) {
    const from = sequence.tokens.length;
    const batch = tokens.slice(from, from + batchTokens);
    const to = from + batch.length;
    await session.recorder.inOneGo(() => session.pageChanges.settle(sequence, from, to));
    session.sequences.reserve(sequence, to);
    session.sequences.advance(sequence, from, to);
    sequence.tokens.push(...batch);
  }
}

/** Closes a sequence and releases its pages. */
export function endSequence(session: Session, sequence: Sequence): void {
  sequence.text?.close();
  session.release(sequence);
}
