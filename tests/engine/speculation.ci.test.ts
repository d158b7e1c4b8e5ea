import { describe, expect, test } from 'vitest';
import { kvMap } from '../../src/cache/kv-cache.ts';
import { mostRecurrentStates } from '../../src/cache/recurrent-states.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions, PlanEvent } from '../../src/engine/types.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import type { DraftSize } from '../../src/session/speculation/step-costs.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import type { Answer } from '../support/answer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import {
  abortAt,
  ask,
  bytes,
  engineOf,
  expectSame,
  expectSameWithGrammar,
  fewTokens,
  MODEL,
  OTHERS,
  PROMPT,
  TOKENS,
} from '../support/drafts/speculating.ts';
import type { EngineTestOptions } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

/** A model with a recurrent state in three of its four layers. */
const STATES = { ...MODEL, architecture: 'qwen35', type: 'F32', seed: 82, numLayers: 4, attentionGain: 1 } as const;
const LONG = Array.from(
  { length: 5 },
  (_, i) => `${i}. The wind comes from the hills, and goes to the sea at ${i + 7}. `,
)
  .join('')
  .repeat(2)
  .slice(0, 400);

/** Records at which tokens pages change form or are evicted, and their new forms. */
async function watchForms(engine: LocalEngine): Promise<{ from: number; dropped: number; forms: string }[]> {
  const { pageChanges } = await engine.session();
  const settle = pageChanges.settle.bind(pageChanges);
  const changes: { from: number; dropped: number; forms: string }[] = [];
  pageChanges.settle = (sequence, from, to) => {
    const probe = settle(sequence, from, to);
    // Excludes the page that is being filled.
    const forms = kvMap(sequence.pages.slice(0, Math.floor(sequence.placeOf(from) / PAGE_TOKENS))).forms.join('');
    if (changes.at(-1)?.forms !== forms) changes.push({ from, dropped: sequence.dropped, forms });
    return probe;
  };
  return changes;
}

const ADAPTED = { adapters: [{ name: 'tiny', scale: 1 }], rankErrorBudget: 0.9, rampWidth: 2 } as const;

/** An engine with the adapter of ADAPTED. */
async function adapted(deviceClass: 'cpu' | 'gpu'): Promise<LocalEngine> {
  const engine = await engineOf(8, { deviceClass });
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
  await engine.loadAdapter('tiny', peftSource(tinyAdapter(config, { seed: 21, rank: 16, gain: 0.1 })));
  return engine;
}

