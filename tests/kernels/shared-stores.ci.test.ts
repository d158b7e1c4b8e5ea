import { describe, expect, test } from 'vitest';
import { napping } from '../../tools/instruments/node-gpu.ts';
import { errorBudgetPolicy, fixedForm, sparsePolicy } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { type DeviceClass, openDevice } from '../../src/gpu/device.ts';
import { createOperation, Recorder } from '../../src/gpu/recorder.ts';
import type { Kernel } from '../../src/gpu/kernel.ts';
import { joinNormsKernel, keepStatesKernel } from '../../src/kernels/draft.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { WeightUpload } from '../../src/layers/weight-upload.ts';
import { anyMatrix, anyNumbers } from '../../src/models/checks/known-values.ts';
import { greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { answer } from '../support/answer.ts';
import { encoderSession } from '../support/encoder-under-test.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { watchedStores } from '../support/gpu/watched-stores.ts';
import { type Embedding, encoderFolder } from '../support/models/encoder-folder.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

const SPARSE = ['entry-attention', 'gather-entries'];
const shared = { seed: 7, contextLength: 256 } as const;

/**
 * In WGSL, and on Metal, a store of a component may write its whole vector (gpuweb#2112), and so overwrite another
 * invocation's store. Class cpu, which no Metal device has, is tested where its kernels have stores of their own: those of
 * attention, `store-kv`, probes of pages and prompts with adapters.
 */
describe('no two invocations of a dispatch store into one vector or word', () => {
  test.each<DeviceClass>(['gpu', 'cpu'])('page forms, drafts, samplers and adapters, class %s', async (deviceClass) => {
    const { gpu, found, kernels } = watchedStores();
    // Without norms of heads, attention of class gpu stores keys itself; with them, class cpu stores queries.
    const architecture = deviceClass === 'gpu' ? 'llama' : 'qwen3';
    const model = tinyModel({ ...shared, architecture, type: 'Q4_1', numLayers: 1 });
    const engine = await engineUnderTest(model, { gpu, deviceClass, wait: napping });
    const session = await engine.session();
    const tokens = randomTokens(150, 256, 5);
    const pieces = [64, 50, 1, 2, 3, 1];
    await logitsOf(engine, tokens, { pieces });
    await logitsOf(engine, tokens, { pieces, policy: errorBudgetPolicy(0.01) });
    if (deviceClass === 'gpu') {
      for (const form of ['q8', 'q4', 'q3'] as const)
        await logitsOf(engine, tokens, { pieces, policy: fixedForm(form) });
      // Long enough for a choice among the entries of old pages.
      await logitsOf(engine, randomTokens(240, 256, 6), { pieces: [192, 40], policy: sparsePolicy() });
    }
    // Several sequences, and verification of drafts.
    const streams = [0, 1].map((slot) => new Sequence(undefined, slot));
    for (const stream of streams) await session.prefill(stream, tokens.slice(0, 20), () => undefined);
    await session.batches.decode(streams.map((stream) => greedy(stream, 21)));
    const text = { prompt: [], answer: [] };
    for (const count of [1, 3, 7])
      await session.verify(greedy(streams[0]!, streams[0]!.tokens.length + 1), {
        tokens: tokens.slice(0, count),
        rows: undefined,
        text,
      });
    for (const stream of streams) session.release(stream);
    const sampling = { ...GREEDY, temperature: 1, topK: 20, topP: 0.9, minP: 0.01, repetitionPenalty: 1.1, seed: 1 };
    await answer(
      engine.complete('Seven winds', { sampling, stop: [], maxTokens: 4, topLogprobs: 2, wantsEntropy: true }),
    );
    // Masks of a grammar.
    const responseFormat = { type: 'grammar', grammar: 'root ::= [a-z]{4}' } as const;
    await answer(engine.complete('Seven', { sampling, stop: [], maxTokens: 3, responseFormat, wantsEntropy: true }));
    await engine.loadAdapter('a', peftSource(tinyAdapter(session.plan.config, { seed: 5 })));
    await logitsOf(engine, tokens, { pieces, adapters: [{ name: 'a', scale: 1 }] });
    await answer(
      engine.complete('Seven winds', {
        sampling: GREEDY,
        stop: [],
        maxTokens: 3,
        adapters: [{ name: 'a', scale: 1 }],
      }),
    );
    const own =
      deviceClass === 'gpu'
        ? ['store-kv-shared', 'attention-decode', 'attention-merge-shared', 'probe-page-shared', ...SPARSE]
        : ['store-kv', 'attention', 'attention-merge-alone', 'probe-page', 'lora-prefill'];
    expect([...kernels]).toEqual(expect.arrayContaining(['quantize-page', ...own]));
    expect(await found()).toEqual({ places: [], beyond: 0 });
  });
});

/** Layers of the other kinds. Their matrices are F32: types have no stores of their own, and its kernels compile fastest. */
const LAYERS = {
  'convolutions, experts by sigmoid': { architecture: 'lfm2moe', numLayers: 2, attending: [1] },
  'norms of whole q and k, experts by softmax': { architecture: 'olmoe', numLayers: 1 },
  'delta nets': { architecture: 'qwen35', numLayers: 2, attending: [1], headDim: 32, rotaryDim: 16 },
  'sliding windows, shared keys, inputs per layer': { architecture: 'gemma4', numLayers: 6, shared: 3, headDim: 32 },
} satisfies Record<string, Partial<TinyModelOptions>>;

describe('no two invocations of a dispatch store into one vector or word in prompts and steps', () => {
  test.each(Object.entries(LAYERS))('%s', async (_, options) => {
    const { gpu, found, kernels } = watchedStores();
    const model = tinyModel({ ...shared, type: 'F32', ...options });
    const engine = await engineUnderTest(model, { gpu, deviceClass: 'gpu', wait: napping });
    // A batch longer than pages and windows, and steps in decode form.
    const pieces = [70, 3, 1];
    await logitsOf(engine, randomTokens(74, 256, 5), { pieces });
    expect(kernels.size).toBeGreaterThan(10);
    expect(await found()).toEqual({ places: [], beyond: 0 });
  });

  test.each<[Embedding, DeviceClass]>([
    ['bert', 'gpu'],
    ['bert', 'cpu'],
    ['gemma', 'gpu'],
  ])('an encoder, %s, class %s', async (kind, deviceClass) => {
    const { gpu, found, kernels } = watchedStores();
    const session = await encoderSession(encoderFolder({}, kind), { gpu, deviceClass });
    const texts = [40, 1, 7].map((length) => randomTokens(length, 200, 3));
    await session.encode(texts);
    expect(kernels.size).toBeGreaterThan(5);
    expect(await found()).toEqual({ places: [], beyond: 0 });
  });
});

test('no two invocations store to one element in the kernels of a draft head', async () => {
  const { gpu, found, kernels } = watchedStores();
  const device = await openDevice(gpu, { deviceClass: 'gpu', wait: napping });
  const recorder = new Recorder(device);
  const [tokens, width] = [3, 64];
  const rows = (name: string) => device.buffers.storage(name, 'activations', 2 * tokens * width * 4);
  const names = ['batch_table', 'x', 'states', 'token_weight', 'state_weight', 'norm_weight', 'first', 'y'];
  const bounds = Object.fromEntries(names.map((name) => [name, rows(name)]));
  const table = batchTable([0, 1, 2].map((position) => ({ place: 0, position, firstPage: 0, page: 0 })));
  device.gpuDevice.queue.writeBuffer(bounds['batch_table']!, 0, table);
  for (const kernel of [joinNormsKernel(device, width, 1e-5), keepStatesKernel(device, width, 1e-5)]) {
    const operation = createOperation(device, kernel, bounds);
    recorder.run(operation, operation.groups({ tokens }), { tokens });
  }
  expect([...kernels]).toEqual(expect.arrayContaining(['join-norms', 'keep-states']));
  expect(await found()).toEqual({ places: [], beyond: 0 });
  device.close();
});

test('no two invocations store to one element when weights of any type are repacked', async () => {
  const { gpu, found, kernels } = watchedStores();
  const device = await openDevice(gpu, { deviceClass: 'gpu', wait: napping });
  const upload = new WeightUpload(device, new Recorder(device));
  for (const type of Object.keys(GGML_TYPES) as GgmlType[]) {
    const { tensor } = anyMatrix(type, 12, 512, anyNumbers());
    await upload.matrix(type, [{ tensor }]);
  }
  await upload.finish();
  expect([...kernels]).toContain('repack');
  expect(await found()).toEqual({ places: [], beyond: 0 });
  device.close();
});

test('reports stores to components of one vector, but not stores that a barrier orders', async () => {
  const { gpu, found } = watchedStores();
  const device = await openDevice(gpu, { deviceClass: 'gpu', wait: napping });
  const recorder = new Recorder(device);
  const y = device.buffers.storage('y', 'activations', 1024);
  const run = (name: string, body: string): void => {
    const kernel: Kernel<void> = {
      ...{ name, constants: { LANES: 32 }, params: {}, groups: () => [2] },
      bindings: [{ name: 'y', type: 'array<vec2u>', access: 'read_write' }],
      sources: [
        `@compute @workgroup_size(LANES) fn main(@builtin(global_invocation_id) id: vec3u) { let i = id.x; ${body} }`,
      ],
    };
    const operation = createOperation(device, kernel, { y });
    recorder.run(operation, operation.groups());
  };
  run('apart', 'y[i] = vec2u(i);');
  run('ordered', 'y[i] = vec2u(i); storageBarrier(); y[i ^ 1u] = vec2u(i);');
  expect(await found()).toEqual({ places: [], beyond: 0 });
  run('components', 'if (i < 4u) { y[i / 2u][i & 1u] = i; }');
  run('of another workgroup', 'y[i % LANES].x = i;');
  expect((await found()).places).toEqual(['components: y (main)', 'of another workgroup: y (main)']);
  device.close();
});
