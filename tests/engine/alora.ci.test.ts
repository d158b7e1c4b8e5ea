import { expect, test } from 'vitest';
import { adaptedEngine, ask, conversation, lengthOf, STORY, use } from '../support/adapters/activated-adapters.ts';
import type { Answer } from '../support/answer.ts';

test("several adapters in turn: the base computes an adapter's answer again once the next adapter is invoked after it", async () => {
  const engine = await adaptedEngine();
  const checked = `${STORY}#j: it is so. `;
  const summed = `${checked}#s: winds. `;
  const again = `${summed}#j:`;
  const [first, second] = [lengthOf(engine, STORY), lengthOf(engine, checked)];
  const cached = await conversation(engine, [
    [STORY, {}],
    [`${STORY}#j:`, use('judge')],
    [checked, use('judge')], // the last invocation is the same, and its tokens are reused
    [`${checked}#s:`, use('short')], // from `#j:` on computed again, with the base
    [summed, use('short')],
    [again, use('judge')], // from `#s:` on computed again, with the base
    [again, {}],
  ]);
  const [judged, short] = [lengthOf(engine, `${STORY}#j:`), lengthOf(engine, `${checked}#s:`)];
  expect(cached).toEqual([0, first, judged, first, short, second, lengthOf(engine, summed)]);
});

test('an ordinary adapter beside activated ones: each starts at its own token', async () => {
  const engine = await adaptedEngine();
  const text = `${STORY}#j: so. #s:`;
  const first = lengthOf(engine, STORY);
  const cached = await conversation(engine, [
    [STORY, use('plain')],
    [text, use('plain', 'short')],
    [text, use('judge', 'short')],
    [`${STORY}#j:`, use('judge', 'short')],
    [text, use('judge')],
  ]);
  expect(cached[0]).toBe(0);
  expect(cached[1]).toBe(first);
  // Two activated adapters start at their own tokens; one without its invocation takes no part.
  expect(cached.slice(2)).toEqual([0, lengthOf(engine, `${STORY}#j:`) - 1, lengthOf(engine, `${STORY}#j:`)]);
  const { end } = await ask(engine, text, use('judge', 'short'));
  expect(end.report.invokedAt).toEqual({ judge: first, short: lengthOf(engine, `${STORY}#j: so. `) });
});

test('several answers, and requests side by side, equal those of each alone', async () => {
  const prompt = `${STORY}#j: so?`;
  const engine = await adaptedEngine();
  const [usual, base, ordinary] = [
    await ask(engine, prompt, use('judge')),
    await ask(engine, prompt),
    await ask(engine, prompt, use('plain')),
  ];
  const busy = await adaptedEngine();
  const answers = await Promise.all([
    ask(busy, prompt, use('judge')),
    ask(busy, prompt, { ...use('judge'), isFurther: true }),
    ask(busy, prompt),
    ask(busy, prompt, use('plain')),
  ]);
  expect(answers.map(({ tokens }) => tokens)).toEqual([usual, usual, base, ordinary].map(({ tokens }) => tokens));
});

test("in a text that exceeded its context, no request reuses the adapter's answer", async () => {
  const story = STORY.slice(0, 64);
  const kv = { kv: 'q4', maxTokens: 100 } as const;
  const judge = { ...use('judge'), ...kv };
  const engine = await adaptedEngine({ contextLength: 128 });
  const cached = await conversation(
    engine,
    [
      [story, kv],
      [`${story}#j:`, judge],
      [`${story}So it is.`, kv],
      [`${story}#j:`, judge],
    ],
    { contextLength: 128 },
  );
  expect(Math.min(...cached.slice(1))).toBeGreaterThan(0);
});

test.each([
  { kv: 'q4' },
  { kv: 'sparse', kvMemoryBudget: 120_000 },
  { kv: 'policy', kvMemoryBudget: 120_000 },
] as const)('with pages in other forms the base continues as if it had answered itself: $kv', async (cache) => {
  const kv = { ...cache, maxTokens: 40 };
  const story = STORY.repeat(2);
  const answers: Answer[] = [];
  for (const between of [{}, use('judge')]) {
    const engine = await adaptedEngine();
    await ask(engine, story, kv);
    await ask(engine, `${story}#j:`, { ...between, ...kv });
    answers.push(await ask(engine, `${story}So it is.`, kv));
  }
  const [base, judged] = answers;
  expect(judged?.tokens).toEqual(base?.tokens);
  expect(judged?.end.usage).toEqual(base?.end.usage);
  expect(judged?.end.usage.cachedTokens).toBeGreaterThan(100);
  expect(judged?.end.report.kv.mergedTokens).toBe(base?.end.report.kv.mergedTokens);
  expect((base?.end.report.kv.mergedTokens ?? 0) > 0).toBe('kvMemoryBudget' in cache);
});