describe('an answer is the same with speculation', () => {
  test('in steps of 2 tokens', async () => {
    const engine = await engineOf(2);
    for (const prompt of [PROMPT, ...OTHERS]) await expectSame(engine, {}, prompt);
  });

  // Layers are probed at 8, 12 and 16 pages; the text exceeds a context of 400.
  test.each([
    [{ kv: 'policy' }, 1024],
    [{ kv: 'policy' }, 400],
    [{ kv: 'policy', kvMemoryBudget: 115_000 }, 1024],
    [{ kv: 'q4' }, 1024],
  ] as const)('with %o pages, whose forms change at the same tokens, in a context of %d', async (kv, contextLength) => {
    const answers = [];
    for (const speculate of [false, true]) {
      const engine = await engineOf(8, { contextLength }, tinyModel({ ...MODEL, contextLength }));
      const changes = await watchForms(engine);
      answers.push({ ...(await ask(engine, { ...kv, speculate, maxTokens: 160 }, LONG)), changes });
    }
    const [plain, speculated] = answers as [(typeof answers)[0], (typeof answers)[0]];
    expect(speculated.end.report.tokensPerStep).toBeGreaterThan(1.3);
    expect(speculated.tokens).toEqual(plain.tokens);
    expect(speculated.changes).toEqual(plain.changes);
    expect(plain.changes.length).toBeGreaterThan(8);
    expect(speculated.end.report.kv.pages).toEqual(plain.end.report.kv.pages);
    expect(plain.end.report.kv.droppedTokens > 0).toBe(contextLength === 400);
    expect(plain.end.report.kv.mergedTokens > 0).toBe('kvMemoryBudget' in kv);
  });

  test.each([
    'words of two letters',
    'one that ends in the middle of the copied text',
    'one that may end anywhere',
  ] as const)('with a grammar: %s', (name) => expectSameWithGrammar(name));

  test('with a grammar, an adapter and a cache policy', async () => {
    const engine = await adapted('cpu');
    const grammar = 'root ::= ("ab" | "cd" | " the wind")+';
    await expectSame(
      engine,
      { responseFormat: { type: 'grammar', grammar }, ...ADAPTED, kv: 'policy', maxTokens: 120 },
      LONG.slice(0, 250),
    );
  });

  test('with an adapter, where a drafted token is right but its rank is not', async () => {
    await expectSame(await adapted('cpu'), { ...ADAPTED, rampWidth: 0, ranks: 'chunkwise', maxTokens: 100 }, OTHERS[0]);
  });

  test.each([
    ['uniform', 'cpu'],
    ['chunkwise', 'cpu'],
    ['chunkwise', 'gpu'],
  ] as const)('with an adapter, whose ranks are the same too: %s ranks, on class %s', async (ranks, deviceClass) => {
    const engine = await adapted(deviceClass);
    const options: Partial<GenerateOptions> = { ...ADAPTED, ranks, maxTokens: 100 };
    const rowsOf = async (speculate: boolean) => {
      const plans: PlanEvent[] = [];
      const { tokens, end } = await ask(engine, { ...options, speculate, onPlan: (plan) => plans.push(plan) });
      return {
        tokens,
        steps: end.report.tokensPerStep,
        rows: plans.filter(({ start }) => start >= end.usage.promptTokens).flatMap(({ rows }) => rows),
      };
    };
    const plain = await rowsOf(false);
    const speculated = await rowsOf(true);
    expect(speculated.tokens).toEqual(plain.tokens);
    expect(speculated.rows).toEqual(plain.rows);
    expect(speculated.steps).toBeGreaterThan(1.2);
    expect(new Set(plain.rows.map(({ levelHi }) => levelHi)).size).toBeGreaterThan(ranks === 'chunkwise' ? 1 : 0);
  });
});

