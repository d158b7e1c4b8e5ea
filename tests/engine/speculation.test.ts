import { describe, expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import {
  abortAt,
  ask,
  engineOf,
  expectSame,
  expectSameWithGrammar,
  fewTokens,
  OTHERS,
  PROMPT,
  TOKENS,
} from '../support/drafts/speculating.ts';

describe('an answer is the same with speculation', () => {
  test('in steps of 4 tokens', async () => {
    const engine = await engineOf(4);
    await expectSame(engine);
    // Reuses the prefix that both answers left in the cache.
    await expectSame(engine, {}, `${PROMPT} blows`);
    // Drafts that follow an unlikely one.
    for (const prompt of OTHERS) await expectSame(engine, {}, prompt);
  });

  test('with penalties, bias and filters, sampled with a seed', async () => {
    const engine = await engineOf();
    const penalties = { repetitionPenalty: 1.1, frequencyPenalty: 0.02, presencePenalty: 0.1 };
    const filters = { topK: 2, topP: 0.95 };
    for (const sampling of [
      { temperature: 0.3 },
      { ...penalties, temperature: 0.3 },
      { ...filters, temperature: 0.5 },
    ]) {
      await expectSame(engine, { sampling: fewTokens(engine, { seed: 1, ...sampling }) });
    }
  });

  test('with tokens of the prompt, which stay penalized after they were drafted and rejected', async () => {
    const engine = await engineOf();
    const sampling = fewTokens(engine, { seed: 3, repetitionPenalty: 1.5, temperature: 1 });
    for (const prompt of ['abc'.repeat(8), 'a b c '.repeat(4) + 'a b c'])
      await expectSame(engine, { sampling, maxTokens: 24 }, prompt);
  });

  test('that ends in the middle of a draft, and the request that continues it', async () => {
    const engine = await engineOf();
    const whole = await expectSame(engine);
    for (const at of [41, 43]) {
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

  test.each(['one that departs from the copied text in its middle', 'JSON'] as const)('with a grammar: %s', (name) =>
    expectSameWithGrammar(name),
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
