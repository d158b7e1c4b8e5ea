import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { autotune, type TuningCase, type TuningStore } from '../../src/gpu/autotuner.ts';
import { DECODE_CANDIDATES, kernelCandidates } from '../../src/models/kernel-candidates.ts';
import type { KernelText } from '../../src/gpu/kernel.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer } from '../support/answer.ts';
import { type EngineTestOptions, engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import type { Device, Variant } from '../../src/gpu/device.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { miscompiling } from '../support/gpu/miscompiling.ts';
import { MemoryTuning } from '../support/memory-tuning.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { restOnly } from '../support/tier.ts';
import { NMSE } from '../support/tolerances.ts';

/** Wide enough that its linears take measurable time. */
const bytes = tinyModel({
  architecture: 'llama',
  type: 'Q4_1',
  seed: 81,
  contextLength: 128,
  numLayers: 1,
  hiddenSize: 256,
  intermediateSize: 1024,
});

const EMPTY = '@compute @workgroup_size(WORKGROUP) fn main() {}';

/** With the wrong device class: barriers are slow on a software adapter, so that these variants are the wrong ones. */
const tuned = (tuning: TuningStore, options: EngineTestOptions = {}): Promise<LocalEngine> =>
  engineUnderTest(bytes, { deviceClass: 'gpu', tuning, ...options });

const variantOf = async (engine: LocalEngine) => (await engine.session()).device.variant;

const say = (engine: LocalEngine) => answer(engine.complete('Winds', { sampling: GREEDY, stop: [], maxTokens: 12 }));

test('times the variants of a device once, and stores the choice; an invalid stored choice is timed again', async () => {
  const tuning = new MemoryTuning();
  const first = await tuned(tuning);
  expect(tuning.made).toBe(4);
  expect(await variantOf(first)).toMatchObject(Object.assign({}, ...tuning.choices.values()) as object);
  expect([...tuning.choices.keys()]).toEqual([
    expect.stringMatching(/: linear-decode Q4_1 2048 × 256$/),
    expect.stringMatching(/: linear-prefill Q4_1 2048 × 256$/),
    expect.stringMatching(/: attention-decode \d+ \/ \d+ × \d+$/),
    expect.stringMatching(/: attention-prefill \d+ \/ \d+ × \d+$/),
  ]);
  const [decode = {}, prefill = {}] = [...tuning.choices.values()] as Partial<Variant>[];
  expect(DECODE_CANDIDATES).toContainEqual(decode);
  // Forms for software adapters are not timed, although this adapter is one.
  expect([decode.lanes, prefill.tileRows]).toEqual([32, expect.any(Number)]);
  expect(prefill.tileRows).not.toBe(0);
  for (const key of tuning.choices.keys()) expect(key.startsWith((await first.session()).device.name)).toBe(true);

  const counts = countGpu();
  const again = await tuned(tuning);
  expect(tuning.made).toBe(4);
  expect(await variantOf(again)).toEqual(await variantOf(first));
  // Stored values that are not among the candidates are timed again.
  const { dispatches } = counts;
  for (const [key, damaged] of [...tuning.choices.keys()].map(
    (key, i) => [key, [{ lanes: 7 }, 'x', null, 3][i]] as const,
  ))
    tuning.known.set(key, damaged);
  const anew = await variantOf(await tuned(tuning));
  expect(tuning.made).toBe(8);
  expect(counts.dispatches - dispatches).toBeGreaterThan(dispatches);
  expect(DECODE_CANDIDATES).toContainEqual([...tuning.choices.values()][0]);
  expect(anew).toMatchObject([...tuning.choices.values()][0] as object);
  // Buffers of the timing are freed, and the model computes the same.
  expect(again.memory()).toEqual(first.memory());
  expect((await say(again)).tokens).toEqual((await say(await engineUnderTest(bytes))).tokens);
});

restOnly(() =>
  test('loads a model without storage for choices', async () => {
    const full = { get: () => Promise.reject(new Error('no storage')), set: () => Promise.reject(new Error('full')) };
    expect((await say(await tuned(full))).tokens).toHaveLength(12);
  }),
);

restOnly(() =>
  test('on a software adapter nothing is timed unless requested', async () => {
    const tuning = new MemoryTuning();
    await engineUnderTest(bytes, { tuning });
    expect(tuning.made).toBe(0);
    await engineUnderTest(bytes, { tuning, autotunes: true });
    expect(tuning.made).toBe(3);
    await tuned(new MemoryTuning(), { autotunes: false }).then(async (engine) =>
      expect(await variantOf(engine)).toMatchObject({ lanes: 32 }),
    );
  }),
);

restOnly(() =>
  test('inputs are rounded to 8 bits only where speed is preferred, and only if that computes right', async () => {
    const FAST = { prefillWorkgroup: 256, tileRows: 64, roundsInputs: true };
    /** As if `FAST` had been measured as the fastest, where it is a candidate. */
    const tuning: TuningStore = {
      get: async (key) => (key.includes(': linear-prefill') ? FAST : undefined),
      set: async () => undefined,
    };
    const tokens = randomTokens(40, 270, 3);
    const exact = await tuned(tuning);
    const { device, plan } = await exact.session();
    expect(device.variant.roundsInputs).toBe(false);
    const { tuningCases, release } = kernelCandidates(
      { ...device, features: new Set() },
      plan.config,
      plan.tensors,
      'fast',
    );
    release();
    expect(tuningCases.flatMap(({ candidates }) => candidates)).not.toContainEqual(FAST);

    const fast = await tuned(tuning, { precision: 'fast' });
    expect(await variantOf(fast)).toMatchObject(FAST);
    const expected = await logitsOf(exact, tokens);
    const difference = nmse(await logitsOf(fast, tokens), expected);
    expect(difference).toBeGreaterThan(1e-7);
    expect(difference).toBeLessThan(1e-3);

    // The self-check refuses it if it computes wrong, and takes the same tiles without rounding.
    const { gpu, changed } = miscompiling(/dot4I8Packed\(w0, v0\)/, '2 * $&', ['linear-packed']);
    const refused = await tuned(tuning, { precision: 'fast', gpu });
    expect(changed()).toBeGreaterThan(0);
    expect(await variantOf(refused)).toMatchObject({ tileRows: 64, roundsInputs: false });
    expect(nmse(await logitsOf(refused, tokens), expected)).toBeLessThan(NMSE.sameModel);
  }),
);

test('skips candidates that the driver rejects', async () => {
  const { device, recorder } = await (await engineUnderTest(bytes)).session();
  const made: number[] = [];
  const kernel = (): KernelText => ({
    ...{ name: 'nothing', bindings: [], params: {}, constants: { WORKGROUP: device.variant.workgroup } },
    sources: [EMPTY],
  });
  const tuningCase: TuningCase = {
    name: 'too large a workgroup, and another',
    candidates: [{ workgroup: 1 << 20 }, { workgroup: 16 }],
    kernel,
    make() {
      const { workgroup } = device.variant;
      const pipeline = device.pipelines.get(kernel());
      return () => {
        expect(pipeline.isCompiled).toBe(true);
        made.push(workgroup);
      };
    },
  };
  const before = device.variant;
  await autotune(device, recorder, [tuningCase], new MemoryTuning());
  expect(device.variant).toEqual({ ...before, workgroup: 16 });
  expect(new Set(made)).toEqual(new Set([16]));
});

test('times a kernel again after its text has changed', async () => {
  const { device, recorder } = await (await engineUnderTest(bytes)).session();
  const tuning = new MemoryTuning();
  const tuningCase = (body: string): TuningCase => ({
    ...{ name: 'a kernel', candidates: [{ workgroup: 16 }, { workgroup: 32 }], make: () => () => undefined },
    kernel: () => ({
      name: 'nothing',
      bindings: [],
      params: {},
      constants: { WORKGROUP: device.variant.workgroup },
      sources: [body],
    }),
  });
  for (const body of ['one', 'one', 'another']) await autotune(device, recorder, [tuningCase(body)], tuning);
  expect(tuning.made).toBe(2);
});

/**
 * Candidates that take `costs` milliseconds of a simulated clock, and `compiling` more at first. Then the device
 * stalls in one of them.
 */
const timed = (costs: readonly number[], compiling = 0, stalled = -1) => {
  let clock = 0;
  const runs = costs.map(() => 0);
  const candidates = costs.map((_, i) => ({ workgroup: 16 << i }));
  const tuningCase = (device: Device, name: string): TuningCase => ({
    ...{
      name,
      candidates,
      kernel: () => ({
        name,
        bindings: [],
        params: {},
        constants: { WORKGROUP: device.variant.workgroup },
        sources: [EMPTY],
      }),
    },
    make() {
      const i = candidates.findIndex(({ workgroup }) => workgroup === device.variant.workgroup);
      return (_, share) => {
        clock += share * costs[i]! + (runs[i] === 0 ? compiling : 0) + (runs[i] === 1 && i === stalled ? 50 : 0);
        runs[i]!++;
      };
    },
  });
  return { tuningCase, runs, now: () => clock };
};

test.each([
  [[0.02, 0.03, 0.0195, 5], 0], // none is much faster than the class's default
  [[30, 31, 20, 500], 2],
  [[450, 20, 450, 450], 1],
  [[200, 190, 100, 120], 2],
  [[1200, 1200, 1200, 900], 3],
])('of candidates that take %j ms the fastest is chosen within a second and a half', async (costs, best) => {
  const { device, recorder } = await (await engineUnderTest(bytes)).session();
  const own = device.variant;
  const { tuningCase, now } = timed(costs);
  const tuning = new MemoryTuning();
  device.variant = { ...own, workgroup: 16 };
  await autotune(device, recorder, [tuningCase(device, 'one')], tuning, now);
  device.variant = own;
  expect(now()).toBeLessThan(1500 + Math.max(...costs));
  expect([...tuning.choices.values()]).toEqual([{ workgroup: 16 << best }]);
});

test.each([0, 1, 2, 3])(
  'a stall of the device during the first run of candidate %i does not affect the choice of the autotuner',
  async (stalled) => {
    const { device, recorder } = await (await engineUnderTest(bytes)).session();
    const own = device.variant;
    const { tuningCase, now } = timed([3, 1, 2, 4], 0, stalled);
    const tuning = new MemoryTuning();
    device.variant = { ...own, workgroup: 16 };
    await autotune(device, recorder, [tuningCase(device, 'one')], tuning, now);
    device.variant = own;
    expect([...tuning.choices.values()]).toEqual([{ workgroup: 32 }]);
  },
);

test('compilation at the first run extends the time limit, and does not affect the choice', async () => {
  const { device, recorder } = await (await engineUnderTest(bytes)).session();
  const own = device.variant;
  const { tuningCase, now } = timed([3, 1, 2, 4], 800);
  const tuning = new MemoryTuning();
  device.variant = { ...own, workgroup: 16 };
  await autotune(device, recorder, [tuningCase(device, 'one')], tuning, now);
  device.variant = own;
  expect(now()).toBeLessThan(1500 + 4 * 800);
  expect([...tuning.choices.values()]).toEqual([{ workgroup: 32 }]);
});

test('at the end of the time limit the fastest candidate measured so far is chosen', async () => {
  const { device, recorder } = await (await engineUnderTest(bytes)).session();
  const own = device.variant;
  const { tuningCase, now, runs } = timed([3000, 2000, 4000, 4000]);
  const tuning = new MemoryTuning();
  device.variant = { ...own, workgroup: 16 };
  await autotune(
    device,
    recorder,
    ['one', 'two'].map((name) => tuningCase(device, name)),
    tuning,
    now,
  );
  device.variant = own;
  expect(now()).toBeLessThan(1500);
  expect([...tuning.choices.values()]).toEqual([{ workgroup: 32 }, { workgroup: 32 }]);
  expect(runs.slice(2)).toEqual([0, 0]);
});
