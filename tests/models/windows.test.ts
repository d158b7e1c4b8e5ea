import { expect, test } from 'vitest';
import type { KvOptions } from '../../src/cache/kv-options.ts';
import { pagesBeyondContext } from '../../src/cache/policy.ts';
import { pagesBehind } from '../../src/cache/windows.ts';
import { windowOfLayer } from '../../src/config/model-config.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { PAGE_TOKENS, pageBytes } from '../../src/kernels/heads.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { expectAdapterApart, expectPoisonChangesNothing, expectReference } from '../support/models/in-pieces.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';

const WINDOW = 40;
const SIZES = { architecture: 'gemma3', numLayers: 7, hiddenSize: 64, intermediateSize: 96, attentionGain: 1, ropeTheta: 1e6, window: WINDOW, contextLength: 1024 } as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 61, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
/** Nine windows long. */
const tokens = randomTokens(360, 270, 12);
const PIECES = [1, 2, 61, 64, 130, 7, 33];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
const STORY = PROSE.repeat(5);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

const isWindowed = (layer: number): boolean => windowOfLayer(config, layer) !== undefined;

const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, ...options }));

test.each(['cpu', 'gpu'] as const)('in pieces, at once and one by one are the reference: class %s', (deviceClass) => expectReference(MODEL, deviceClass));

test.each(['cpu', 'gpu'] as const)('pages behind a window are given back, and NaN in them changes nothing: class %s', async (deviceClass) => {
  const { poisoned, sizes } = await expectPoisonChangesNothing(MODEL, deviceClass, (bytes) => new Uint16Array(bytes / 2).fill(0x7e00));
  const [count = 0] = poisoned;
  expect(count).toBeGreaterThanOrEqual(pagesBehind(config, tokens.length - 62));
  expect(count).toBeGreaterThan(4);
  expect(poisoned).toEqual(poisoned.map((_, layer) => (isWindowed(layer) ? count : 0)));
  // The window, what is kept behind it, a batch, and what is spare.
  const most = Math.ceil((WINDOW + 64 + 130) / PAGE_TOKENS) + 4;
  for (const ofLayers of sizes) expect(ofLayers.every((size, layer) => !isWindowed(layer) || size / pageBytes(config) <= most)).toBe(true);
  expect(sizes.at(-1)![5]! / pageBytes(config)).toBeGreaterThanOrEqual(tokens.length / PAGE_TOKENS);
});

const KV: [string, KvOptions][] = [
  ['dense', {}],
  ['q4', { kv: 'q4' }],
  ['policy', { kv: 'policy', kvErrorBudget: 16 }],
];

test.each(KV)('a second turn, cached, saved and loaded, or neither: %s', async (_name, kv) => {
  const savedCaches = new MemoryStore();
  const engine = await engineUnderTest(bytes, { savedCaches });
  const first = await ask(engine, STORY, kv);
  const turn = STORY + first.text + PROSE;
  await engine.savedCaches.save('story');
  const cached = await ask(engine, turn, kv);
  expect(cached.end.usage.cachedTokens).toBeGreaterThan(5 * WINDOW);
  const another = await engineUnderTest(bytes, { savedCaches });
  await another.savedCaches.load('story');
  const loaded = await ask(another, turn, kv);
  expect(loaded.end.usage).toEqual(cached.end.usage);
  expect(loaded.tokens).toEqual(cached.tokens);
  const { pages, bytes: kvBytes } = loaded.end.report.kv;
  // Layers with a window have a few pages each, in f16; the one without has all.
  expect(pages.f16).toBeLessThan(7 * 8);
  if (kv.kv) expect(pages.q8 + pages.q4 + pages.q3 + pages.k3v2).toBeGreaterThan(0);
  else expect((await ask(await engineUnderTest(bytes), turn)).tokens).toEqual(cached.tokens);
  expect(kvBytes.f16).toBe(pages.f16 * pageBytes(config));
});

test('a text that parts long before its end is computed anew', async () => {
  const engine = await engineUnderTest(bytes);
  await ask(engine, QUESTION);
  const other = `${PROSE.repeat(2)}And then?`;
  const { tokens: found, end } = await ask(engine, other);
  expect(end.usage.cachedTokens).toBe(0);
  expect(found).toEqual((await ask(await engineUnderTest(bytes), other)).tokens);
  // One that parts within what is kept goes on.
  await ask(engine, QUESTION, { maxTokens: 2 });
  expect((await ask(engine, `${QUESTION.slice(0, -10)}!`)).end.usage.cachedTokens).toBeGreaterThan(5 * WINDOW);
});

test('streams side by side, and speculation, are each alone', async () => {
  const prompts = [QUESTION, `${PROSE.repeat(3)}A third`];
  const alone = [];
  for (const prompt of prompts) alone.push((await ask(await engineUnderTest(bytes), prompt)).tokens);
  const engine = await engineUnderTest(bytes);
  const together = await Promise.all(prompts.map((prompt) => ask(engine, prompt)));
  expect(together.map((each) => each.tokens)).toEqual(alone);
  expect((await ask(engine, QUESTION, { speculate: true })).tokens).toEqual(alone[0]);
});

test('a text goes on past its context', async () => {
  const short = tinyModel({ ...SIZES, type: 'F32', seed: 61, neverEnds: true, contextLength: 256 });
  const engine = await engineUnderTest(short);
  const { end, tokens: found } = await ask(engine, PROSE, { kv: 'policy', maxTokens: 500 });
  expect(found).toHaveLength(500);
  expect(end.report.kv.droppedTokens).toBeGreaterThan(200);
  // A single windowed layer, and so one that does not know what was before: dropping what is behind it changes nothing.
  const single = await engineUnderTest(tinyModel({ ...SIZES, numLayers: 1, type: 'F32', seed: 62, contextLength: 256 }));
  const roomy = await engineUnderTest(tinyModel({ ...SIZES, numLayers: 1, type: 'F32', seed: 62 }));
  const shifted = await logitsOf(single, tokens, { policy: { key: 'shifting', drops: pagesBeyondContext } });
  expect(nmse(shifted, await logitsOf(roomy, tokens))).toBeLessThan(NMSE.sameModel);
});

test('with an adapter off it is the base, bit for bit; on it is the same in pieces and at once', () => expectAdapterApart(MODEL));
