import { describe, expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { Loop } from '../../src/engine/loop.ts';
import type { SampledToken, SampleRequest, StepResult } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';
import { expectError } from '../support/expect-error.ts';

const COST = { dispatchesPerToken: 1, dispatchesPerLayer: 1 };
const MASK = new Uint32Array([5]);

/** Runs all pending promise callbacks. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A loop over a session that computes nothing: `batches` are the slots of submitted steps, `finish` ends the oldest. */
function loopUnderTest() {
  const batches: number[][] = [];
  const masks: (Uint32Array | undefined)[] = [];
  const running: (() => void)[] = [];
  const session = {
    stepsAhead: { arrived: () => undefined },
    batches: {
      decode(samples: readonly SampleRequest[]): Promise<StepResult[]> {
        batches.push(samples.map(({ sequence }) => sequence.slot));
        const results = samples.map(({ position, allowedLater }) =>
          allowedLater ? COST : { ...COST, token: position, entropy: undefined },
        );
        return new Promise((resolve) => running.push(() => resolve(results)));
      },
      heldStepOf: async () => undefined,
      async sampleHeld({ position, allowed }: SampleRequest): Promise<SampledToken> {
        masks.push(allowed);
        return { ...COST, token: position, entropy: undefined };
      },
    },
  };
  const finish = async (): Promise<void> => {
    running.shift()?.();
    await settle();
  };
  return { loop: new Loop(session as unknown as Session), batches, masks, finish };
}

const sample = (sequence: Sequence, position: number): SampleRequest => ({
  sequence,
  sampling: GREEDY,
  position,
  wantsEntropy: false,
});
const [a, b] = [new Sequence(undefined, 0), new Sequence(undefined, 1)] as const;

describe('a batch', () => {
  test('waits while another batch is in flight until every sequence has requested a step', async () => {
    const { loop, batches, finish } = loopUnderTest();
    const first = loop.ask(sample(a, 7));
    void loop.ask(sample(b, 1)); // `a` has requested no further step
    expect(batches).toEqual([[0]]);
    void loop.ask(sample(a, 8));
    expect(batches).toEqual([[0], [0, 1]]);
    await finish();
    expect((await first).token).toBe(7);
  });

  test('runs without a slow sequence once no batch is in flight', async () => {
    const { loop, batches, finish } = loopUnderTest();
    void loop.ask(sample(a, 1));
    void loop.ask(sample(b, 1));
    await finish(); // the reader of `a` requests nothing more
    expect(batches).toEqual([[0], [1]]);
    void loop.ask(sample(b, 2));
    expect(batches).toEqual([[0], [1], [1]]);
    void loop.ask(sample(a, 2));
    expect(batches).toHaveLength(3); // the batch waits for `b`
    void loop.ask(sample(b, 3));
    expect(batches.at(-1)).toEqual([0, 1]);
  });

  test('does not wait for a sequence that has left; its steps are dropped', async () => {
    const { loop, batches } = loopUnderTest();
    void loop.ask(sample(a, 1));
    const dropped = loop.ask(sample(b, 1));
    loop.leave(b);
    await expectError(() => dropped, 'aborted', {});
    void loop.ask(sample(a, 2));
    expect(batches).toEqual([[0], [0]]);
  });
});

describe('a step whose mask is not known yet', () => {
  test('is computed at once and sampled when the mask is known; the next step waits for the sample', async () => {
    const { loop, batches, masks, finish } = loopUnderTest();
    let tell: (mask: typeof MASK) => void = () => undefined;
    const allowedLater = new Promise<typeof MASK>((resolve) => (tell = resolve));
    const held = loop.ask({ ...sample(a, 3), allowedLater });
    void loop.ask(sample(a, 4));
    await finish();
    expect([batches, masks]).toEqual([[[0]], []]);
    tell(MASK);
    expect(await held).toMatchObject({ token: 3, dispatchesPerToken: 2 });
    expect([batches, masks]).toEqual([[[0], [0]], [MASK]]);
  });

  test('is discarded if no token is allowed', async () => {
    const { loop, finish } = loopUnderTest();
    const held = loop.ask({ ...sample(a, 3), allowedLater: Promise.resolve(undefined) });
    const refused = expectError(() => held, 'aborted', {});
    await finish();
    await refused;
  });
});
