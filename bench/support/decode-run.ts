import { DENSE } from '../../src/cache/policy.ts';
import { anyTokens, prefillAndSample, endSequence } from '../../src/measure/steps.ts';
import type { DecodeOptions } from '../../cli/measure/timings.ts';
import { type SampledToken, greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';

/** A decode run in pieces of a few steps, so that several runs can be timed in turn. */
export class DecodeRun {
  #tokens: number;

  private constructor(
    private readonly session: Session,
    private readonly sequence: Sequence,
    private sampled: SampledToken,
  ) {
    this.#tokens = sequence.tokens.length;
  }

  /** Starts a run after `context` tokens in a sequence slot. */
  static async open(session: Session, context: number, slot: number, options: DecodeOptions = {}): Promise<DecodeRun> {
    const { policy = DENSE, text = anyTokens(session, context) } = options;
    const sequence = new Sequence(undefined, slot, policy);
    return new DecodeRun(session, sequence, await prefillAndSample(session, sequence, text.slice(0, context)));
  }

  /** Milliseconds per step over `steps` steps, each submitted before the previous result is read. */
  async time(steps: number): Promise<number> {
    const { session, sequence } = this;
    const next = (): Promise<SampledToken> => {
      const asked = session.batches
        .decode([greedy(sequence, ++this.#tokens)])
        .then(([sampled]) => (this.sampled = sampled as SampledToken));
      asked.catch(() => undefined); // after a failure, later steps are not awaited
      sequence.tokens.push(this.sampled.token); // as in chat, the token counts as cached once its step is submitted
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
    endSequence(this.session, this.sequence);
  }
}