/** Limited to few tokens, since tiny models hardly ever repeat themselves. */
describe('an answer of a model with recurrent states is the same', () => {
  const withStates = tinyModel(STATES);
  const opened = async (size: DraftSize = 8, options: EngineTestOptions = {}) => {
    const engine = await engineOf(size, options, withStates);
    return { engine, sampling: fewTokens(engine, { temperature: 0 }) };
  };

  test.each([2, 8] as const)('in steps of %d tokens, and so is its continuation', async (size) => {
    const { engine, sampling } = await opened(size);
    const first = await expectSame(engine, { sampling });
    await expectSame(engine, { sampling }, OTHERS[0]);
    // Each answer ends within a draft or just after it: the next one continues there, or a few tokens before.
    for (const maxTokens of [20, 21, 23]) {
      await ask(engine, { sampling, maxTokens });
      const turn = PROMPT + engine.tokenizer.decode(first.tokens.slice(0, maxTokens));
      const { tokens, end } = await ask(engine, { sampling, maxTokens: 20 }, turn);
      expect(tokens).toEqual(first.tokens.slice(maxTokens, maxTokens + 20));
      expect(end.usage.cachedTokens).toBeGreaterThanOrEqual(end.usage.promptTokens - 2);
    }
  });

  test('at temperature, with a grammar, and with a cache policy past the context', async () => {
    const { engine } = await opened();
    await expectSame(engine, { sampling: fewTokens(engine, { seed: 1, temperature: 0.5 }) });
    await expectSame(engine, { responseFormat: { type: 'grammar', grammar: 'root ::= ("ab" | "cd" | "e")+' } });
    const { engine: short, sampling } = await opened(8, { contextLength: 256 });
    for (const kv of ['policy', 'sparse'] as const) {
      const { end } = await expectSame(short, { sampling, kv, maxTokens: 220 });
      expect(end.report.kv.droppedTokens).toBeGreaterThan(0);
      if (kv === 'sparse') expect(end.report.kv.mergedTokens).toBeGreaterThan(0);
    }
  });

  test('with sequences side by side, the last of which continues alone, and with further answers', async () => {
    const { engine, sampling } = await opened();
    const prompts = [PROMPT, ...OTHERS];
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push((await ask(engine, { sampling, speculate: false }, prompt)).tokens);
    const { engine: other } = await opened();
    const answers: number[] = [];
    const beside: Promise<Answer>[] = [];
    // The others start while the first verifies its drafts.
    for await (const event of other.complete(PROMPT, { sampling, stop: [], maxTokens: TOKENS, speculate: true })) {
      if (event.type !== 'token') continue;
      answers.push(event.token);
      if (answers.length === 20)
        prompts
          .slice(1)
          .forEach((prompt, i) => beside.push(ask(other, { sampling, maxTokens: TOKENS - 40 + 10 * i }, prompt)));
    }
    expect(answers).toEqual(alone[0]);
    for (const [i, { tokens }] of (await Promise.all(beside)).entries())
      expect(tokens).toEqual(alone[i + 1]?.slice(0, TOKENS - 40 + 10 * i));
    const further = await Promise.all([
      ask(other, { sampling }),
      ask(other, { sampling, isFurther: true }),
      ask(other, { sampling, isFurther: true }),
    ]);
    for (const { tokens } of further) expect(tokens).toEqual(alone[0]);
  });

  test('when it is saved, loaded and continued, and after an answer was aborted in the middle of its drafts', async () => {
    const savedCaches = new MemoryStore();
    const { engine, sampling } = await opened(8, { savedCaches });
    const first = await ask(engine, { sampling });
    await engine.savedCaches.save('text');
    const turn = `${PROMPT}${first.text} and`;
    const cached = await ask(engine, { sampling, maxTokens: 30 }, turn);
    const { engine: another } = await opened(8, { savedCaches });
    await another.savedCaches.load('text');
    const loaded = await ask(another, { sampling, maxTokens: 30 }, turn);
    expect(loaded.tokens).toEqual(cached.tokens);
    expect(loaded.end.usage.cachedTokens).toBeGreaterThan(loaded.end.usage.promptTokens - 16);
    const { tokens, end } = await ask(
      another,
      { sampling, maxTokens: 30, speculate: false, recomputePrompt: true },
      turn,
    );
    expect(end.usage.cachedTokens).toBe(0);
    expect(tokens).toEqual(cached.tokens);
    for (const count of [20, 21, 23]) {
      await abortAt(engine, { sampling }, count);
      expect((await ask(engine, { sampling, maxTokens: 30 })).tokens).toEqual(first.tokens.slice(0, 30));
    }
  });

  test('and states of other texts are freed when no longer needed', async () => {
    const { engine, sampling } = await opened();
    const session = await engine.session();
    const most = mostRecurrentStates(session.plan.numPages);
    const kept: number[] = [];
    for (let i = 0; i < most; i++) {
      await ask(engine, { sampling, maxTokens: 16 }, `${i} of these. ${PROMPT}`);
      const { idle } = session.sequences;
      kept.push(idle.reduce((sum, { states }) => sum + states.length, 0));
    }
    expect(Math.max(...kept)).toBeLessThanOrEqual(most);
    // Each text can be continued after its prompt, and after its answer.
    const last = session.sequences.idle.at(-1)!;
    expect(last.states.length).toBeLessThanOrEqual(3);
    expect(last.states.some(({ tokens, tail }) => tokens + tail === last.tokens.length)).toBe(true);
  });
});
