import { describe, expect, test } from 'vitest';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions, PlanEvent } from '../../src/engine/types.ts';
import { type DraftSize, StepCosts } from '../../src/session/speculation/step-costs.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { type Answer, answer } from '../support/answer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { type EngineTestOptions, engineUnderTest } from '../support/engine-under-test.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 81, contextLength: 512, neverEnds: true });
const PROMPT = 'The wind comes from the hills. The wind comes from the hills. The wind';
const OTHERS = ['A third, a third, a third, a', 'And of the fourth nobody speaks; nobody speaks; nobody'];
const TOKENS = 60;
/** Tokens that answers are kept to, so that what is drawn repeats itself now and then. */
const FEW = 'abc';

/** Steps of so many tokens cost next to nothing: whatever may be drafted is, and much of it is wrong. */
class FreeDrafts extends StepCosts {
  constructor(private readonly size: DraftSize) {
    super({ variant: { lanes: 1 } } as never, () => undefined);
  }

  override of(size: DraftSize): number {
    return size === this.size ? 1e-3 : 1e3;
  }
}

async function engineOf(size: DraftSize = 8, options: EngineTestOptions = {}): Promise<LocalEngine> {
  const engine = await engineUnderTest(bytes, options);
  (await engine.session()).stepCosts = new FreeDrafts(size);
  return engine;
}

const ask = (engine: LocalEngine, options: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: TOKENS, speculate: true, ...options }));

/** Draws from three tokens, at first as likely as each other. */
function fewTokens(engine: LocalEngine, more: Partial<SamplingOptions>): SamplingOptions {
  const few = engine.tokenizer.encode(FEW);
  const bias = Array.from({ length: engine.tokenizer.vocabSize }, (_, token) => [token, few.includes(token) ? 0 : -100] as const);
  return { ...GREEDY, temperature: 1, ...more, logitBias: new Map(bias) };
}

