import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions, PlanEvent } from '../../src/engine/types.ts';
import { readOnce } from '../../src/gpu/recorder.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, type EngineTestOptions } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { restOnly } from '../support/tier.ts';

const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 1024, neverEnds: true });
const STORY = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(4);
/** Invocation text of each adapter. `plain` has the weights of `judge`, and takes every token. */
const INVOCATIONS = { judge: '#j:', short: '#s:', plain: undefined };
type Name = keyof typeof INVOCATIONS;
const SEEDS: Record<Name, number> = { judge: 5, short: 6, plain: 5 };

async function adaptedEngine(options: EngineTestOptions = {}): Promise<LocalEngine> {
  const engine = await engineUnderTest(MODEL, options);
  const { config } = (await engine.session()).plan;
  for (const [name, invocation] of Object.entries(INVOCATIONS)) {
    const alora_invocation_tokens = invocation && engine.tokenizer.encode(invocation);
    const adapter = tinyAdapter(config, { seed: SEEDS[name as Name], rank: 8, config: { alora_invocation_tokens } });
    await engine.loadAdapter(name, peftSource(adapter));
  }
  return engine;
}

/**
 * At full rank: cached tokens keep the plan they were computed with, so that ranks by chunk might answer otherwise
 * than alone.
 */
const use = (...names: Name[]) => ({ adapters: names.map((name) => ({ name, scale: 1 })), ranks: 'uniform' as const });
const CHUNKWISE = { ranks: 'chunkwise' } as const;

const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 12, ...options }));

const lengthOf = (engine: LocalEngine, text: string): number => engine.tokenizer.encode(text).length;

/** Bytes of the first `count` pages of the text computed last, by layer. */
async function pagesOf(engine: LocalEngine, count: number): Promise<Uint8Array[]> {
  const { sequences, transformer, device } = await engine.session();
  const pages = sequences.idle.at(-1)!.pages.slice(0, count);
  return Promise.all(
    transformer.cache.layers.map(async (layer, i) => {
      const ranges = layer.ranges(pages.flatMap((page) => page.layers[i] ?? []));
      return new Uint8Array(await readOnce(device, 'pages', ranges));
    }),
  );
}

/**
 * Asks the questions in turn on one engine, and each on an engine with an empty cache; expects equal answers. Returns
 * the cached tokens of each.
 */
async function conversation(
  turns: readonly (readonly [string, Partial<GenerateOptions>])[],
  options?: EngineTestOptions,
): Promise<number[]> {
  const engine = await adaptedEngine(options);
  const alone = await adaptedEngine(options);
  const cached: number[] = [];
  for (const [prompt, asked] of turns) {
    const { tokens, end } = await ask(engine, prompt, asked);
    cached.push(end.usage.cachedTokens);
    (await alone.session()).sequences.makeRoom(Infinity);
    const fresh = await ask(alone, prompt, asked);
    expect(fresh.end.usage.cachedTokens).toBe(0);
    expect(tokens, prompt).toEqual(fresh.tokens);
    expect(end.report.invokedAt).toEqual(fresh.end.report.invokedAt);
  }
  return cached;
}

test("pages before the invocation equal the base's, bit for bit, with any other adapters", async () => {
  const text = `${STORY}#j:`;
  const whole = Math.floor(lengthOf(await adaptedEngine(), STORY) / 32);
  const pages: Uint8Array[][] = [];
  for (const options of [{}, use('judge'), { ...use('judge'), ...CHUNKWISE }, use('judge', 'short'), use('plain')]) {
    const engine = await adaptedEngine();
    await ask(engine, text, options);
    pages.push(await pagesOf(engine, whole));
  }
  const [base, uniform, chunkwise, both, plain] = pages;
  expect([uniform, chunkwise, both]).toEqual([base, base, base]);
  expect(plain).not.toEqual(base);
});

test("base, adapter and base again: each reuses the base's prefix, and answers as if alone", async () => {
  const [question, invoked, next] = [`${STORY}Why?`, `${STORY}Why?#j:`, `${STORY}Why? And then?`];
  const engine = await adaptedEngine();
  const shared = lengthOf(engine, question);
  const cached = await conversation([
    [question, {}],
    [invoked, use('judge')],
    [next, {}],
    [invoked, use('judge')],
    [invoked, use('plain')],
    [next, {}],
  ]);
  // The base cannot reuse the adapter's answer, and no request can reuse the prefix of an ordinary adapter.
  expect(cached).toEqual([0, shared, shared, shared, 0, shared]);
  const [base, judged, ordinary] = [
    await ask(engine, invoked),
    await ask(engine, invoked, use('judge')),
    await ask(engine, invoked, use('plain')),
  ];
  expect(judged.tokens).not.toEqual(base.tokens);
  expect(judged.tokens).not.toEqual(ordinary.tokens);
  expect(judged.end.report.invokedAt).toEqual({ judge: shared });
  expect(ordinary.end.report.invokedAt).toBeUndefined();
});

