import { expect, test } from 'vitest';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { PlanEvent } from '../../src/engine/types.ts';
import { readOnce } from '../../src/gpu/recorder.ts';
import {
  adaptedEngine,
  ask,
  CHUNKWISE,
  conversation,
  lengthOf,
  MODEL,
  STORY,
  use,
} from '../support/adapters/activated-adapters.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';

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
  const cached = await conversation(engine, [
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
