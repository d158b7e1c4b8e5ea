/** What must hold of every model that keeps something of a text: from turn to turn, and beside other texts. */
import { expect } from 'vitest';
import { afterTheFirst } from '../../../src/api/choices.ts';
import type { KvOptions } from '../../../src/cache/kv-options.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../../src/engine/types.ts';
import { answer, type Answer } from '../answer.ts';
import { engineUnderTest } from '../engine-under-test.ts';
import { expectError } from '../expect-error.ts';
import { MemoryStore } from '../memory-store.ts';

type Options = Partial<GenerateOptions>;

export const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';

/** What is expected of answers to different texts. */
const ALIKE = 'a model that answers alike whatever it reads would show nothing';

/** Ways to keep keys and values. */
export const KV: [string, KvOptions][] = [
  ['dense', {}],
  ['q4', { kv: 'q4' }],
  ['policy', { kv: 'policy', kvErrorBudget: 16 }],
];

export const ask = (engine: LocalEngine, prompt: string, options: Options = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, ...options }));

/** A second turn behind `story`, which is given back, is what it is from a saved text; and dense what it is without a cache. */
export async function expectSecondTurn(bytes: Uint8Array, story: string, options: Options): Promise<Answer> {
  const savedCaches = new MemoryStore();
  const engine = await engineUnderTest(bytes, { savedCaches });
  const first = await ask(engine, story, options);
  const turn = story + first.text + PROSE;
  await engine.savedCaches.save('story');
  const cached = await ask(engine, turn, options);
  expect(cached.tokens, ALIKE).not.toEqual(first.tokens);
  const another = await engineUnderTest(bytes, { savedCaches });
  await another.savedCaches.load('story');
  const loaded = await ask(another, turn, options);
  expect(loaded.end.usage).toEqual(cached.end.usage);
  expect(loaded.tokens).toEqual(cached.tokens);
  const { pages } = loaded.end.report.kv;
  if (options.kv) expect(pages.q8 + pages.q4 + pages.q3 + pages.k3v2).toBeGreaterThan(0);
  else expect((await ask(await engineUnderTest(bytes), turn, options)).tokens).toEqual(cached.tokens);
  return loaded;
}

/** A text that parts near the end of `question` is as alone, and one that parts long before is computed anew. Gives what was cached of the first. */
export async function expectPartingTexts(bytes: Uint8Array, question: string): Promise<number> {
  const engine = await engineUnderTest(bytes);
  const alone = async (prompt: string) => (await ask(await engineUnderTest(bytes), prompt)).tokens;
  await ask(engine, question, { maxTokens: 2 });
  const near = `${question.slice(0, -10)}!`;
  const gone = await ask(engine, near);
  expect(gone.tokens).toEqual(await alone(near));
  const far = `${PROSE.repeat(2)}And then?`;
  const anew = await ask(engine, far);
  expect(anew.end.usage.cachedTokens).toBe(0);
  expect(anew.tokens).toEqual(await alone(far));
  expect(anew.tokens, ALIKE).not.toEqual(gone.tokens);
  return gone.end.usage.cachedTokens;
}

/** Answers side by side, which must not be alike, and one that asks for drafts, are each as alone. Gives the answer to the first prompt. */
export async function expectEachAlone(
  bytes: Uint8Array,
  prompts: readonly [string, ...string[]],
  options: Options = {},
): Promise<number[]> {
  const alone = [];
  for (const prompt of prompts) alone.push((await ask(await engineUnderTest(bytes), prompt, options)).tokens);
  expect(new Set(alone.map(String)).size, ALIKE).toBe(prompts.length);
  const engine = await engineUnderTest(bytes);
  const together = await Promise.all(prompts.map((prompt) => ask(engine, prompt, options)));
  expect(together.map((each) => each.tokens)).toEqual(alone);
  const [first = []] = alone;
  expect((await ask(engine, prompts[0], { ...options, speculate: true })).tokens).toEqual(first);
  return first;
}

/** Several answers to one prompt, as the API asks for them, are each `alone`. Gives the most that was cached of the prompt. */
export async function expectFurtherAlone(
  bytes: Uint8Array,
  prompt: string,
  alone: readonly number[],
  options: Options = {},
): Promise<number> {
  const engine = await engineUnderTest(bytes);
  const events = [0, 1, 2].map((i) =>
    engine.complete(prompt, {
      sampling: GREEDY,
      stop: [],
      maxTokens: 40,
      ...options,
      ...(i > 0 && { isFurther: true }),
    }),
  );
  const answers = await Promise.all(afterTheFirst(events).map(answer));
  for (const { tokens } of answers) expect(tokens).toEqual(alone);
  return Math.max(...answers.map(({ end }) => end.usage.cachedTokens));
}

/**
 * What goes on from an aborted request is `alone`, and so is what is answered beside it; aborted within a prompt, which must have
 * several batches, behind the answer's first token, and in its middle.
 */
export async function expectAloneAfterAbort(
  bytes: Uint8Array,
  prompt: string,
  alone: readonly number[],
  options: Options = {},
): Promise<void> {
  for (const count of [0, 1, 9]) {
    const engine = await engineUnderTest(bytes);
    const beside = ask(engine, prompt, options);
    await expectError(() => abortedAt(engine, prompt, count), 'aborted', {});
    const { tokens, end } = await ask(engine, prompt, options);
    const { cachedTokens, promptTokens } = end.usage;
    expect(cachedTokens).toBeGreaterThan(0);
    if (count === 0) expect(cachedTokens).toBeLessThan(promptTokens / 2);
    expect([tokens, (await beside).tokens]).toEqual([alone, alone]);
  }
}

/** Aborts behind so many tokens of an answer, or behind the prompt's first batch. */
async function abortedAt(engine: LocalEngine, prompt: string, count: number): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const onKv = (): void => {
    if (count === 0) controller.abort();
  };
  let read = 0;
  for await (const { type } of engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, onKv, signal })) {
    if (type === 'token' && ++read === count) controller.abort();
  }
}

/** Writes `maxTokens` with a model of a shorter context, and gives how many of them were dropped. */
export async function expectPastContext(bytes: Uint8Array, maxTokens: number): Promise<number> {
  const { end, tokens } = await ask(await engineUnderTest(bytes), PROSE, { kv: 'policy', maxTokens });
  expect(tokens).toHaveLength(maxTokens);
  return end.report.kv.droppedTokens;
}
