import { expect, test } from 'vitest';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { Budget } from '../../src/measure/budget.ts';
import { deviceEvents, type DeviceMeasureOptions, measureDevice } from '../../src/measure/measure-device.ts';
import type { DeviceProgress, DeviceReport, ModelSpeeds } from '../../src/measure/device-report.ts';
import { measureModel } from '../../src/measure/model-speeds.ts';
import { type ModelShape, randomModel } from '../../src/measure/random-model.ts';
import { answer } from '../support/answer.ts';
import { openDevice } from '../../src/gpu/device.ts';
import { type BufferRange, readOnce } from '../../src/gpu/recorder.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { lastingGpu } from '../support/gpu/lasting-gpu.ts';
import { gpuWithBindings } from '../support/gpu/small-bindings.ts';
import { uploaded } from '../support/kernels/random-matrix.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';

const bytes = tinyModel({
  architecture: 'llama',
  type: 'Q4_0',
  seed: 91,
  numLayers: 2,
  contextLength: 512,
  neverEnds: true,
});
const SHAPE: ModelShape = {
  ...{
    name: 'tiny random',
    numLayers: 2,
    hiddenSize: 256,
    intermediateSize: 512,
    numHeads: 4,
    numKvHeads: 2,
    headDim: 64,
  },
  ...{ vocabSize: 1024, contextLength: 512 },
};

const measured = (engine: LocalEngine, options: Partial<DeviceMeasureOptions> = {}): Promise<DeviceReport> =>
  measureDevice(engine, {
    gpu: lastingGpu(),
    wait: napping,
    host: 'a test',
    shape: SHAPE,
    budgetMs: 120_000,
    ...options,
  });

const say = async (engine: LocalEngine): Promise<readonly number[]> =>
  (await answer(engine.complete('Winds', { sampling: GREEDY, stop: [], maxTokens: 8 }))).tokens;

test('measures ceilings, latencies and both models, and changes neither memory nor answers', async () => {
  const engine = await engineUnderTest(bytes);
  const said = await say(await engineUnderTest(bytes));
  const before = engine.memory();
  const { device, transformer } = await engine.session();
  const [told, ranks]: [number[], number[]] = [[], []];
  const onProgress = ({ done, what }: DeviceProgress): void => {
    told.push(done);
    if (what.includes('with an adapter')) ranks.push(transformer.arena.rank);
  };
  const report = await measured(engine, { onProgress });
  expect(engine.memory()).toEqual(before);
  expect(await say(engine)).toEqual(said);
  // The random adapter has rank 16 on every linear, and is removed afterwards.
  expect(ranks.slice(0, 3)).toEqual([16, 16, 16]);
  expect(device.buffers.report().adapters).toBe(0);

  expect(report).toMatchObject({ format: 'chunkwise-device', version: 1, host: 'a test', budgetMs: 120_000 });
  expect(report.device).toMatchObject({ name: engine.device, class: 'cpu' });
  expect(report.variant).toEqual((await engine.session()).device.variant);
  for (const figure of Object.values({ ...report.ceilings, ...report.latency })) expect(figure).toBeGreaterThan(0);
  expect(told).toEqual([...told].sort((a, b) => a - b));
  expect(told.length).toBeGreaterThan(10);
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);

  expect(report.models.map(({ name }) => name)).toEqual([engine.model, 'tiny random']);
  for (const model of report.models) expectSpeeds(model);
  // Linears and embeddings in Q4_0 take 18 bytes per 32 weights; norms take 4 bytes per weight.
  const weights = 2 * (256 * 256 * 2 + 256 * 128 * 2 + 3 * 256 * 512) + 1024 * 256;
  expect(report.models[1]?.weightBytes).toBe((weights / 32) * 18 + 5 * 256 * 4);
});

function expectSpeeds({ speeds, firstTokenMs, promptTokens, contextLength }: ModelSpeeds): void {
  expect([contextLength, promptTokens]).toEqual([512, 256]);
  expect(firstTokenMs).toBeGreaterThan(0);
  expect(speeds.map(({ context, adapter }) => [context, adapter])).toEqual(
    [false, true].flatMap((adapter) => [256, 2048, 8192].map((context) => [context, adapter])),
  );
  for (const { context, decode, prefill } of speeds) {
    const beyond = { notMeasured: 'beyond the context of 512 tokens' };
    if (context > 256) expect([decode, prefill]).toEqual([beyond, beyond]);
    else {
      expect(decode).toMatchObject({ steps: expect.any(Number) as number, msPerToken: expect.any(Number) as number });
      expect(prefill).toMatchObject({ batchTokens: 64 });
      for (const fraction of [
        'fractionOfMemory' in decode ? decode.fractionOfMemory : NaN,
        'fractionOfCompute' in prefill ? prefill.fractionOfCompute : NaN,
      ]) {
        expect(fraction).toBeGreaterThan(0);
        expect(fraction).toBeLessThan(1.5);
      }
    }
  }
}

