import { expect, test } from 'vitest';
import { KvCache, layerPageBytes } from '../../src/cache/kv-cache.ts';
import { isConvolved } from '../../src/config/model-config.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { expectPoisonChangesNothing, expectReference } from '../support/models/in-pieces.ts';
import {
  ask,
  expectAloneAfterAbort,
  expectEachAlone,
  expectFurtherAlone,
  expectPartingTexts,
  expectPastContext,
  expectSecondTurn,
  KV,
  PROSE,
} from '../support/models/in-turns.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

/** Attention in the second and fifth of six layers. */
const SIZES = {
  architecture: 'lfm2',
  numLayers: 6,
  hiddenSize: 64,
  intermediateSize: 96,
  attentionGain: 1,
  ropeTheta: 1e6,
  contextLength: 1024,
} as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 71, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
const tokens = randomTokens(250, 270, 13);
/** Pieces shorter than a convolution, odd, of whole pages, and over several pages. */
const PIECES = [1, 2, 61, 64, 3, 70, 1, 33];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const STORY = PROSE.repeat(5);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

test('logits in pieces, at once and token by token match the reference', () => expectReference(MODEL, 'gpu'));

test('pages that convolutions no longer read are freed, and NaN in them changes nothing', async () => {
  const { poisoned, sizes } = await expectPoisonChangesNothing(MODEL, 'gpu', (bytes) =>
    new Float32Array(bytes / 4).fill(NaN),
  );
  const [count = 0] = poisoned;
  expect(count).toBeGreaterThan(3);
  expect(poisoned).toEqual(poisoned.map((_, layer) => (isConvolved(config, layer) ? count : 0)));
  const ofPage = layerPageBytes(config, { numPages: 1 });
  expect(ofPage[0]).toBe(PAGE_TOKENS * config.hiddenSize * 4);
  // The kept pages, a batch, and spare pages.
  sizes
    .at(-1)!
    .forEach((size, layer) => expect(size / ofPage[layer]!).toBeLessThanOrEqual(isConvolved(config, layer) ? 9 : 12));
});

test.each(KV)('a second turn gives equal answers cached, saved and loaded, or uncached: %s', async (_name, kv) => {
  const { end } = await expectSecondTurn(bytes, STORY, kv);
  expect(end.usage.cachedTokens).toBeGreaterThan(200);
});

test('a text that diverges within the kept pages resumes; one that diverges before is recomputed', async () => {
  expect(await expectPartingTexts(bytes, QUESTION)).toBeGreaterThan(200);
});

test('concurrent sequences, speculation and requests after an abort do not affect each other', async () => {
  const first = await expectEachAlone(bytes, [QUESTION, `${PROSE.repeat(3)}A third`, 'Winds']);
  expect(await expectFurtherAlone(bytes, QUESTION, first)).toBeGreaterThan(200);
  await expectAloneAfterAbort(bytes, QUESTION, first);
});

test('a text continues past its context', async () => {
  expect(
    await expectPastContext(tinyModel({ ...SIZES, type: 'F32', seed: 71, neverEnds: true, contextLength: 256 }), 400),
  ).toBeGreaterThan(100);
});

test('a memory budget counts the pages of convolutions, and those freed for the next batch', async () => {
  const withBudget = async (kvMemoryBudget: number) =>
    (await ask(await engineUnderTest(bytes), STORY, { kv: 'policy', kvMemoryBudget })).end.report.kv;
  const { peakBytes } = (await ask(await engineUnderTest(bytes), STORY)).end.report.kv;
  expect(await withBudget(peakBytes)).toMatchObject({ peakBytes, droppedTokens: 0, memoryOverrode: false });
  for (const share of [0.95, 0.8]) {
    const found = await withBudget(Math.floor(share * peakBytes));
    expect(found.peakBytes).toBeLessThanOrEqual(share * peakBytes);
    expect(found.memoryOverrode).toBe(true);
    // Such a model repeats no text, so no entries are chosen.
    expect(found.mergedTokens).toBe(0);
    if (share === 0.8) expect(found.droppedTokens).toBeGreaterThan(0);
  }
});

test('the memory report includes the pages of convolutions', async () => {
  const engine = await engineUnderTest(bytes);
  const { device } = await engine.session();
  const before = engine.memory().kv;
  const cache = new KvCache(device, config, { numPages: 8 });
  const pages: Parameters<KvCache['resize']>[0] = [];
  cache.resize(pages, 8 * PAGE_TOKENS);
  expect(engine.memory().kv - before).toBeGreaterThanOrEqual(
    layerPageBytes(config, { numPages: 8 }).reduce((sum, size) => sum + size, 0),
  );
});
