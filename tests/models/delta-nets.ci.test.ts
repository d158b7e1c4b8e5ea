import { expect, test } from 'vitest';
import { pagesFor } from '../../src/cache/kv-cache.ts';
import { kvBytes } from '../../src/cache/kv-report.ts';
import { mostStates, STATE_TOKENS } from '../../src/cache/text-states.ts';
import { stateBytes } from '../../src/config/delta-net.ts';
import { pageBytes } from '../../src/kernels/heads.ts';
import { prefillAndDraw } from '../../src/measure/decode-run.ts';
import type { DrawnToken } from '../../src/session/sampling/draw-request.ts';
import { greedy } from '../../src/session/sampling/greedy-draw.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { expectAdapterApart, expectReference } from '../support/models/in-pieces.ts';
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

/** Attention in the second and fifth of six layers; key heads serve two value heads each. */
const SIZES = {
  ...({
    architecture: 'qwen35',
    numLayers: 6,
    attending: [1, 4],
    hiddenSize: 64,
    intermediateSize: 96,
    headDim: 32,
    rotaryDim: 16,
    numHeads: 4,
    numKvHeads: 2,
  } as const),
  ...({ deltaHeads: [4, 8, 32], attentionGain: 1, ropeTheta: 1e6, contextLength: 1024 } as const),
};
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 72, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
const tokens = randomTokens(300, 270, 13);
/** Shorter than the convolution, odd, of whole pages, and over several; a state is kept in the middle of the last. */
const PIECES = [1, 2, 61, 64, 3, 70, 1, 90];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const STORY = PROSE.repeat(6);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

test.each(['cpu', 'gpu'] as const)('in pieces, at once and one by one are the reference: class %s', (deviceClass) =>
  expectReference(MODEL, deviceClass),
);

test('states are kept where they may be gone on from, and given back else', async () => {
  const session = await (await engineUnderTest(bytes)).session();
  const sequence = new Sequence();
  const places = () => sequence.states.map((state) => state.tokens);
  const stateBytesOf = () =>
    kvBytes([], sequence.states) / stateBytes(config.deltaNet!) / config.deltaNet!.layers.length;
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

test('what a step reads stays, however many states a text beside it keeps', async () => {
  const session = await (await engineUnderTest(bytes)).session();
  const { sequences } = session;
  const { states } = session.transformer.cache;
  const prompt = tokens.slice(0, 5);
  const stepsOf = async (beside: boolean): Promise<number[]> => {
    const short = sequences.take(prompt);
    const drawn = [(await prefillAndDraw(session, short, prompt)).token];
    const long = sequences.take([9, 9], { slot: 1 });
    // Each turn's end is kept, until there is no room for more.
    while (beside && states.room > 0) await session.prefill(long, [9], () => undefined);
    const streams = beside ? [short, long] : [short];
    for (let step = 0; step < 4; step++) {
      const [result] = await session.decode(streams.map((each) => greedy(each, each.tokens.length + 1)));
      drawn.push((result as DrawnToken).token);
      for (const { tokens: own } of streams) own.push(7); // any: only places matter
    }
    for (const each of [short, long]) {
      sequences.giveBack(each);
      session.release(each);
    }
    return drawn;
  };
  const alone = await stepsOf(false);
  expect(await stepsOf(true)).toEqual(alone);
});

test('a text that went back goes on from there, however many states a text beside it keeps', async () => {
  const session = await (await engineUnderTest(bytes)).session();
  const { sequences } = session;
  const { states } = session.transformer.cache;
  const text = sequences.take(tokens);
  await session.prefill(text, tokens.slice(0, 5), () => undefined);
  for (const token of tokens.slice(5, 8)) {
    await session.decode([greedy(text, text.tokens.length + 1)]);
    text.tokens.push(token);
  }
  sequences.goBack(text, 5, 0);
  const long = sequences.take([9, 9], { slot: 1 });
  while (states.room > 0) await session.prefill(long, [9], () => undefined);
  await session.prefill(long, [9], () => undefined);
  const drawn = await prefillAndDraw(session, text, tokens.slice(5, 40));
  const alone = new Sequence(undefined, 2);
  await session.prefill(alone, tokens.slice(0, 5), () => undefined);
  expect(drawn.token).toBe((await prefillAndDraw(session, alone, tokens.slice(5, 40))).token);
});

test.each(KV)('a second turn, cached, saved and loaded, or neither: %s', async (_name, kv) => {
  const { end } = await expectSecondTurn(bytes, STORY, kv);
  expect(end.usage.cachedTokens).toBeGreaterThanOrEqual(STATE_TOKENS);
});

test('a budget of memory that all of its pages keep to changes no page and gives none up', async () => {
  const dense = await ask(await engineUnderTest(bytes), STORY);
  const kvMemoryBudget = dense.end.report.kv.bytes.f16;
  expect(kvMemoryBudget).toBe(2 * pagesFor(dense.end.usage.promptTokens + 40 - 1) * pageBytes(config));
  const { tokens, end } = await ask(await engineUnderTest(bytes), STORY, { kv: 'policy', kvMemoryBudget });
  expect(end.report.kv).toMatchObject({ droppedTokens: 0, memoryOverrode: false, bytes: dense.end.report.kv.bytes });
  expect(tokens).toEqual(dense.tokens);
  const less = await ask(await engineUnderTest(bytes), STORY, { kv: 'policy', kvMemoryBudget: kvMemoryBudget - 1 });
  expect(less.end.report.kv.memoryOverrode).toBe(true);
});

test('a text that parts behind a kept state goes on from there, and one that parts before is computed anew', async () => {
  expect(await expectPartingTexts(bytes, QUESTION)).toBe(STATE_TOKENS);
});

test('streams side by side, further answers, what asks for drafts, and what comes after an abort are each alone', async () => {
  const first = await expectEachAlone(bytes, [QUESTION, `${PROSE.repeat(3)}A third`, 'Winds']);
  expect(await expectFurtherAlone(bytes, QUESTION, first)).toBe(STATE_TOKENS);
  await expectAloneAfterAbort(bytes, QUESTION, first);
});

test('a text goes on past its context', async () => {
  expect(
    await expectPastContext(tinyModel({ ...SIZES, type: 'F32', seed: 72, neverEnds: true, contextLength: 256 }), 400),
  ).toBeGreaterThan(100);
});

test('with an adapter off it is the base, bit for bit; on it is the same in pieces and at once', () =>
  expectAdapterApart(MODEL));
