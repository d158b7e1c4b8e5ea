import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import type { DeviceClass } from '../../src/gpu/device.ts';
import type { LoadProgress } from '../../src/session/session-options.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { derivedGpu } from '../support/gpu/derived-gpu.ts';
import { MemoryTuning } from '../support/memory-tuning.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { restOnly } from '../support/tier.ts';

type Architecture = TinyModelOptions['architecture'];

const SENTENCE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
const FILTERED = { ...GREEDY, temperature: 1, topK: 20, topP: 0.9, minP: 0.01, repetitionPenalty: 1.1, seed: 1 };

const say = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}) =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 8, ...options }));

/** The software adapter; `synchronous` has the names of the kernels that a thread waited for. */
function watchedGpu(): { gpu: GPU; synchronous: string[] } {
  const synchronous: string[] = [];
  const gpu = derivedGpu((device) => ({
    createComputePipeline: (descriptor) => {
      synchronous.push(descriptor.label ?? '');
      return device.createComputePipeline(descriptor);
    },
  }));
  return { gpu, synchronous };
}

async function open(gpu: GPU, architecture: Architecture, deviceClass: DeviceClass, tuning = new MemoryTuning()) {
  const progress: LoadProgress[] = [];
  const onProgress = (event: LoadProgress): void => void progress.push(event);
  const bytes = tinyModel({ architecture, type: 'Q4_1', seed: 51, contextLength: 512, numLayers: 2, neverEnds: true });
  const engine = await engineUnderTest(bytes, { gpu, deviceClass, tuning, onProgress });
  return { engine, progress };
}

test('no kernel is compiled synchronously when a session opens, and progress counts the kernels', async () => {
  const { gpu, synchronous } = watchedGpu();
  const { engine, progress } = await open(gpu, 'llama', 'cpu');
  const counts = progress.flatMap(({ phase, kernels }) => (phase === 'compile' && kernels ? [kernels] : []));
  const total = (await engine.session()).device.pipelines.texts().length;
  expect(counts.at(-1)).toEqual({ compiled: total, total });
  expect(total).toBeGreaterThan(20);
  const compiled = counts.map((each) => each.compiled);
  expect(compiled).toEqual([...compiled].sort((a, b) => a - b));
  expect(compiled[0]).toBeLessThan(total);
  expect(synchronous).toEqual([]);
});

restOnly(() =>
  test.each<[Architecture, DeviceClass]>([
    ['llama', 'gpu'],
    ['lfm2moe', 'cpu'],
    ['gemma3', 'cpu'],
  ])('none for later kernels either: %s on class %s', async (architecture, deviceClass) => {
    const { gpu, synchronous } = watchedGpu();
    const tuning = new MemoryTuning();
    const { engine } = await open(gpu, architecture, deviceClass, tuning);
    const { plan } = await engine.session();
    await engine.loadAdapter('a', peftSource(tinyAdapter(plan.config, { seed: 5 })));
    const adapters = [{ name: 'a', scale: 1 }];
    await say(engine, SENTENCE.repeat(6), { kv: 'policy', maxTokens: 40, speculate: true });
    await say(engine, SENTENCE, { adapters, ranks: 'chunkwise', speculate: true });
    await say(engine, SENTENCE, { responseFormat: { type: 'json_object' } });
    await say(engine, SENTENCE, { sampling: FILTERED, topLogprobs: 2, wantsEntropy: true });
    await Promise.all(['One', 'Two', 'Three'].map((prompt) => say(engine, prompt, { adapters })));
    engine.dispose();
    // The results of the tuner and the self-check are stored now: they compile no kernels.
    const stored = [...tuning.known.keys()];
    const { engine: second } = await open(gpu, architecture, deviceClass, tuning);
    expect([...tuning.known.keys()]).toEqual(stored);
    await Promise.all(['One', 'Two', 'Three'].map((prompt) => say(second, prompt)));
    await say(second, SENTENCE.repeat(6), { speculate: true, maxTokens: 20 });
    expect(synchronous).toEqual([]);
  }),
);
