import { expect, it } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { GenerateEvent, GenerateOptions } from '../../src/engine/types.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';

type Token = Extract<GenerateEvent, { type: 'token' }>;

async function tokensOf(events: AsyncIterable<GenerateEvent>): Promise<Token[]> {
  const tokens: Token[] = [];
  for await (const event of events) if (event.type === 'token') tokens.push(event);
  return tokens;
}

const MODEL = {
  architecture: 'llama',
  type: 'F32',
  numLayers: 1,
  hiddenSize: 64,
  intermediateSize: 64,
  contextLength: 256,
  seed: 21,
  neverEnds: true,
} as const;

it('come from the raw logits, before temperature, penalties, bias and grammar', async () => {
  const engine = await engineUnderTest(tinyModel(MODEL));
  const prompt = 'What comes next?';
  const bias = new Map([[engine.tokenizer.encode('q')[0] ?? 0, 50]]);
  const variants: Partial<GenerateOptions>[] = [
    { sampling: GREEDY },
    { sampling: { ...GREEDY, temperature: 1.7, topK: 9, topP: 0.8, minP: 0.01, seed: 4 } },
    { sampling: { ...GREEDY, temperature: 1, presencePenalty: 2, repetitionPenalty: 1.5, logitBias: bias } },
    { sampling: { ...GREEDY, temperature: 1 }, responseFormat: { type: 'grammar', grammar: 'root ::= [a-z]{12}' } },
  ];
  for (const [topLogprobs, variant] of [5, 20, 0, 3].map((top, i) => [top, variants[i] ?? {}] as const)) {
    const options = { sampling: GREEDY, stop: [], maxTokens: 8, ...variant };
    const tokens = await tokensOf(engine.complete(prompt, { ...options, topLogprobs }));
    expect(tokens.length).toBeGreaterThan(4);
    const asked = engine.tokenizer.encode(prompt);
    const rows = await logitsOf(engine, [...asked, ...tokens.map(({ token }) => token)]);
    tokens.forEach(({ token, logprobs }, i) => {
      if (engine.tokenizer.eosIds.has(token)) return;
      const logits = rows[asked.length - 1 + i] ?? new Float32Array();
      const total = Math.log([...logits].reduce((sum, logit) => sum + Math.exp(logit), 0));
      const ranked = [...logits].sort((a, b) => b - a);
      if (!logprobs) throw new Error('none were told');
      expect(logprobs.logprob).toBeCloseTo((logits[token] ?? NaN) - total, 3);
      expect(logprobs.token).toBe(engine.tokenizer.tokenText(token));
      expect(logprobs.bytes).toEqual([...engine.tokenizer.tokenBytes(token)]);
      expect(logprobs.top).toHaveLength(topLogprobs);
      logprobs.top.forEach(({ logprob }, rank) => expect(logprob).toBeCloseTo((ranked[rank] ?? NaN) - total, 3));
    });
    // Without the option there are no log-probabilities, and the samples are the same.
    const plain = await tokensOf(engine.complete(prompt, options));
    expect(plain.map(({ token }) => token)).toEqual(tokens.map(({ token }) => token));
    expect(plain.some((token) => 'logprobs' in token)).toBe(false);
  }
});

it("are each sequence's own in a shared step, and absent for the token that ends an answer", async () => {
  const engine = await engineUnderTest(tinyModel({ ...MODEL, neverEnds: false }));
  const end = [...engine.tokenizer.eosIds][0] ?? 0;
  const ask = (prompt: string, topLogprobs?: number) =>
    tokensOf(
      engine.complete(prompt, {
        sampling: { ...GREEDY, logitBias: new Map([[end, -100]]) },
        stop: [],
        maxTokens: 10,
        ...(topLogprobs !== undefined && { topLogprobs }),
      }),
    );
  const alone = [await ask('First', 2), await ask('Second, and longer', 2)];
  const [first, , second] = await Promise.all([ask('First', 2), ask('Between'), ask('Second, and longer', 2)]);
  for (const [i, tokens] of [first, second].entries()) {
    tokens.forEach(({ logprobs }, at) =>
      expect(logprobs?.logprob).toBeCloseTo(alone[i]?.[at]?.logprobs?.logprob ?? NaN, 3),
    );
  }
  const ended = { sampling: { ...GREEDY, logitBias: new Map([[end, 100]]) }, stop: [], topLogprobs: 1 };
  const last = await tokensOf(engine.complete('Ends', ended));
  expect(last).toHaveLength(1);
  expect(last[0]).not.toHaveProperty('logprobs');
});

it('take memory only once a request asks for them', async () => {
  const engine = await engineUnderTest(tinyModel(MODEL));
  const ask = (topLogprobs?: number) =>
    answer(
      engine.complete('Hi', {
        sampling: GREEDY,
        stop: [],
        maxTokens: 4,
        ...(topLogprobs !== undefined && { topLogprobs }),
      }),
    );
  await ask();
  const { total } = engine.memory();
  await ask(0);
  expect(engine.memory().total - total).toBe(4 * engine.tokenizer.vocabSize * 4);
  await ask(20);
  expect(engine.memory().total - total).toBe(4 * engine.tokenizer.vocabSize * 4);
});
