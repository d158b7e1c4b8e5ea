import { expect, test } from 'vitest';
import { MAX_BRANCHES } from '../../src/config/limits.ts';
import { pagesFor } from '../../src/cache/kv-cache.ts';
import {
  adaptedEngine,
  expectReads,
  expectSharedAsAlone,
  expectSharedDispatches,
  MANY,
} from '../support/label-reads.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';

type Model = Partial<TinyModelOptions> & Pick<TinyModelOptions, 'architecture'>;

test.each<[string, Model]>([
  ['lfm2, which convolves', { architecture: 'lfm2', contextLength: 1024 }],
  ['granite, with multipliers', { architecture: 'granite', contextLength: 1024 }],
  ['qwen35, whose layers have states', { architecture: 'qwen35', numLayers: 4, attentionGain: 1, contextLength: 512 }],
])(
  "%s: probabilities equal the reference's, mixed adapters equal one at a time, and the input is read once",
  async (_, options) => {
    const model = tinyModel({ type: 'F32', seed: 71, neverEnds: true, ...options });
    await expectReads(await adaptedEngine(model), model);
  },
);

test('a device of class gpu gives the same results, in shared batches too', async () => {
  const model = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 512, neverEnds: true });
  const engine = await adaptedEngine(model, { deviceClass: 'gpu' });
  await expectReads(engine, model);
  (await engine.session()).sequences.makeRoom(Infinity);
  await expectSharedDispatches(engine);
});

test.each([
  ['with room for one branch', 320],
  ['that leaves no page for a branch', 160],
])('questions in shared batches give the results of one at a time, in a context %s', async (_, contextLength) => {
  const model = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength, neverEnds: true });
  await expectSharedAsAlone(await adaptedEngine(model), MANY);
});

test('questions longer than a sliding window, too many for its pages, give the results of one at a time', async () => {
  const reads = MANY.map((read) => ({ ...read, text: `${read.text}${' And does the wind blow?'.repeat(4)}` }));
  const model = tinyModel({ architecture: 'gemma3', type: 'F32', seed: 71, contextLength: 2048, neverEnds: true });
  const engine = await adaptedEngine(model);
  const { cache } = (await engine.session()).transformer;
  const [{ text }] = reads as [(typeof reads)[0]];
  const pages = MAX_BRANCHES * pagesFor(engine.tokenizer.encode(text).length);
  expect(cache.windowPages).toBeLessThan(pages);
  expect(cache.numPages).toBeGreaterThan(2 * pages);
  await expectSharedAsAlone(engine, reads);
});
