import { expect, test } from 'vitest';
import { kvBytes, pagesFor } from '../../src/cache/kv-cache.ts';
import { STATE_TOKENS, mostRecurrentStates } from '../../src/cache/recurrent-states.ts';
import { stateBytes } from '../../src/config/model-config.ts';
import { pageBytes } from '../../src/kernels/heads.ts';
import { prefillAndSample } from '../../src/measure/steps.ts';
import { type SampledToken, greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { expectReference } from '../support/models/in-pieces.ts';
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

/** Attention in the second and fifth of six layers; two value heads per key head. */
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
/** Pieces shorter than the convolution, odd, of whole pages, and over several pages; the last one keeps a state midway. */
const PIECES = [1, 2, 61, 64, 3, 70, 1, 90];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const STORY = PROSE.repeat(6);
const QUESTION = `${STORY}What does the eighth wind wait for, and who told it to?`;

test('logits in pieces, at once and token by token match the reference', () => expectReference(MODEL, 'gpu'));

test('recurrent states are kept where a text may resume, and freed otherwise', async () => {
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
  // A prompt, and an answer whose last step is discarded.
  const { sequences } = session;
  const turn = sequences.take(tokens);
  await session.prefill(turn, tokens, () => undefined);
  for (let step = 1; step <= 6; step++) {
    await session.batches.decode([greedy(turn, tokens.length + step)]);
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
  // Each turn's end would be kept if there were room.
  for (let turn = 0; turn < 60; turn++) await session.prefill(sequence, [turn], () => undefined);
  expect(places()).toHaveLength(mostRecurrentStates(numPages));
  expect(layers[0]!.buffer.size).toBeLessThanOrEqual(mostRecurrentStates(numPages) * stateBytes(config.deltaNet!));
  session.release(sequence);
  expect(layers[0]!.buffer.size).toBeLessThanOrEqual(2 * stateBytes(config.deltaNet!));
});

test('the state that a step reads stays, however many states another text keeps', async () => {
  const session = await (await engineUnderTest(bytes)).session();
  const { sequences } = session;
  const states = session.transformer.cache.recurrentStates!;
  const prompt = tokens.slice(0, 5);
  const stepsOf = async (beside: boolean): Promise<number[]> => {
    const short = sequences.take(prompt);
    const drawn = [(await prefillAndSample(session, short, prompt)).token];
    const long = sequences.take([9, 9], { slot: 1 });
    // Each turn's end is kept, until there is no room for more.
    while (beside && states.room > 0) await session.prefill(long, [9], () => undefined);
    const streams = beside ? [short, long] : [short];
    for (let step = 0; step < 4; step++) {
      const [result] = await session.batches.decode(streams.map((each) => greedy(each, each.tokens.length + 1)));
      drawn.push((result as SampledToken).token);
      for (const { tokens: own } of streams) own.push(7); // any token: only positions matter
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

test('a text that rolled back resumes from that position, however many states another text keeps', async () => {
  const session = await (await engineUnderTest(bytes)).session();
  const { sequences } = session;
  const states = session.transformer.cache.recurrentStates!;
  const text = sequences.take(tokens);
  await session.prefill(text, tokens.slice(0, 5), () => undefined);
  for (const token of tokens.slice(5, 8)) {
    await session.batches.decode([greedy(text, text.tokens.length + 1)]);
    text.tokens.push(token);
  }
  sequences.goBack(text, 5, 0);
  const long = sequences.take([9, 9], { slot: 1 });
  while (states.room > 0) await session.prefill(long, [9], () => undefined);
  await session.prefill(long, [9], () => undefined);
  const drawn = await prefillAndSample(session, text, tokens.slice(5, 40));
  const alone = new Sequence(undefined, 2);
  await session.prefill(alone, tokens.slice(0, 5), () => undefined);
  expect(drawn.token).toBe((await prefillAndSample(session, alone, tokens.slice(5, 40))).token);
});

test.each(KV)('a second turn gives equal answers cached, saved and loaded, or uncached: %s', async (_name, kv) => {
  const { end } = await expectSecondTurn(bytes, STORY, kv);
  expect(end.usage.cachedTokens).toBeGreaterThanOrEqual(STATE_TOKENS);
});

test('a memory budget that all pages fit changes and evicts none', async () => {
  const dense = await ask(await engineUnderTest(bytes), STORY);
  const kvMemoryBudget = dense.end.report.kv.bytes.f16;
  expect(kvMemoryBudget).toBe(2 * pagesFor(dense.end.usage.promptTokens + 40 - 1) * pageBytes(config));
  const { tokens, end } = await ask(await engineUnderTest(bytes), STORY, { kv: 'policy', kvMemoryBudget });
  expect(end.report.kv).toMatchObject({ droppedTokens: 0, memoryOverrode: false, bytes: dense.end.report.kv.bytes });
  expect(tokens).toEqual(dense.tokens);
  const less = await ask(await engineUnderTest(bytes), STORY, { kv: 'policy', kvMemoryBudget: kvMemoryBudget - 1 });
  expect(less.end.report.kv.memoryOverrode).toBe(true);
});

test('a text that diverges after a kept state resumes from it; one that diverges before is recomputed', async () => {
  expect(await expectPartingTexts(bytes, QUESTION)).toBe(STATE_TOKENS);
});

test('concurrent sequences, further answers, requests with drafts and requests after an abort do not affect each other', async () => {
  const first = await expectEachAlone(bytes, [QUESTION, `${PROSE.repeat(3)}A third`, 'Winds']);
  expect(await expectFurtherAlone(bytes, QUESTION, first)).toBe(STATE_TOKENS);
  await expectAloneAfterAbort(bytes, QUESTION, first);
});

test('a text continues past its context', async () => {
  expect(
    await expectPastContext(tinyModel({ ...SIZES, type: 'F32', seed: 72, neverEnds: true, contextLength: 256 }), 400),
  ).toBeGreaterThan(100);
});
