import { describe, expect, onTestFinished, test } from 'vitest';
import { napping } from '../../tools/instruments/node-gpu.ts';
import { openDevice } from '../../src/gpu/device.ts';
import { anyMatrix, anyNumbers } from '../../src/models/checks/known-values.ts';
import { FileSource } from '../../src/node/file-source.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { AdapterUse } from '../../src/engine/types.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, type Answer, USER } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { fixedMemory } from '../support/fixed-memory.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { lastingGpu } from '../support/gpu/lasting-gpu.ts';
import { uploaded } from '../support/kernels/random-matrix.ts';

const QUESTION = [USER('How many sheep does the shepherd count before she sleeps?')];
const DRAWN: SamplingOptions = { ...GREEDY, temperature: 1, topK: 20, topP: 0.9, repetitionPenalty: 1.1, seed: 3 };

/** An answer of 40 tokens; no token ends it. */
function ask(engine: LocalEngine, sampling: SamplingOptions): Promise<Answer> {
  const logitBias = new Map([...engine.tokenizer.eosIds].map((id) => [id, -1000]));
  return answer(engine.chat(QUESTION, { sampling: { ...sampling, logitBias }, stop: [], maxTokens: 40 }));
}

describe('the bytes of weights on the GPU are those of the file, within 5 percent', () => {
  test('a matrix of each type', async () => {
    for (const type of Object.keys(GGML_TYPES) as GgmlType[]) {
      const device = await openDevice(lastingGpu(), { wait: napping });
      const { tensor } = anyMatrix(type, 64, 512, anyNumbers());
      await uploaded(device, [{ tensor }]);
      const ratio = device.buffers.report().weights / tensor.bytes;
      device.close();
      expect(ratio, type).toBeGreaterThan(0.99);
      expect(ratio, type).toBeLessThan(1.05);
    }
  });

  test('the real model', async () => {
    const source = await FileSource.open(REAL_MODEL);
    onTestFinished(() => source.close());
    const engine = await engineUnderTest(source, { contextLength: 256 });
    const ratio = engine.memory().weights / (await engine.session()).plan.tensorBytes;
    expect(ratio).toBeGreaterThan(0.99);
    expect(ratio).toBeLessThan(1.05);
  });
});

// Layers of the other decoders of llama's kind have its dispatches: a bias, a scale or heads' norms are within a kernel.
describe.each(['llama', 'gemma3'] as const)('%s', (architecture) => {
  const bytes = tinyModel({ architecture, type: 'Q4_1', seed: 42, numLayers: architecture === 'gemma3' ? 6 : 2 });

  test('memory() equals the live bytes, tokens only grow the cache, and dispose() frees everything', async () => {
    const gpu = countGpu();
    const engine = await engineUnderTest(bytes);
    const loaded = engine.memory();
    const { total, ...categories } = loaded;
    expect(total).toBe(gpu.liveBytes());
    expect(total).toBe(Object.values(categories).reduce((sum, size) => sum + size, 0));

    await ask(engine, GREEDY);
    await ask(engine, DRAWN);
    expect(fixedMemory(engine.memory())).toEqual(fixedMemory(loaded));
    expect(gpu.liveBytes()).toBe(engine.memory().total);
    const { pipelines, bindGroups, buffersCreated, buffersDestroyed } = gpu;
    for (const sampling of [GREEDY, DRAWN]) {
      const { end } = await ask(engine, sampling);
      expect(end.usage.completionTokens).toBe(40);
    }
    expect(gpu).toMatchObject({ pipelines, bindGroups, buffersCreated, buffersDestroyed });

    engine.dispose();
    expect(gpu.live.size).toBe(0);
    expect(engine.memory().total).toBe(0);
  });

  // Gemma 3 has norms after attention and MLP as well.
  const most = architecture === 'gemma3' ? 10 : 8;
  test(`a layer takes at most ${most} dispatches a token, as the report says`, async () => {
    const gpu = countGpu();
    const engine = await engineUnderTest(bytes);
    const { plan } = await engine.session();
    const few = await ask(engine, GREEDY);
    const before = gpu.dispatches;
    const { end } = await ask(engine, GREEDY);
    // All but one token of the prompt are cached: one step for each token.
    const perToken = (gpu.dispatches - before) / end.usage.completionTokens;
    expect(few.end.report.dispatchesPerToken).toBeCloseTo(perToken, 6);
    expect(end.report.dispatchesPerLayer).toBeLessThanOrEqual(most);
    expect(perToken - plan.config.numLayers * end.report.dispatchesPerLayer).toBeLessThanOrEqual(5);
  });
});

test.each([
  { deviceClass: 'cpu', alone: 7, adapted: 9 },
  { deviceClass: 'gpu', alone: 5, adapted: 7 },
] as const)(
  'class $deviceClass: a layer takes at most $alone dispatches a token, and $adapted with an adapter',
  async ({ deviceClass, alone, adapted }) => {
    const engine = await engineUnderTest(tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 44 }), { deviceClass });
    const { plan } = await engine.session();
    await engine.loadAdapter('any', peftSource(tinyAdapter(plan.config, { seed: 1 })));
    const perLayer = async (adapters: readonly AdapterUse[]): Promise<number> => {
      const { end } = await answer(engine.chat(QUESTION, { sampling: GREEDY, adapters, stop: [], maxTokens: 4 }));
      return end.report.dispatchesPerLayer;
    };
    expect(await perLayer([])).toBeLessThanOrEqual(alone);
    expect(await perLayer([{ name: 'any', scale: 1 }])).toBeLessThanOrEqual(adapted);
  },
);

test.each(['cpu', 'gpu'] as const)(
  'class %s: closing a model that fails to load leaves no buffer',
  async (deviceClass) => {
    const gpu = countGpu();
    const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 43 });
    const controller = new AbortController();
    const onProgress = ({ bytes, total }: { bytes: number; total: number }): void => {
      if (bytes > total / 2) controller.abort();
    };
    await expect(engineUnderTest(bytes, { deviceClass, onProgress, signal: controller.signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(gpu.buffersCreated).toBeGreaterThan(0);
    expect(gpu.live.size).toBe(0);
  },
);
