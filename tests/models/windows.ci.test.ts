import { expect, test } from 'vitest';
import { type CachePage, isFreed, pagesBeforeWindow } from '../../src/cache/cache-page.ts';
import { KvCache } from '../../src/cache/kv-cache.ts';
import { pagesBeyondContext } from '../../src/cache/policy.ts';
import { windowOfLayer } from '../../src/config/model-config.ts';
import { PAGE_TOKENS, pageBytes } from '../../src/kernels/heads.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { expectPoisonChangesNothing, expectReference } from '../support/models/in-pieces.ts';
import {
  ask,
  expectAloneAfterAbort,
  expectEachAlone,
  expectFurtherAlone,
  expectPastContext,
  expectSecondTurn,
  KV,
  PROSE,
} from '../support/models/in-turns.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';

const WINDOW = 40;
const SIZES = {
  architecture: 'gemma3',
  numLayers: 7,
  hiddenSize: 64,
  intermediateSize: 96,
  attentionGain: 1,
  ropeTheta: 1e6,
  window: WINDOW,
  contextLength: 1024,
  tied: false,
} as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 74, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
/** Nine windows long. */
const tokens = randomTokens(360, 270, 12);
const PIECES = [1, 2, 61, 64, 130, 7, 33];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const STORY = PROSE.repeat(5);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

const isWindowed = (layer: number): boolean => windowOfLayer(config, layer) !== undefined;

test('logits in pieces, at once and token by token match the reference', () => expectReference(MODEL, 'gpu'));

test('pages before a window are freed, and NaN in them changes nothing', async () => {
  const { poisoned, sizes } = await expectPoisonChangesNothing(MODEL, 'gpu', (bytes) =>
    new Uint16Array(bytes / 2).fill(0x7e00),
  );
  const [count = 0] = poisoned;
  expect(count).toBeGreaterThanOrEqual(pagesBeforeWindow(config, tokens.length - 62));
  expect(count).toBeGreaterThan(4);
  expect(poisoned).toEqual(poisoned.map((_, layer) => (isWindowed(layer) ? count : 0)));
  // The window, the tokens kept before it, a batch, and spare pages.
  const most = Math.ceil((WINDOW + 64 + 130) / PAGE_TOKENS) + 4;
  for (const ofLayers of sizes)
    expect(ofLayers.every((size, layer) => !isWindowed(layer) || size / pageBytes(config) <= most)).toBe(true);
  expect(sizes.at(-1)![5]! / pageBytes(config)).toBeGreaterThanOrEqual(tokens.length / PAGE_TOKENS);
});

test.each(KV)('a second turn gives equal answers cached, saved and loaded, or uncached: %s', async (_name, kv) => {
  const { end } = await expectSecondTurn(bytes, STORY, kv);
  expect(end.usage.cachedTokens).toBeGreaterThan(5 * WINDOW);
  const { pages, bytes: kvBytes } = end.report.kv;
  // Windowed layers have a few f16 pages each; the layer without a window has all pages.
  expect(pages.f16).toBeLessThan(7 * 8);
  expect(kvBytes.f16).toBe(pages.f16 * pageBytes(config));
});

test('below the floor of a memory budget, layers without a window evict entries', async () => {
  const kvMemoryBudget = 36 * pageBytes(config);
  const { kv } = (await ask(await engineUnderTest(bytes), PROSE.repeat(15), { kv: 'policy', kvMemoryBudget })).end
    .report;
  expect(kv.peakBytes).toBeLessThanOrEqual(kvMemoryBudget);
  expect(kv).toMatchObject({ droppedTokens: 0, memoryOverrode: true });
  expect(kv.mergedTokens).toBeGreaterThan(0);
});

test('a text that diverges long before its end is recomputed', async () => {
  const engine = await engineUnderTest(bytes);
  await ask(engine, QUESTION);
  const other = `${PROSE.repeat(2)}And then?`;
  const { tokens: found, end } = await ask(engine, other);
  expect(end.usage.cachedTokens).toBe(0);
  expect(found).toEqual((await ask(await engineUnderTest(bytes), other)).tokens);
  // A text that diverges within the kept pages reuses the prefix.
  await ask(engine, QUESTION, { maxTokens: 2 });
  expect((await ask(engine, `${QUESTION.slice(0, -10)}!`)).end.usage.cachedTokens).toBeGreaterThan(5 * WINDOW);
});

test('concurrent sequences, further answers, speculation and requests after an abort do not affect each other', async () => {
  const first = await expectEachAlone(bytes, [QUESTION, `${PROSE.repeat(3)}A third`]);
  expect(await expectFurtherAlone(bytes, QUESTION, first)).toBeGreaterThan(5 * WINDOW);
  await expectAloneAfterAbort(bytes, QUESTION, first);
});

test('a copy of a text takes as much memory as the text, in sliding-window layers as much as the window', async () => {
  const { device } = await (await engineUnderTest(bytes)).session();
  const cache = new KvCache(device, config, { numPages: 64, batchTokens: 64 });
  const pages: CachePage[] = [];
  expect(cache.resize(pages, 20 * PAGE_TOKENS)).toBe(true);
  cache.freeBeforeWindow(pages, 20 * PAGE_TOKENS);
  cache.shrink();
  const copies = cache.copyOf(pages)!;
  cache.layers.forEach(({ buffer }, layer) => {
    const own = [...pages, ...copies].filter((page) => !isFreed(page.layers[layer]!)).length;
    expect(own).toBe(isWindowed(layer) ? 2 * (20 - pagesBeforeWindow(config, 20 * PAGE_TOKENS)) : 40);
    expect(buffer.size / pageBytes(config)).toBeLessThanOrEqual(Math.max(8, own + 2)); // and spare pages
  });
});

test('a text continues past its context', async () => {
  expect(
    await expectPastContext(tinyModel({ ...SIZES, type: 'F32', seed: 61, neverEnds: true, contextLength: 256 }), 500),
  ).toBeGreaterThan(200);
  // A single windowed layer sees no earlier tokens, so that dropping the pages before its window changes nothing.
  const single = await engineUnderTest(
    tinyModel({ ...SIZES, numLayers: 1, type: 'F32', seed: 62, contextLength: 256 }),
  );
  const roomy = await engineUnderTest(tinyModel({ ...SIZES, numLayers: 1, type: 'F32', seed: 62 }));
  const shifted = await logitsOf(single, tokens, { policy: { key: 'shifting', drops: pagesBeyondContext } });
  expect(nmse(shifted, await logitsOf(roomy, tokens))).toBeLessThan(NMSE.sameModel);
});
