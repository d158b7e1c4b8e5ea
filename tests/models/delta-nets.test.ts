import { expect, test } from 'vitest';
import { kvBytes } from '../../src/cache/kv-report.ts';
import type { KvOptions } from '../../src/cache/kv-options.ts';
import { mostStates, STATE_TOKENS } from '../../src/cache/text-states.ts';
import { stateBytes } from '../../src/config/delta-net.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { greedy } from '../../src/session/sampling/greedy-draw.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { expectAdapterApart, expectReference } from '../support/models/in-pieces.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

/** Attention in the second and fifth of six layers; key heads serve two value heads each. */
const SIZES = {
  ...({ architecture: 'qwen35', numLayers: 6, attending: [1, 4], hiddenSize: 64, intermediateSize: 96, headDim: 32, rotaryDim: 16, numHeads: 4, numKvHeads: 2 } as const),
  ...({ deltaHeads: [4, 8, 32], attentionGain: 1, ropeTheta: 1e6, contextLength: 1024 } as const),
};
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 72, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
const tokens = randomTokens(300, 270, 13);
/** Shorter than the convolution, odd, of whole pages, and over several; a state is kept in the middle of the last. */
const PIECES = [1, 2, 61, 64, 3, 70, 1, 90];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
const STORY = PROSE.repeat(6);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, ...options }));

test.each(['cpu', 'gpu'] as const)('in pieces, at once and one by one are the reference: class %s', (deviceClass) => expectReference(MODEL, deviceClass));

test('states are kept where they may be gone on from, and given back else', async () => {
  const session = await (await engineUnderTest(bytes)).session();
  const sequence = new Sequence();
  const places = () => sequence.states.map((state) => state.tokens);
  const stateBytesOf = () => kvBytes([], sequence.states) / stateBytes(config.deltaNet!) / config.deltaNet!.layers.length;
  await session.prefill(sequence, tokens, () => undefined);
  expect(places()).toContain(STATE_TOKENS);
  expect(places().at(-1)).toBe(tokens.length);
  expect(stateBytesOf()).toBe(places().length);
  session.release(sequence);
  expect(places()).toEqual([]);
  // A prompt, and an answer whose last step is thrown away.
  const { sequences } = session;
  const turn = sequences.take(tokens);
  await session.prefill(turn, tokens, () => undefined);
  for (let step = 1; step <= 6; step++) {
    await session.decode([greedy(turn, tokens.length + step)]);
    if (step < 6) turn.tokens.push(7);
  }
  sequences.giveBack(turn);
  const ends = [STATE_TOKENS, tokens.length, tokens.length + 5];
  expect(turn.states.map((state) => state.tokens)).toEqual(ends);
  for (const end of [...ends].reverse()) {
    const prompt = [...turn.tokens.slice(0, end), 9, 9];
    const next = sequences.take(prompt);
    expect([next.reused, next.tokens.length]).toEqual([end, end]);
    sequences.giveBack(next);
  }
  session.release(turn);
  const { layers, numPages } = session.transformer.cache;
  // Each turn's end would be kept, but for the room.
  for (let turn = 0; turn < 60; turn++) await session.prefill(sequence, [turn], () => undefined);
  expect(places()).toHaveLength(mostStates(numPages));
  expect(layers[0]!.buffer.size).toBeLessThanOrEqual(mostStates(numPages) * stateBytes(config.deltaNet!));
  session.release(sequence);
  expect(layers[0]!.buffer.size).toBeLessThanOrEqual(2 * stateBytes(config.deltaNet!));
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
  expect(cached.end.usage.cachedTokens).toBeGreaterThanOrEqual(STATE_TOKENS);
  const another = await engineUnderTest(bytes, { savedCaches });
  await another.savedCaches.load('story');
  const loaded = await ask(another, turn, kv);
  expect(loaded.end.usage).toEqual(cached.end.usage);
  expect(loaded.tokens).toEqual(cached.tokens);
  const { pages } = loaded.end.report.kv;
  if (kv.kv) expect(pages.q8 + pages.q4 + pages.q3 + pages.k3v2).toBeGreaterThan(0);
  else expect((await ask(await engineUnderTest(bytes), turn)).tokens).toEqual(cached.tokens);
});

test('a text that parts behind a kept state goes on from there, and one that parts before is computed anew', async () => {
  const engine = await engineUnderTest(bytes);
  const alone = async (prompt: string) => (await ask(await engineUnderTest(bytes), prompt)).tokens;
  await ask(engine, QUESTION, { maxTokens: 2 });
  const near = `${QUESTION.slice(0, -10)}!`;
  const gone = await ask(engine, near);
  expect(gone.end.usage.cachedTokens).toBe(STATE_TOKENS);
  expect(gone.tokens).toEqual(await alone(near));
  const far = `${PROSE.repeat(2)}And then?`;
  const anew = await ask(engine, far);
  expect(anew.end.usage.cachedTokens).toBe(0);
  expect(anew.tokens).toEqual(await alone(far));
});

test('streams side by side, further answers, what asks for drafts, and what comes after an abort are each alone', async () => {
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
  expect(Math.max(...answers.map(({ end }) => end.usage.cachedTokens))).toBe(STATE_TOKENS);
  const controller = new AbortController();
  const aborted = engine.complete(QUESTION, { sampling: GREEDY, stop: [], maxTokens: 40, signal: controller.signal });
  await aborted[Symbol.asyncIterator]().next();
  controller.abort();
  expect((await ask(engine, QUESTION)).tokens).toEqual(alone[0]);
});

test('a text goes on past its context', async () => {
  const engine = await engineUnderTest(tinyModel({ ...SIZES, type: 'F32', seed: 72, neverEnds: true, contextLength: 256 }));
  const { end, tokens: found } = await ask(engine, PROSE, { kv: 'policy', maxTokens: 400 });
  expect(found).toHaveLength(400);
  expect(end.report.kv.droppedTokens).toBeGreaterThan(100);
});

test('with an adapter off it is the base, bit for bit; on it is the same in pieces and at once', () => expectAdapterApart(MODEL));
