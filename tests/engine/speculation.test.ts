import { describe, expect, test } from 'vitest';
import { kvMap } from '../../src/cache/kv-cache.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions, PlanEvent } from '../../src/engine/types.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { type DraftSize, StepCosts } from '../../src/session/speculation/step-costs.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { type Answer, answer } from '../support/answer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { type EngineTestOptions, engineUnderTest } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { byTier, restOnly } from '../support/tier.ts';
import { mostRecurrentStates } from '../../src/cache/recurrent-states.ts';

const MODEL = { architecture: 'llama', type: 'Q4_1', seed: 81, contextLength: 512, neverEnds: true } as const;
const bytes = tinyModel(MODEL);
/** A model with a recurrent state in three of its four layers. */
const STATES = { ...MODEL, architecture: 'qwen35', type: 'F32', seed: 82, numLayers: 4, attentionGain: 1 } as const;
const PROMPT = 'The wind comes from the hills. The wind comes from the hills. The wind';
const OTHERS = ['A third, a third, a third, a', 'And of the fourth nobody speaks; nobody speaks; nobody'];
const LONG = Array.from(
  { length: 5 },
  (_, i) => `${i}. The wind comes from the hills, and goes to the sea at ${i + 7}. `,
)
  .join('')
  .repeat(2)
  .slice(0, 400);
const TOKENS = 60;
/** Allowed tokens of answers: few enough that answers repeat themselves. */
const FEW = 'abc';

/** Steps of several tokens cost almost nothing, so that everything is drafted, and many drafts are wrong. */
class FreeDrafts extends StepCosts {
  constructor(private readonly size: DraftSize) {
    super({ variant: { lanes: 1 } } as never, () => undefined);
  }

  override of(size: DraftSize): number {
    return size === this.size ? 1e-3 : 1e3;
  }
}

async function engineOf(size: DraftSize = 8, options: EngineTestOptions = {}, model = bytes): Promise<LocalEngine> {
  const engine = await engineUnderTest(model, options);
  (await engine.session()).stepCosts = new FreeDrafts(size);
  return engine;
}

const ask = (engine: LocalEngine, options: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: TOKENS, speculate: true, ...options }));

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

/** Samples from three tokens that are equally likely at first. */
function fewTokens(engine: LocalEngine, more: Partial<SamplingOptions>): SamplingOptions {
  const few = engine.tokenizer.encode(FEW);
  const bias = Array.from(
    { length: engine.tokenizer.vocabSize },
    (_, token) => [token, few.includes(token) ? 0 : -100] as const,
  );
  return { ...GREEDY, temperature: 1, ...more, logitBias: new Map(bias) };
}

/** Aborts an answer after `count` tokens, and returns them. */
async function abortAt(engine: LocalEngine, options: Partial<GenerateOptions>, count: number): Promise<number[]> {
  const controller = new AbortController();
  const { signal } = controller;
  const tokens: number[] = [];
  const read = async (): Promise<void> => {
    for await (const event of engine.complete(PROMPT, {
      sampling: GREEDY,
      stop: [],
      maxTokens: TOKENS,
      speculate: true,
      ...options,
      signal,
    })) {
      if (event.type === 'token' && tokens.push(event.token) === count) controller.abort();
    }
  };
  await expect(read()).rejects.toMatchObject({ code: 'aborted' });
  return tokens;
}

/** Expects the same answer with and without speculation, and that drafts were verified. */
async function expectSame(
  engine: LocalEngine,
  options: Partial<GenerateOptions> = {},
  prompt = PROMPT,
): Promise<Answer> {
  const plain = await ask(engine, { ...options, speculate: false }, prompt);
  const speculated = await ask(engine, options, prompt);
  // Forced and likely tokens of a grammar are verified in any case.
  if (options.responseFormat === undefined) expect(plain.end.report.tokensPerStep).toBe(1);
  expect(speculated.end.report.tokensPerStep).toBeGreaterThan(1.05);
  expect(speculated.tokens).toEqual(plain.tokens);
  expect({ text: speculated.text, reason: speculated.end.finishReason }).toEqual({
    text: plain.text,
    reason: plain.end.finishReason,
  });
  expect(speculated.end.usage.completionTokens).toBe(plain.end.usage.completionTokens);
  return plain;
}