test.each<[string, TinyModelOptions, number]>([
  // A window of 40 tokens with heads of 16 in four layers, and 224 tokens on average with heads of 32 in two.
  [
    'gemma4',
    {
      architecture: 'gemma4',
      type: 'F32',
      seed: 91,
      numLayers: 6,
      hiddenSize: 64,
      intermediateSize: 96,
      headDim: 32,
      window: 40,
      contextLength: 512,
    },
    4 * 16 * 40 + 2 * 32 * 224,
  ],
  ['qwen35', { architecture: 'qwen35', type: 'F32', seed: 91, numLayers: 4, contextLength: 512 }, 64 * 224],
])('operations of attention count layers with attention and the tokens that they see: %s', async (_, options, seen) => {
  const session = await (await engineUnderTest(tinyModel(options))).session();
  const { numHeads, hiddenSize, vocabSize } = session.plan.config;
  // A measured speed and its share of the ceiling give the number of counted operations: those of the last 64 of 256
  // tokens.
  const measure = await measureModel(session, {
    name: 'a test',
    ceilings: { bytesPerMs: 1e12, operationsPerMs: 1e12 },
    budget: new Budget(60_000, undefined),
    tell: () => undefined,
  });
  const { prefill } = measure.speeds[0]!;
  if (!('fractionOfCompute' in prefill)) throw new Error(JSON.stringify(prefill));
  const counted = ((prefill.fractionOfCompute ?? 0) * 1e12 * 1000 * 64) / prefill.tokensPerSecond;
  const weights = [...session.plan.tensors.values()]
    .filter(({ name, shape }) => shape.length === 2 && !/token_embd|^output\./.test(name))
    .reduce((sum, { shape: [rows = 0, columns = 0] }) => sum + rows * columns, 0);
  expect(counted - 2 * hiddenSize * vocabSize - 2 * 64 * weights).toBeCloseTo(4 * 64 * numHeads * seen, -3);
});

test('keeps its budget, and reports skipped figures', async () => {
  const engine = await engineUnderTest(bytes);
  const before = engine.memory();
  const none = await measured(engine, { budgetMs: 0 });
  const missing = { notMeasured: 'no time was left' };
  expect(none.ceilings).toEqual({
    ...{
      readGbPerSecond: missing,
      readInRunsGbPerSecond: missing,
      copyGbPerSecond: missing,
      f32GflopPerSecond: missing,
      f16GflopPerSecond: missing,
    },
  });
  expect(none.models[0]?.speeds[0]).toEqual({ context: 256, adapter: false, decode: missing, prefill: missing });
  expect(none.models[1]).toMatchObject({ notMeasured: 'no time was left', firstTokenMs: missing });
  // A model of 1B cannot be generated within that time.
  const some = await measured(engine, { budgetMs: 4000, shape: undefined });
  expect(some.models[1]?.notMeasured).toBe('no time was left');
  expect(engine.memory()).toEqual(before);
});

test('can be aborted at any time, also while waiting, without leaking memory', async () => {
  const engine = await engineUnderTest(bytes);
  const before = engine.memory();
  for (const moment of [/^memory/, /^tiny.gguf at 256 tokens, with/, /making it/]) {
    const abort = new AbortController();
    const onProgress = ({ what }: { what: string }): void => {
      if (moment.test(what)) abort.abort();
    };
    await expect(measured(engine, { onProgress, signal: abort.signal }), moment.source).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(engine.memory(), moment.source).toEqual(before);
  }
  const abort = new AbortController();
  let end = (): void => undefined;
  const running = engine.alone(() => new Promise<void>((resolve) => (end = resolve)));
  const waiting = measured(engine, { signal: abort.signal });
  abort.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'aborted' });
  end();
  await running;
  expect(await say(engine)).toHaveLength(8);
});

