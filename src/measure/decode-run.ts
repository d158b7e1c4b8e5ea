import { type CachePolicy, DENSE } from '../cache/policy.ts';
import { UNADAPTED } from '../engine/adaptation.ts';
import type { DrawnToken } from '../session/sampling/draw-request.ts';
import { greedy } from '../session/sampling/greedy-draw.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';

/** Any text, for work that does not depend on it. */
export const anyTokens = (session: Session, count: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7919 + 13) % session.plan.config.vocabSize);

export interface DecodeOptions {
  /** Of the cache; default: dense. */
  policy?: CachePolicy;
  /** What is in the cache, from the beginning on; default: any. A policy looks at it. */
  text?: readonly number[];
}

/** A text that is gone on with a few steps at a time, so that several can be timed in turn. */
export class DecodeRun {
  #tokens: number;

  private constructor(
    private readonly session: Session,
    private readonly sequence: Sequence,
    private drawn: DrawnToken,
  ) {
    this.#tokens = sequence.tokens.length;
  }

  /** After `context` tokens, in a stream slot of its own. */
  static async open(session: Session, context: number, slot: number, options: DecodeOptions = {}): Promise<DecodeRun> {
    const { policy = DENSE, text = anyTokens(session, context) } = options;
    const sequence = new Sequence(undefined, slot, policy);
    return new DecodeRun(session, sequence, await prefillAndDraw(session, sequence, text.slice(0, context)));
  }

  /** Milliseconds a step, over `steps` of them, each asked for before the one before is read. */
  async time(steps: number): Promise<number> {
    const { session, sequence } = this;
    const next = (): Promise<DrawnToken> => {
      const asked = session
        .decode([greedy(sequence, ++this.#tokens)])
        .then(([drawn]) => (this.drawn = drawn as DrawnToken));
      asked.catch(() => undefined); // where one fails, nobody waits for the one behind it
      sequence.tokens.push(this.drawn.token); // as in a chat, it counts as cached once its step is asked for
      return asked;
    };
    const began = performance.now();
    let pending = next();
    for (let step = 1; step < steps; step++) {
      const current = pending;
      pending = next();
      await current;
    }
    await pending;
    return (performance.now() - began) / steps;
  }

  close(): void {
    end(this.session, this.sequence);
  }
}

/** Prefills `tokens` behind those that `sequence` holds, and draws the next one. */
export async function prefillAndDraw(
  session: Session,
  sequence: Sequence,
  tokens: readonly number[],
  adaptation = UNADAPTED,
  signal?: AbortSignal,
): Promise<DrawnToken> {
  let drawn: Promise<DrawnToken> | undefined;
  const held = sequence.tokens.length;
  const text = await adaptation.begin([...sequence.tokens, ...tokens], held);
  sequence.attach(text);
  await session.prefill(
    sequence,
    tokens,
    (start, length) => {
      if (start + length < tokens.length) return;
      if (text.follow) session.draws.levels.begin(sequence.slot, text.follow.start);
      drawn = session.sample(length, greedy(sequence, held + tokens.length));
    },
    signal,
  );
  if (!drawn) throw new Error('nothing to prefill');
  return drawn;
}

/**
 * Makes `tokens` the text of `sequence` without computing them, batch by batch as if they were: its keys and values are what
 * was in its pages, finite, and read as any others are.
 */
export async function fill(session: Session, sequence: Sequence, tokens: readonly number[]): Promise<void> {
  const { batchTokens } = session.plan;
  while (sequence.tokens.length < tokens.length) {
    const from = sequence.tokens.length;
    const batch = tokens.slice(from, from + batchTokens);
    const to = from + batch.length;
    await session.recorder.inOneGo(() => session.trials.settle(sequence, from, to));
    session.sequences.reserve(sequence, to);
    session.sequences.advance(sequence, from, to);
    sequence.tokens.push(...batch);
  }
}

export function end(session: Session, sequence: Sequence): void {
  sequence.text?.close();
  session.release(sequence);
}