restOnly(() =>
  test("several adapters in turn: the base computes an adapter's answer again once the next adapter is invoked after it", async () => {
    const engine = await adaptedEngine();
    const checked = `${STORY}#j: it is so. `;
    const summed = `${checked}#s: winds. `;
    const again = `${summed}#j:`;
    const [first, second] = [lengthOf(engine, STORY), lengthOf(engine, checked)];
    const cached = await conversation([
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
  }),
);

test('without its invocation the base answers alone, and the report says so', async () => {
  const engine = await adaptedEngine();
  const base = await ask(engine, STORY);
  const plans: PlanEvent[] = [];
  const { tokens, end } = await ask(engine, STORY, {
    ...use('judge'),
    ...CHUNKWISE,
    onPlan: (plan) => plans.push(plan),
  });
  expect(tokens).toEqual(base.tokens);
  expect(end.usage.cachedTokens).toBe(end.usage.promptTokens - 1);
  expect(end.report).toMatchObject({ invokedAt: { judge: null } });
  expect(end.report.meanRank).toBeUndefined();
  expect(plans).toEqual([]);
});

restOnly(() =>
  test('an ordinary adapter beside activated ones: each starts at its own token', async () => {
    const engine = await adaptedEngine();
    const text = `${STORY}#j: so. #s:`;
    const first = lengthOf(engine, STORY);
    const cached = await conversation([
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
  }),
);

test('plan events have no rank and no ramp before the invocation', async () => {
  const engine = await adaptedEngine();
  const plans: PlanEvent[] = [];
  const text = `${STORY}#j: ${STORY}`;
  const from = lengthOf(engine, STORY);
  await ask(engine, text, { ...use('judge'), ...CHUNKWISE, onPlan: (plan) => plans.push(plan) });
  const prompt = plans.filter(({ start }) => start < lengthOf(engine, text));
  const rows = prompt.flatMap((plan) => plan.rows);
  const chunks = prompt.flatMap((plan) => plan.chunks);
  expect(prompt.flatMap(({ tokens }) => tokens)).toEqual(engine.tokenizer.encode(text));
  expect(chunks[0]).toMatchObject({ start: 0, end: from, scale: 0, meanRank: 0 });
  expect(chunks[1]).toMatchObject({ start: from, scale: 1 });
  expect(rows.findIndex(({ wLo }) => wLo > 0)).toBe(from);
  expect(rows[from]).toMatchObject({ wLo: 1 });
  // Cached tokens are not reported again.
  plans.length = 0;
  await ask(engine, `${text}!`, { ...use('judge'), ...CHUNKWISE, onPlan: (plan) => plans.push(plan) });
  expect(plans[0]?.start).toBe(lengthOf(engine, text));
});

restOnly(() =>
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
  }),
);

test('a saved text records where its adapter starts', async () => {
  const savedCaches = new MemoryStore();
  const engine = await adaptedEngine({ savedCaches });
  const [text, next] = [`${STORY}#j:`, `${STORY}#j: it is so. `];
  const before = lengthOf(engine, STORY);
  const first = await ask(engine, text, use('judge'));
  await engine.savedCaches.save('judged');
  const usual = [await ask(engine, next), await ask(engine, next, use('judge'))];
  for (const [i, options] of [{}, use('judge')].entries()) {
    const later = await adaptedEngine({ savedCaches });
    await later.savedCaches.load('judged');
    const { tokens, end } = await ask(later, next, options);
    expect(end.usage.cachedTokens).toBe(i === 0 ? before : first.end.usage.promptTokens);
    expect(tokens).toEqual(usual[i]?.tokens);
  }
});

restOnly(() =>
  test("in a text that exceeded its context, no request reuses the adapter's answer", async () => {
    const story = STORY.slice(0, 64);
    const kv = { kv: 'q4', maxTokens: 100 } as const;
    const judge = { ...use('judge'), ...kv };
    const cached = await conversation(
      [
        [story, kv],
        [`${story}#j:`, judge],
        [`${story}So it is.`, kv],
        [`${story}#j:`, judge],
      ],
      { contextLength: 128 },
    );
    expect(Math.min(...cached.slice(1))).toBeGreaterThan(0);
  }),
);

restOnly(() =>
  test('with pages in other forms the base continues as if it had answered itself', async () => {
    const kv = { kv: 'q4', maxTokens: 40 } as const;
    const answers: Answer[] = [];
    for (const between of [{}, use('judge')]) {
      const engine = await adaptedEngine();
      await ask(engine, STORY, kv);
      await ask(engine, `${STORY}#j:`, { ...between, ...kv });
      answers.push(await ask(engine, `${STORY}So it is.`, kv));
    }
    const [base, judged] = answers;
    expect(judged?.tokens).toEqual(base?.tokens);
    expect(judged?.end.usage).toEqual(base?.end.usage);
    expect(judged?.end.usage.cachedTokens).toBeGreaterThan(100);
  }),
);

test('unsupported options are refused by name', async () => {
  const engine = await engineUnderTest(MODEL, { lora: 'unfused' });
  const { config } = (await engine.session()).plan;
  const load = (alora_invocation_tokens: unknown, into = engine) =>
    into.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 1, config: { alora_invocation_tokens } })));
  const at = { file: 'adapter_config.json', field: 'alora_invocation_tokens' };
  await expectError(() => load([5, 6]), 'unsupported', { ...at, reason: /plain form/ });
  await expectError(() => load([5, config.vocabSize]), 'bad_file', { ...at, reason: /not in the base's vocabulary/ });
  await expectError(() => load([]), 'bad_file', at);
  expect(engine.adapters()).toEqual([]);
  const fused = await engineUnderTest(MODEL);
  await load([5, 6], fused);
  expect(fused.adapters()).toMatchObject([{ name: 'a', invocationTokens: [5, 6] }]);
});
