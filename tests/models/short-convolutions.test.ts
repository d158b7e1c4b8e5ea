import { expect, test } from 'vitest';
import { KvCache, layerPageBytes } from '../../src/cache/kv-cache.ts';
import type { KvOptions } from '../../src/cache/kv-options.ts';
import { isConvolved } from '../../src/config/model-config.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { expectAdapterApart, expectPoisonChangesNothing, expectReference } from '../support/models/in-pieces.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

/** Attention in the second and fifth of six layers. */
const SIZES = { architecture: 'lfm2', numLayers: 6, hiddenSize: 64, intermediateSize: 96, attentionGain: 1, ropeTheta: 1e6, contextLength: 1024 } as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 71, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
const tokens = randomTokens(250, 270, 13);
/** Shorter than a convolution, odd, of whole pages, and over several. */
const PIECES = [1, 2, 61, 64, 3, 70, 1, 33];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
const STORY = PROSE.repeat(5);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, ...options }));

test.each(['cpu', 'gpu'] as const)('in pieces, at once and one by one are the reference: class %s', (deviceClass) => expectReference(MODEL, deviceClass));

test.each(['cpu', 'gpu'] as const)('pages that convolutions are past are given back, and NaN in them changes nothing: class %s', async (deviceClass) => {
  const { poisoned, sizes } = await expectPoisonChangesNothing(MODEL, deviceClass, (bytes) => new Float32Array(bytes / 4).fill(NaN));
  const [count = 0] = poisoned;
  expect(count).toBeGreaterThan(3);
  expect(poisoned).toEqual(poisoned.map((_, layer) => (isConvolved(config, layer) ? count : 0)));
  const ofPage = layerPageBytes(config, { numPages: 1 });
  expect(ofPage[0]).toBe(PAGE_TOKENS * config.hiddenSize * 4);
  // What is kept, a batch, and what is spare.
  sizes.at(-1)!.forEach((size, layer) => expect(size / ofPage[layer]!).toBeLessThanOrEqual(isConvolved(config, layer) ? 9 : 12));
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
  expect(cached.end.usage.cachedTokens).toBeGreaterThan(200);
  const another = await engineUnderTest(bytes, { savedCaches });
  await another.savedCaches.load('story');
  const loaded = await ask(another, turn, kv);
  expect(loaded.end.usage).toEqual(cached.end.usage);
  expect(loaded.tokens).toEqual(cached.tokens);
  const { pages } = loaded.end.report.kv;
  // Convolutions have a few pages each, as they are computed.
  if (kv.kv) expect(pages.q8 + pages.q4 + pages.q3 + pages.k3v2).toBeGreaterThan(0);
  else expect((await ask(await engineUnderTest(bytes), turn)).tokens).toEqual(cached.tokens);
});

test('a text that parts within the kept pages goes on, and one that parts before them is computed anew', async () => {
  const engine = await engineUnderTest(bytes);
  const alone = async (prompt: string) => (await ask(await engineUnderTest(bytes), prompt)).tokens;
  await ask(engine, QUESTION, { maxTokens: 2 });
  const near = `${QUESTION.slice(0, -10)}!`;
  const gone = await ask(engine, near);
  expect(gone.end.usage.cachedTokens).toBeGreaterThan(200);
  expect(gone.tokens).toEqual(await alone(near));
  const far = `${PROSE.repeat(2)}And then?`;
  const anew = await ask(engine, far);
  expect(anew.end.usage.cachedTokens).toBe(0);
  expect(anew.tokens).toEqual(await alone(far));
});

test('streams side by side, speculation, and what comes after an abort are each alone', async () => {
  const prompts = [QUESTION, `${PROSE.repeat(3)}A third`, 'Winds'];
  const alone = [];
  for (const prompt of prompts) alone.push((await ask(await engineUnderTest(bytes), prompt)).tokens);
  const engine = await engineUnderTest(bytes);
  const together = await Promise.all(prompts.map((prompt) => ask(engine, prompt)));
  expect(together.map((each) => each.tokens)).toEqual(alone);
  expect((await ask(engine, QUESTION, { speculate: true })).tokens).toEqual(alone[0]);
  const other = await engineUnderTest(bytes);
  const answers = await Promise.all([ask(other, QUESTION), ask(other, QUESTION, { isFurther: true }), ask(other, QUESTION, { isFurther: true })]);
  for (const { tokens: found } of answers) expect(found).toEqual(alone[0]);
  expect(Math.max(...answers.map(({ end }) => end.usage.cachedTokens))).toBeGreaterThan(200);
  const controller = new AbortController();
  const aborted = engine.complete(QUESTION, { sampling: GREEDY, stop: [], maxTokens: 40, signal: controller.signal });
  await aborted[Symbol.asyncIterator]().next();
  controller.abort();
  expect((await ask(engine, QUESTION)).tokens).toEqual(alone[0]);
});

test('a text goes on past its context', async () => {
  const engine = await engineUnderTest(tinyModel({ ...SIZES, type: 'F32', seed: 71, neverEnds: true, contextLength: 256 }));
  const { end, tokens: found } = await ask(engine, PROSE, { kv: 'policy', maxTokens: 400 });
  expect(found).toHaveLength(400);
  expect(end.report.kv.droppedTokens).toBeGreaterThan(100);
});

test('with an adapter off it is the base, bit for bit; on it is the same in pieces and at once', () => expectAdapterApart(MODEL));

test('memory that is reported holds what convolutions keep', async () => {
  const engine = await engineUnderTest(bytes);
  const { device } = await engine.session();
  const before = engine.memory().kv;
  const cache = new KvCache(device, config, { numPages: 8 });
  const pages: Parameters<KvCache['resize']>[0] = [];
  cache.resize(pages, 8 * PAGE_TOKENS);
  expect(engine.memory().kv - before).toBeGreaterThanOrEqual(layerPageBytes(config, { numPages: 8 }).reduce((sum, size) => sum + size, 0));
});