test('waits for the running answer, and requests wait for it', async () => {
  const engine = await engineUnderTest(bytes);
  const order: string[] = [];
  const first = say(engine).then(() => order.push('first'));
  const report = measured(engine, { budgetMs: 0 }).then(() => order.push('measured'));
  const second = say(engine).then(() => order.push('second'));
  await Promise.all([first, report, second]);
  expect(order).toEqual(['first', 'measured', 'second']);
});

test('a lost device ends it with `device_lost`, also for events, and a new device can be measured', async () => {
  const gpu = nodeGpu();
  const engine = await engineUnderTest(bytes, { gpu });
  const lose = async (): Promise<void> => {
    for await (const event of deviceEvents(engine, {
      gpu,
      wait: napping,
      host: 'a test',
      shape: SHAPE,
      budgetMs: 60_000,
    })) {
      if (event.type === 'progress' && event.what.includes('256')) (await engine.session()).device.gpuDevice.destroy();
    }
  };
  await expect(lose()).rejects.toMatchObject({ code: 'device_lost' });
  expect((await measured(engine, { gpu })).models[0]?.speeds[0]?.decode).toHaveProperty('msPerToken');
});

test('random weights fill every slice, are reproducible, and are all finite', async () => {
  const [embeddings] = randomModel(SHAPE).tensors;
  if (!embeddings) throw new Error('no tensors');
  const device = await openDevice(gpuWithBindings(40 << 10), { wait: napping }); // 256 rows each
  const made = async (): Promise<{ codes: number[]; scales: number[] }[]> => {
    const { slices } = await uploaded(device, [{ tensor: embeddings }]);
    const words = async (range: BufferRange | undefined): Promise<number[]> => {
      if (!range) throw new Error('no range');
      return [...new Uint32Array(await readOnce(device, 'range', [range]))];
    };
    return Promise.all(
      slices.map(async ({ ranges }) => ({
        codes: await words(ranges.weight),
        scales: await words(ranges.weight_scales),
      })),
    );
  };
  try {
    const slices = await made();
    expect(slices.map(({ codes, scales }) => [codes.length, scales.length])).toEqual(
      Array(4).fill([256 * 32, 256 * 4]),
    );
    for (const { codes, scales } of slices) {
      const halves = scales.flatMap((word) => [word & 0xffff, word >>> 16]);
      expect(new Set(halves.map((half) => half >> 10))).toEqual(new Set([7])); // the exponent of 2^-8
      expect(new Set(halves).size).toBeGreaterThan(700);
      const counts = new Array<number>(16).fill(0);
      for (const word of codes) for (let shift = 0; shift < 32; shift += 4) counts[(word >>> shift) & 15]!++;
      for (const count of counts) expect(count / (codes.length / 2)).toBeCloseTo(1, 1);
    }
    expect(await made()).toEqual(slices);
  } finally {
    device.close();
  }
});

test('a model opened with a short context is reopened with a longer one, if it supports that and the device has room', async () => {
  const long = tinyModel({
    architecture: 'llama',
    type: 'Q4_0',
    seed: 92,
    numLayers: 2,
    contextLength: 2048,
    neverEnds: true,
  });
  const engine = await engineUnderTest(long, { contextLength: 300 });
  const before = engine.memory();
  const [opened] = (await measured(engine, { sources: [sourceOf(long)] })).models;
  expect(opened).toMatchObject({ name: engine.model, contextLength: 2048 });
  for (const { decode, prefill } of [opened?.speeds[1], opened?.speeds[4]].map((speeds) => speeds!)) {
    expect(decode).toHaveProperty('msPerToken'); // up to the context's end
    expect(prefill).toHaveProperty('batchTokens');
  }
  expect(opened?.speeds[2]?.decode).toEqual({ notMeasured: 'beyond the context of 2048 tokens' });
  expect(engine.memory()).toEqual(before);
  const [tooLarge, random] = (await measured(engine, { sources: [sourceOf(long)], memoryLimitBytes: 100_000 })).models;
  expect(tooLarge).toMatchObject({ contextLength: 300 });
  expect(tooLarge?.speeds[1]?.decode).toEqual({ notMeasured: 'beyond the context of 300 tokens' });
  expect(tooLarge?.speeds[0]?.decode).toHaveProperty('msPerToken');
  expect(random?.notMeasured).toMatch(/^over_limit: tiny random: memoryLimitBytes: the model needs \d+ MB/);
});