describe('an answer is the same with speculation', () => {
  test.each(byTier([4] as const, [2, 4, 8] as const))('in steps of %d tokens', async (size) => {
    const engine = await engineOf(size);
    await expectSame(engine);
    // Reuses the prefix that both answers left in the cache.
    await expectSame(engine, {}, `${PROMPT} blows`);
    // Drafts that follow an unlikely one.
    for (const prompt of OTHERS) await expectSame(engine, {}, prompt);
  });

  test('with penalties, bias and filters, sampled with a seed', async () => {
    const engine = await engineOf();
    for (const seed of byTier([1], [1, 2, 3])) {
      await expectSame(engine, { sampling: fewTokens(engine, { seed, temperature: 0.3 }) });
      await expectSame(engine, {
        sampling: fewTokens(engine, {
          seed,
          repetitionPenalty: 1.1,
          frequencyPenalty: 0.02,
          presencePenalty: 0.1,
          temperature: 0.3,
        }),
      });
      await expectSame(engine, { sampling: fewTokens(engine, { seed, topK: 2, topP: 0.95, temperature: 0.5 }) });
    }
  });

  test('that ends in the middle of a draft, and the request that continues it', async () => {
    const engine = await engineOf();
    const whole = await expectSame(engine);
    for (const at of byTier([41, 43], [40, 41, 42, 43, 44])) {
      const { tokens } = await expectSame(engine, { maxTokens: at });
      expect(tokens).toEqual(whole.tokens.slice(0, at));
      const stop = [engine.tokenizer.decode(whole.tokens.slice(at, at + 12))];
      await expectSame(engine, { stop });
    }
    const { sequences } = await engine.session();
    for (const { tokens, pages } of sequences.idle) expect(pages.length).toBe(Math.ceil(tokens.length / 32));
    await expectSame(engine, {}, PROMPT + engine.tokenizer.decode(whole.tokens.slice(0, 43)));
  });

  test('with several answers, and several sequences side by side', async () => {
    const engine = await engineOf();
    const prompts = [PROMPT, ...OTHERS];
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push((await expectSame(engine, {}, prompt)).tokens);
    const other = await engineOf();
    // Answers of different lengths: the last one ends alone.
    const together = await Promise.all(
      prompts.map((prompt, i) => ask(other, { maxTokens: TOKENS - 20 + 10 * i }, prompt)),
    );
    together.forEach(({ tokens }, i) => expect(tokens).toEqual(alone[i]?.slice(0, TOKENS - 20 + 10 * i)));
    const further = await Promise.all([ask(other), ask(other, { isFurther: true }), ask(other, { isFurther: true })]);
    for (const { tokens } of further) expect(tokens).toEqual(alone[0]);
  });

  restOnly(() =>
    // Layers are probed at 8, 12 and 16 pages; the text with a context of 500 exceeds it.
    test.each([
      ['policy', 'cpu', 1024],
      ['policy', 'cpu', 500],
      ['policy', 'gpu', 1024],
      ['q4', 'cpu', 1024],
    ] as const)(
      'with %s pages, whose forms change at the same tokens, on class %s, in a context of %d',
      async (kv, deviceClass, contextLength) => {
        const answers = [];
        for (const speculate of [false, true]) {
          const engine = await engineOf(8, { deviceClass, contextLength }, tinyModel({ ...MODEL, contextLength }));
          const changes = await watchForms(engine);
          answers.push({ ...(await ask(engine, { kv, speculate, maxTokens: 240 }, LONG)), changes });
        }
        const [plain, speculated] = answers as [(typeof answers)[0], (typeof answers)[0]];
        expect(speculated.end.report.tokensPerStep).toBeGreaterThan(1.3);
        expect(speculated.tokens).toEqual(plain.tokens);
        expect(speculated.changes).toEqual(plain.changes);
        expect(plain.changes.length).toBeGreaterThan(8);
        expect(speculated.end.report.kv.pages).toEqual(plain.end.report.kv.pages);
        expect(plain.end.report.kv.droppedTokens > 0).toBe(contextLength === 500);
      },
    ),
  );

  const grammars = [
    ['words of two letters', 'root ::= ("ab" | "cd"){60}', 'abcdabcdabcdabcdabcdabcd'],
    [
      'that parts in the middle of what stands before',
      'root ::= "abcdabc" [de] ("abcdabc" [de])*',
      'abcdabcdabcdabcdabcd',
    ],
    ['that ends in the middle of what stands before', 'root ::= "abcdabcdabcdab"', 'abcdabcdabcdabcdabcdabcd'],
    ['that may end at any place', 'root ::= [abcd]*', 'abcdabcdabcdabcdabcdabcd'],
    [
      'JSON',
      'root ::= "[" item ("," item)* "]"\nitem ::= "{\\"name\\":\\"" [a-d]+ "\\"}"',
      '[{"name":"ab"},{"name":"ab"},{"name":"ab"},',
    ],
  ] as const;
  test.each(byTier([grammars[1], grammars[4]], grammars))('with a grammar: %s', async (_, grammar, prompt) => {
    const engine = await engineOf();
    const eos = [...engine.tokenizer.eosIds].map((token) => [token, -2] as const);
    for (const sampling of [
      GREEDY,
      { ...GREEDY, temperature: 1, seed: 5 },
      { ...GREEDY, temperature: 1, seed: 6, logitBias: new Map(eos) },
    ]) {
      await expectSame(engine, { responseFormat: { type: 'grammar', grammar }, sampling }, prompt);
    }
  });

  restOnly(() =>
    test('with a grammar, an adapter and a cache policy', async () => {
      const engine = await adapted('cpu');
      const grammar = 'root ::= ("ab" | "cd" | " the wind")+';
      await expectSame(
        engine,
        { responseFormat: { type: 'grammar', grammar }, ...ADAPTED, kv: 'policy', maxTokens: 120 },
        LONG.slice(0, 250),
      );
    }),
  );

  test('with log-probabilities and true errors, which turn speculation off', async () => {
    const engine = await engineOf();
    const variants: Partial<GenerateOptions>[] = [{ kv: 'q4', kvShadow: true }, { topLogprobs: 2 }];
    for (const variant of variants) {
      const plain = await ask(engine, { ...variant, speculate: false });
      const { tokens, end } = await ask(engine, variant);
      expect(tokens).toEqual(plain.tokens);
      expect(end.report.tokensPerStep).toBe(1);
    }
  });

  test('after an answer was aborted in the middle', async () => {
    const engine = await engineOf();
    const plain = await ask(engine, { speculate: false });
    expect(await abortAt(engine, {}, 41)).toEqual(plain.tokens.slice(0, 41));
    expect((await ask(engine)).tokens).toEqual(plain.tokens);
  });
});

