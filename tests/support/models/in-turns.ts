/** Expectations for every model that caches a text: from turn to turn, and with concurrent texts. */
import { expect } from 'vitest';
import type { KvOptions } from '../../../src/cache/policy.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import type { GenerateOptions, GenerateEvent } from '../../../src/engine/types.ts';
import { answer, type Answer } from '../answer.ts';
import { engineUnderTest } from '../engine-under-test.ts';
import { expectError } from '../expect-error.ts';
import { MemoryStore } from '../memory-store.ts';

type Options = Partial<GenerateOptions>;

export const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';

/** The message if answers to different texts are equal. */
const ALIKE = 'a model that answers alike whatever it reads would show nothing';

/** Ways to cache keys and values: in f16, and in smaller forms, which pages take one after another. */
export const KV: [string, KvOptions][] = [
  ['dense', {}],
  ['policy', { kv: 'policy', kvErrorBudget: 16 }],
];

export const ask = (engine: LocalEngine, prompt: string, options: Options = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, ...options }));

/** Expects a second turn after `story` to equal the one after a saved cache is loaded and, if dense, the one without a cache. Returns that second turn. */
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
  else expect((await ask(another, turn, { ...options, recomputePrompt: true })).tokens).toEqual(cached.tokens);
  return loaded;
}

/** Expects a text that diverges near the end of `question` to answer as alone, and one that diverges early to be recomputed. Returns the number of cached tokens of the first. */
export async function expectPartingTexts(bytes: Uint8Array, question: string): Promise<number> {
  const [engine, other] = [await engineUnderTest(bytes), await engineUnderTest(bytes)];
  const alone = async (prompt: string) => (await ask(other, prompt, { recomputePrompt: true })).tokens;
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

/** Expects concurrent answers, which must differ, and one with drafts, to equal each alone. Returns the answer to the first prompt. */
export async function expectEachAlone(
  bytes: Uint8Array,
  prompts: readonly [string, ...string[]],
  options: Options = {},
): Promise<number[]> {
  const alone = [];
  const other = await engineUnderTest(bytes);
  for (const prompt of prompts) alone.push((await ask(other, prompt, { ...options, recomputePrompt: true })).tokens);
  expect(new Set(alone.map(String)).size, ALIKE).toBe(prompts.length);
  const engine = await engineUnderTest(bytes);
  const together = await Promise.all(prompts.map((prompt) => ask(engine, prompt, options)));
  expect(together.map((each) => each.tokens)).toEqual(alone);
  const [first = []] = alone;
  expect((await ask(engine, prompts[0], { ...options, speculate: true })).tokens).toEqual(first);
  return first;
}

/** Expects several answers to one prompt, requested as by the API, each to equal `alone`. Returns the largest cached prefix of the prompt. */
export async function expectFurtherAlone(
  bytes: Uint8Array,
  prompt: string,
  alone: readonly number[],
  options: Options = {},
): Promise<number> {
  const engine = await engineUnderTest(bytes);
  const [first, ...others] = [0, 1, 2].map((i) =>
    engine.complete(prompt, {
      sampling: GREEDY,
      stop: [],
      maxTokens: 40,
      ...options,
      ...(i > 0 && { isFurther: true }),
    }),
  );
  if (!first) throw new Error('three answers were asked for');
  const begun = await first.next(); // the API starts the others now
  async function* all(): AsyncGenerator<GenerateEvent, void> {
    if (!begun.done) yield begun.value;
    if (first) yield* first;
  }
  const answers = await Promise.all([all(), ...others].map(answer));
  for (const { tokens } of answers) expect(tokens).toEqual(alone);
  return Math.max(...answers.map(({ end }) => end.usage.cachedTokens));
}

/**
 * Expects a request that reuses the prefix of an aborted one, and an answer concurrent with it, to equal `alone`. Aborts come within
 * the prompt, which must take several batches, and in the middle of the answer.
 */
export async function expectAloneAfterAbort(
  bytes: Uint8Array,
  prompt: string,
  alone: readonly number[],
  options: Options = {},
): Promise<void> {
  for (const count of [0, 9]) {
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

/** Aborts after `count` tokens of an answer, or for 0 after the prompt's first batch. */
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

/** Generates `maxTokens` tokens with a model of a shorter context. Returns how many tokens were dropped. */
export async function expectPastContext(bytes: Uint8Array, maxTokens: number): Promise<number> {
  const { end, tokens } = await ask(await engineUnderTest(bytes), PROSE, { kv: 'policy', maxTokens });
  expect(tokens).toHaveLength(maxTokens);
  return end.report.kv.droppedTokens;
}
