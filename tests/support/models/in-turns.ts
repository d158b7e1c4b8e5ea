/** What must hold of every model that keeps something of a text: from turn to turn, and beside other texts. */
import { expect } from 'vitest';
import type { KvOptions } from '../../../src/cache/kv-options.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../../src/engine/types.ts';
import { answer, type Answer } from '../answer.ts';
import { engineUnderTest } from '../engine-under-test.ts';
import { MemoryStore } from '../memory-store.ts';

type Options = Partial<GenerateOptions>;

export const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';

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
  return gone.end.usage.cachedTokens;
}

/** Answers side by side, and one that asks for drafts, are each as alone. Gives the engine, and the answer to the first prompt. */
export async function expectEachAlone(bytes: Uint8Array, prompts: readonly [string, ...string[]], options: Options = {}): Promise<{ engine: LocalEngine; first: number[] }> {
  const alone = [];
  for (const prompt of prompts) alone.push((await ask(await engineUnderTest(bytes), prompt, options)).tokens);
  const engine = await engineUnderTest(bytes);
  const together = await Promise.all(prompts.map((prompt) => ask(engine, prompt, options)));
  expect(together.map((each) => each.tokens)).toEqual(alone);
  const [first = []] = alone;
  expect((await ask(engine, prompts[0], { ...options, speculate: true })).tokens).toEqual(first);
  return { engine, first };
}

/** Several answers to one prompt are each `alone`. Gives the most that was cached of the prompt. */
export async function expectFurtherAlone(bytes: Uint8Array, prompt: string, alone: readonly number[]): Promise<number> {
  const engine = await engineUnderTest(bytes);
  const answers = await Promise.all([ask(engine, prompt), ask(engine, prompt, { isFurther: true }), ask(engine, prompt, { isFurther: true })]);
  for (const { tokens } of answers) expect(tokens).toEqual(alone);
  return Math.max(...answers.map(({ end }) => end.usage.cachedTokens));
}

/** What comes after an abort is `alone`. */
export async function expectAloneAfterAbort(engine: LocalEngine, prompt: string, alone: readonly number[]): Promise<void> {
  const controller = new AbortController();
  const aborted = engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 40, signal: controller.signal });
  await aborted[Symbol.asyncIterator]().next();
  controller.abort();
  expect((await ask(engine, prompt)).tokens).toEqual(alone);
}

/** Writes `maxTokens` with a model of a shorter context, and gives how many of them were dropped. */
export async function expectPastContext(bytes: Uint8Array, maxTokens: number): Promise<number> {
  const { end, tokens } = await ask(await engineUnderTest(bytes), PROSE, { kv: 'policy', maxTokens });
  expect(tokens).toHaveLength(maxTokens);
  return end.report.kv.droppedTokens;
}