test('tokens of a step share its time', async () => {
  const engine = await engineOf();
  const times: number[] = [];
  let steps = NaN;
  for await (const event of engine.complete(PROMPT, {
    sampling: GREEDY,
    stop: [],
    maxTokens: TOKENS,
    speculate: true,
  })) {
    if (event.type === 'token') times.push(event.ms);
    else steps = 1 + Math.round((times.length - 1) / event.report.tokensPerStep); // the prefill gives the first token
  }
  expect(steps).toBeLessThan(TOKENS);
  expect(new Set(times).size).toBe(steps);
});

restOnly(() => {
  describe('adapters', () => {
    test.each([
      ['uniform', 'cpu'],
      ['chunkwise', 'cpu'],
      ['chunkwise', 'gpu'],
    ] as const)('give the same answer, with %s ranks, on class %s', async (ranks, deviceClass) => {
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
});

restOnly(() => {
  test('sampling has the same distribution with and without', async () => {
    const engine = await engineOf();
    const few = engine.tokenizer.encode(FEW);
    const RUNS = 100;
    /** The last token of short answers, one for each seed. */
    const sampled = async (speculate: boolean, firstSeed: number) => {
      const counts = few.map(() => 0);
      let steps = 0;
      for (let seed = firstSeed; seed < firstSeed + RUNS; seed++) {
        const { tokens, end } = await ask(
          engine,
          { maxTokens: 7, speculate, sampling: fewTokens(engine, { seed }) },
          'abcabcabcabcabcabcabcabc',
        );
        counts[few.indexOf(tokens.at(-1) ?? NaN)]!++;
        steps += 6 / end.report.tokensPerStep;
      }
      return { counts, tokensPerStep: (6 * RUNS) / steps };
    };
    const plain = await sampled(false, RUNS);
    const speculated = await sampled(true, 0);
    expect(speculated.tokensPerStep).toBeGreaterThan(1.05);
    const both = few.map((_, i) => [plain.counts[i] ?? 0, speculated.counts[i] ?? 0] as const);
    expect(Math.min(...both.map(([a, b]) => a + b))).toBeGreaterThan(5);
    const chiSquare = both.reduce((sum, [a, b]) => sum + (a - b) ** 2 / (a + b), 0);
    expect(chiSquare).toBeLessThan(9.2); // two degrees of freedom, p = 0.01
  });
});

/** Limited to few tokens, since tiny models hardly ever repeat themselves. */
restOnly(() => {
  describe('an answer of a model with recurrent states is the same', () => {
    const withStates = tinyModel(STATES);
    const opened = async (size: DraftSize = 8, options: EngineTestOptions = {}) => {
      const engine = await engineOf(size, options, withStates);
      return { engine, sampling: fewTokens(engine, { temperature: 0 }) };
    };

    test.each([
      [2, 'cpu'],
      [4, 'gpu'],
      [8, 'cpu'],
      [8, 'gpu'],
    ] as const)('in steps of %d tokens, on class %s, and so is its continuation', async (size, deviceClass) => {
      const { engine, sampling } = await opened(size, { deviceClass });
      const first = await expectSame(engine, { sampling });
      for (const prompt of OTHERS) await expectSame(engine, { sampling }, prompt);
      // Each answer ends within a draft or just after it: the next one continues there, or a few tokens before.
      for (const maxTokens of [20, 21, 22, 23, 24]) {
        await ask(engine, { sampling, maxTokens });
        const turn = PROMPT + engine.tokenizer.decode(first.tokens.slice(0, maxTokens));
        const { tokens, end } = await ask(engine, { sampling }, turn);
        expect(tokens.slice(0, TOKENS - maxTokens)).toEqual(first.tokens.slice(maxTokens));
        expect(end.usage.cachedTokens).toBeGreaterThanOrEqual(end.usage.promptTokens - 2);
      }
    });

    test('at temperature, with a grammar, and with a cache policy past the context', async () => {
      const { engine } = await opened();
      for (const seed of [1, 2, 3])
        await expectSame(engine, { sampling: fewTokens(engine, { seed, temperature: 0.5 }) });
      await expectSame(engine, { responseFormat: { type: 'grammar', grammar: 'root ::= ("ab" | "cd" | "e")+' } });
      const { engine: short, sampling } = await opened(8, { contextLength: 256 });
      const { end } = await expectSame(short, { sampling, kv: 'policy', maxTokens: 300 });
      expect(end.report.kv.droppedTokens).toBeGreaterThan(0);
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
      const cached = await ask(engine, { sampling }, turn);
      const { engine: another } = await opened(8, { savedCaches });
      await another.savedCaches.load('text');
      const loaded = await ask(another, { sampling }, turn);
      expect(loaded.tokens).toEqual(cached.tokens);
      expect(loaded.end.usage.cachedTokens).toBeGreaterThan(loaded.end.usage.promptTokens - 16);
      expect((await ask((await opened()).engine, { sampling, speculate: false }, turn)).tokens).toEqual(cached.tokens);
      for (const count of [20, 21, 22, 23]) {
        await abortAt(engine, { sampling }, count);
        expect((await ask(engine, { sampling })).tokens).toEqual(first.tokens);
      }
    });

    test('and states of other texts are freed when no longer needed', async () => {
      const { engine, sampling } = await opened();
      const session = await engine.session();
      const most = mostRecurrentStates(session.plan.numPages);
      for (let i = 0; i < 12; i++) await expectSame(engine, { sampling, maxTokens: 40 }, `${i} of these. ${PROMPT}`);
      const { idle } = session.sequences;
      const states = idle.flatMap((sequence) => sequence.states);
      expect(states.length).toBeLessThanOrEqual(most);
      // Each text can be continued after its prompt, and after its answer.
      const last = idle.at(-1)!;
      expect(last.states.length).toBeLessThanOrEqual(3);
      expect(last.states.some(({ tokens, tail }) => tokens + tail === last.tokens.length)).toBe(true);
    });
  });
});
