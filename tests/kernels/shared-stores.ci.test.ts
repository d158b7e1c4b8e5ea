import { describe, expect, test } from 'vitest';
import { napping } from '../../cli/node-gpu.ts';
import { fixedForm } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { DeviceClass } from '../../src/gpu/device-variant.ts';
import { openDevice } from '../../src/gpu/device.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import type { Kernel } from '../../src/gpu/kernel.ts';
import { createOperation } from '../../src/gpu/operation.ts';
import { WeightUpload } from '../../src/layers/upload/weight-upload.ts';
import { anyMatrix, anyNumbers } from '../../src/models/checks/known-values.ts';
import { greedy } from '../../src/session/sampling/greedy-draw.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { watchedStores } from '../support/gpu/watched-stores.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

const shared = { seed: 7, type: 'Q4_1', contextLength: 256 } as const;
const MODELS: Record<string, TinyModelOptions> = {
  'page forms': { ...shared, architecture: 'llama', numLayers: 1 },
  biases: { ...shared, architecture: 'qwen2', numLayers: 1 },
};

/** WGSL lets a store of a component touch its vector, and Metal does (gpuweb#2112): what another invocation stored beside is lost. */
describe.each<DeviceClass>(['gpu'])(
  'no two invocations of a dispatch store into one vector or word, %s',
  (deviceClass) => {
    test.each(Object.keys(MODELS))('%s', async (name) => {
      const { gpu, found, kernels } = watchedStores();
      const model = MODELS[name] as TinyModelOptions;
      const engine = await engineUnderTest(tinyModel(model), { gpu, deviceClass, wait: napping });
      const session = await engine.session();
      const tokens = randomTokens(150, 256, 5);
      const pieces = [64, 50, 1, 2, 3, 1];
      await logitsOf(engine, tokens, { pieces });
      const forms = name === 'page forms' ? (['q8', 'q4', 'q3', 'k3v2', 'sparse'] as const) : [];
      for (const form of forms)
        await logitsOf(engine, tokens, { pieces, policy: fixedForm(form, form === 'sparse' ? 8 : undefined) });
      // Several streams, and what verifies drafts.
      const streams = [0, 1].map((slot) => new Sequence(undefined, slot));
      for (const stream of streams) await session.prefill(stream, tokens.slice(0, 20), () => undefined);
      await session.decode(streams.map((stream) => greedy(stream, 21)));
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
      expect(kernels.size).toBeGreaterThan(10);
      expect(await found()).toEqual({ places: [], beyond: 0 });
    });
  },
);

test('the same where weights of every type are repacked', async () => {
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

test('stores of components of one vector are found, and stores that a barrier orders are not', async () => {
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
