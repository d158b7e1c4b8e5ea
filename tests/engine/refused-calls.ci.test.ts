import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { FAILING_CALLS, failingGpu, type FailingCall, type Failures } from '../support/gpu/failing-gpu.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const bytes = tinyModel({
  architecture: 'llama',
  type: 'Q4_0',
  seed: 61,
  numLayers: 2,
  contextLength: 512,
  neverEnds: true,
});
const SENTENCE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';

type Ask = Partial<GenerateOptions> & { prompt: string };

const PREFILL: Ask = { prompt: SENTENCE.repeat(3), maxTokens: 2 };
const DECODE: Ask = { prompt: 'Winds', maxTokens: 80 };
const POLICY: Ask = { prompt: SENTENCE.repeat(4), maxTokens: 40, kv: 'policy' };
const ADAPTED: Ask = { prompt: 'The wind blows.', maxTokens: 6, adapters: [{ name: 'poet', scale: 1 }] };

/** The request after the refused one. */
const AFTER: Ask = { prompt: 'And the ninth?', maxTokens: 6 };

/** Tokens of an answer, and its error, if any. */
async function tokensOf(
  engine: LocalEngine,
  { prompt, ...options }: Ask,
): Promise<{ tokens: number[]; error?: unknown }> {
  const tokens: number[] = [];
  try {
    for await (const event of engine.complete(prompt, { sampling: GREEDY, stop: [], ...options })) {
      if (event.type === 'token') tokens.push(event.token);
    }
    return { tokens };
  } catch (error) {
    return { tokens, error };
  }
}

/** Indices of the calls to fail among `count` calls: the first, the middle and the last. */
const placesOf = (count: number): number[] => [...new Set(count === 0 ? [] : [0, Math.floor(count / 2), count - 1])];

const STEPS = {
  prefill: { ask: PREFILL, before: async () => undefined },
  decode: { ask: DECODE, before: async () => undefined },
  policy: { ask: POLICY, before: async () => undefined },
  'loading an adapter': { ask: ADAPTED, before: load },
  'using an adapter': { ask: ADAPTED, before: async () => undefined },
} as const;

async function load(engine: LocalEngine): Promise<void> {
  const { config } = (await engine.session()).plan;
  await engine.loadAdapter('poet', peftSource(tinyAdapter(config, { seed: 3, gain: 2 })));
}

/** Clears the prefix cache and the adapters of a session. */
async function fresh(engine: LocalEngine): Promise<void> {
  const { device } = await engine.session();
  device.gpuDevice.destroy();
  await device.gpuDevice.lost;
  if (engine.adapters().length > 0) engine.unloadAdapter('poet');
  await engine.session();
}

/** Runs a step with one call refused; returns the outcome. */
async function refused(
  engine: LocalEngine,
  step: keyof typeof STEPS,
  failures: Failures,
  [call, at]: [FailingCall, number],
) {
  const { ask, before } = STEPS[step];
  await fresh(engine);
  if (step === 'using an adapter') await load(engine);
  failures.arm(call, at);
  try {
    await before(engine);
  } catch (error) {
    return { tokens: [], error };
  }
  return tokensOf(engine, ask);
}

test.each(Object.keys(STEPS) as (keyof typeof STEPS)[])(
  '%s: a call that the device refuses fails only its own request',
  async (step) => {
    const { gpu, failures } = failingGpu();
    const engine = await engineUnderTest(bytes, { gpu });
    const { tokens: expected, error } = await refused(engine, step, failures, ['submit', -1]);
    expect(error).toBeUndefined();
    const after = { ...AFTER, adapters: STEPS[step].ask.adapters ?? [] };
    const counts = { ...failures.counts };
    const { tokens: expectedAfter } = await tokensOf(engine, after);
    const cases = FAILING_CALLS.flatMap((call) =>
      placesOf(counts[call]).map((at): [FailingCall, number] => [call, at]),
    );
    expect(cases.length).toBeGreaterThan(2);
    const wrong: unknown[] = [];
    for (const each of cases) {
      const outcome = await refused(engine, step, failures, each);
      const isFailed = failures.failed();
      failures.arm('submit', -1);
      const isTyped =
        outcome.error === undefined ||
        (outcome.error instanceof ChunkwiseError &&
          ['device_lost', 'over_limit', 'kernel_refused'].includes(outcome.error.code));
      // The tokens are a prefix of the expected answer; without an error they are the whole answer.
      const isRight =
        outcome.tokens.every((token, i) => token === expected[i]) &&
        (outcome.error !== undefined || outcome.tokens.length === expected.length);
      if (STEPS[step].ask === ADAPTED && engine.adapters().length === 0) await load(engine);
      const next = await tokensOf(engine, after);
      const isNextRight = next.error === undefined && next.tokens.join() === expectedAfter.join();
      if (!isFailed || !isTyped || !isRight || !isNextRight)
        wrong.push({ each, isFailed, error: String(outcome.error), isRight, next: String(next.error), isNextRight });
    }
    expect(wrong).toEqual([]);
  },
);