/** The same with and without speculation, which takes part. */
async function expectSame(engine: LocalEngine, options: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> {
  const plain = await ask(engine, { ...options, speculate: false }, prompt);
  const speculated = await ask(engine, options, prompt);
  expect(plain.end.report.tokensPerStep).toBe(1);
  expect(speculated.end.report.tokensPerStep).toBeGreaterThan(1.05);
  expect(speculated.tokens).toEqual(plain.tokens);
  expect({ text: speculated.text, reason: speculated.end.finishReason }).toEqual({ text: plain.text, reason: plain.end.finishReason });
  expect(speculated.end.usage.completionTokens).toBe(plain.end.usage.completionTokens);
  return plain;
}

describe('an answer is the same with speculation', () => {
  test.each([2, 4, 8] as const)('in steps of %d tokens', async (size) => {
    const engine = await engineOf(size);
    await expectSame(engine);
    // Goes on from what both left in the cache.
    await expectSame(engine, {}, `${PROMPT} blows`);
    // Where a draft is behind none that is likely, too.
    for (const prompt of OTHERS) await expectSame(engine, {}, prompt);
  });

  test('with penalties, bias and filters, drawn with a seed', async () => {
    const engine = await engineOf();
    for (const seed of [1, 2, 3]) {
      await expectSame(engine, { sampling: fewTokens(engine, { seed, temperature: 0.3 }) });
      await expectSame(engine, { sampling: fewTokens(engine, { seed, repetitionPenalty: 1.1, frequencyPenalty: 0.02, presencePenalty: 0.1, temperature: 0.3 }) });
      await expectSame(engine, { sampling: fewTokens(engine, { seed, topK: 2, topP: 0.95, temperature: 0.5 }) });
    }
  });

  test('where it ends in the middle of a draft, and what goes on from there', async () => {
    const engine = await engineOf();
    const whole = await expectSame(engine);
    for (const at of [40, 41, 42, 43, 44]) {
      const { tokens } = await expectSame(engine, { maxTokens: at });
      expect(tokens).toEqual(whole.tokens.slice(0, at));
      const stop = [engine.tokenizer.decode(whole.tokens.slice(at, at + 12))];
      await expectSame(engine, { stop });
    }
    const { sequences } = await engine.session();
    for (const { tokens, pages } of sequences.idle) expect(pages.length).toBe(Math.ceil(tokens.length / 32));
    await expectSame(engine, {}, PROMPT + engine.tokenizer.decode(whole.tokens.slice(0, 43)));
  });

  test('of several answers, and of several streams side by side', async () => {
    const engine = await engineOf();
    const prompts = [PROMPT, ...OTHERS];
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push((await expectSame(engine, {}, prompt)).tokens);
    const other = await engineOf();
    // Of unequal lengths: the last one ends alone.
    const together = await Promise.all(prompts.map((prompt, i) => ask(other, { maxTokens: TOKENS - 20 + 10 * i }, prompt)));
    together.forEach(({ tokens }, i) => expect(tokens).toEqual(alone[i]?.slice(0, TOKENS - 20 + 10 * i)));
    const further = await Promise.all([ask(other), ask(other, { isFurther: true }), ask(other, { isFurther: true })]);
    for (const { tokens } of further) expect(tokens).toEqual(alone[0]);
  });

  test('with pages in other forms, grammars and log-probabilities, which go without', async () => {
    const engine = await engineOf();
    const variants: Partial<GenerateOptions>[] = [
      { kv: 'policy' },
      { kv: 'q4' },
      { responseFormat: { type: 'grammar', grammar: 'root ::= ("ab" | "cd")+' } },
      { topLogprobs: 2 },
    ];
    for (const variant of variants) {
      const plain = await ask(engine, { ...variant, speculate: false });
      const { tokens, end } = await ask(engine, variant);
      expect(tokens).toEqual(plain.tokens);
      expect(end.report.tokensPerStep).toBe(1);
    }
  });

  test('after one was aborted in its middle', async () => {
    const engine = await engineOf();
    const plain = await ask(engine, { speculate: false });
    const controller = new AbortController();
    const tokens: number[] = [];
    const events = engine.complete(PROMPT, { sampling: GREEDY, stop: [], maxTokens: TOKENS, speculate: true, signal: controller.signal });
    await expect(
      (async () => {
        for await (const event of events) {
          if (event.type === 'token' && tokens.push(event.token) === 41) controller.abort();
        }
      })(),
    ).rejects.toMatchObject({ code: 'aborted' });
    expect(tokens).toEqual(plain.tokens.slice(0, 41));
    expect((await ask(engine)).tokens).toEqual(plain.tokens);
  });
});

describe('adapters', () => {
  const NAME = 'tiny';

  async function adapted(deviceClass: 'cpu' | 'gpu'): Promise<LocalEngine> {
    const engine = await engineOf(8, { deviceClass });
    const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
    await engine.loadAdapter(NAME, peftSource(tinyAdapter(config, { seed: 21, rank: 16, gain: 0.1 })));
    return engine;
  }

  test.each([
    ['uniform', 'cpu'],
    ['chunkwise', 'cpu'],
    ['chunkwise', 'gpu'],
  ] as const)('answer the same, with %s ranks, on class %s', async (ranks, deviceClass) => {
    const engine = await adapted(deviceClass);
    const options: Partial<GenerateOptions> = { adapters: [{ name: NAME, scale: 1 }], ranks, rankErrorBudget: 0.9, rampWidth: 2, maxTokens: 100 };
    const rowsOf = async (speculate: boolean) => {
      const plans: PlanEvent[] = [];
      const { tokens, end } = await ask(engine, { ...options, speculate, onPlan: (plan) => plans.push(plan) });
      return { tokens, steps: end.report.tokensPerStep, rows: plans.filter(({ start }) => start >= end.usage.promptTokens).flatMap(({ rows }) => rows) };
    };
    const plain = await rowsOf(false);
    const speculated = await rowsOf(true);
    expect(speculated.tokens).toEqual(plain.tokens);
    expect(speculated.rows).toEqual(plain.rows);
    expect(speculated.steps).toBeGreaterThan(1.2);
    expect(new Set(plain.rows.map(({ levelHi }) => levelHi)).size).toBeGreaterThan(ranks === 'chunkwise' ? 1 : 0);
  });
});

test('sampling draws as often what it draws without', async () => {
  const engine = await engineOf();
  const few = engine.tokenizer.encode(FEW);
  const RUNS = 100;
  /** Of the last tokens of short answers, one a seed. */
  const drawn = async (speculate: boolean, firstSeed: number) => {
    const counts = few.map(() => 0);
    let steps = 0;
    for (let seed = firstSeed; seed < firstSeed + RUNS; seed++) {
      const { tokens, end } = await ask(engine, { maxTokens: 7, speculate, sampling: fewTokens(engine, { seed }) }, 'abcabcabcabcabcabcabcabc');
      counts[few.indexOf(tokens.at(-1) ?? NaN)]!++;
      steps += 6 / end.report.tokensPerStep;
    }
    return { counts, tokensPerStep: (6 * RUNS) / steps };
  };
  const plain = await drawn(false, RUNS);
  const speculated = await drawn(true, 0);
  expect(speculated.tokensPerStep).toBeGreaterThan(1.05);
  const both = few.map((_, i) => [plain.counts[i] ?? 0, speculated.counts[i] ?? 0] as const);
  expect(Math.min(...both.map(([a, b]) => a + b))).toBeGreaterThan(5);
  const chiSquare = both.reduce((sum, [a, b]) => sum + (a - b) ** 2 / (a + b), 0);
  expect(chiSquare).toBeLessThan(9.2); // two degrees of freedom, p = 0.01
});
