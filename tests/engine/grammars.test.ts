import { describe, expect, it } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { FEW_TOKENS, MAX_SEQUENCES } from '../../src/config/limits.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { openGrammars } from '../../src/grammar/open-grammars.ts';
import type { ResponseFormat } from '../../src/grammar/response-format.ts';
import { SCHEMAS } from '../support/grammars/schemas.ts';
import { faultsOf } from '../support/grammars/validate.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { type Answer, answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';

const TINY = {
  architecture: 'llama',
  type: 'F32',
  numLayers: 1,
  hiddenSize: 64,
  intermediateSize: 64,
  contextLength: 1024,
} as const;
const open = (seed = 11): Promise<LocalEngine> => engineUnderTest(tinyModel({ ...TINY, seed }), { queueLimit: 200 });

interface Asked extends Partial<Omit<GenerateOptions, 'sampling'>> {
  sampling?: Partial<SamplingOptions>;
}

const ask = (
  engine: LocalEngine,
  prompt: string,
  format?: ResponseFormat,
  { sampling, ...rest }: Asked = {},
): Promise<Answer> => {
  const options = { sampling: { ...GREEDY, temperature: 1, ...sampling }, stop: [], responseFormat: format, ...rest };
  return answer(engine.complete(prompt, options));
};

/**
 * A bias for closing tokens. A random model prefers no token: without a bias it would extend every string, list, gap
 * and name before an @.
 */
function closing({ tokenizer }: LocalEngine, push: number): Map<number, number> {
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id);
  const spaces = ids.filter((id) => /^[ \t\r\n]+$/.test(tokenizer.decode([id])));
  const closers = ['"', '}', ']', '@', '.'].map((text) => tokenizer.encode(text)[0] ?? 0);
  return new Map([...spaces.map((id) => [id, -100] as const), ...closers.map((id) => [id, push] as const)]);
}

describe('JSON Schema', () => {
  it('holds for every answer of a random model: 21 schemas', async () => {
    const engine = await open();
    const schemas = Object.entries(SCHEMAS);
    expect(schemas).toHaveLength(21);
    const answers = await Promise.all(
      schemas.map(async ([name, schema]) => {
        const sampling = { seed: 0, logitBias: closing(engine, 2) };
        const { text, end } = await ask(engine, 'é ü', { type: 'json_schema', schema }, { sampling });
        return {
          name,
          text,
          finishReason: end.finishReason,
          faults: end.finishReason === 'stop' ? faultsOf(text, schema) : [],
        };
      }),
    );
    expect(answers.filter(({ finishReason, faults }) => finishReason !== 'stop' || faults.length > 0)).toEqual([]);
    expect(new Set(answers.map(({ text }) => text)).size).toBeGreaterThan(0.76 * answers.length);
  }, 300_000);

  it('may be any object', async () => {
    const engine = await open();
    for (let seed = 0; seed < 3; seed++) {
      const sampling = { seed, logitBias: closing(engine, 6) };
      const { text, end } = await ask(engine, 'x', { type: 'json_object' }, { sampling, maxTokens: 400 });
      expect(end.finishReason).toBe('stop');
      expect(JSON.parse(text)).toBeTypeOf('object');
      expect(text).toMatch(/^\{/);
    }
  });
});

describe('a grammar', () => {
  const format = { type: 'grammar', grammar: 'root ::= "ab" [cd]{3} ("!" | "")' } as const;

  it('holds for an answer with any sampling, and ends it', async () => {
    const engine = await open();
    const texts = new Set<string>();
    for (const sampling of [
      {},
      { temperature: 0 },
      { topK: 1 },
      { topP: 0.1 },
      { minP: 0.5 },
      { presencePenalty: 2, frequencyPenalty: 2 },
    ]) {
      const { text, end } = await ask(engine, 'Hi', format, { sampling: { seed: texts.size, ...sampling } });
      expect(text).toMatch(/^ab[cd]{3}!?$/);
      expect(end.finishReason).toBe('stop');
      texts.add(text);
    }
    expect(texts.size).toBeGreaterThan(1);
  });

  it('lets the bias choose among the allowed tokens', async () => {
    const engine = await open();
    const [d = 0, end = 0] = [engine.tokenizer.encode('d')[0], [...engine.tokenizer.eosIds][0]];
    const sampling = {
      logitBias: new Map([
        [d, 100],
        [end, 100],
        [engine.tokenizer.encode('z')[0] ?? 0, 100],
      ]),
    };
    expect((await ask(engine, 'Hi', format, { sampling })).text).toBe('abddd');
  });

  it('ends at max tokens or a stop string', async () => {
    const engine = await open();
    const short = await ask(engine, 'Hi', format, { maxTokens: 3 });
    expect([short.text.length, short.end.finishReason]).toEqual([3, 'length']);
    const stopped = await ask(engine, 'Hi', { type: 'grammar', grammar: 'root ::= "abcxyz"' }, { stop: ['x'] });
    expect([stopped.text, stopped.end.finishReason]).toEqual(['abc', 'stop']);
  });

  it('splits no character, although a token may hold a part of one', async () => {
    const engine = await open();
    for (let seed = 0; seed < 4; seed++) {
      const { text } = await ask(
        engine,
        'Hi',
        { type: 'grammar', grammar: 'root ::= "é" ("α" | "→" | "ω") "😀"' },
        { sampling: { seed } },
      );
      expect(text).toMatch(/^é[α→ω]😀$/u);
    }
  });

  it('leaves concurrent sequences and later requests without it unchanged, bit for bit', async () => {
    const engine = await open();
    const plain = () => ask(engine, 'Beside', undefined, { maxTokens: 24, sampling: { seed: 3 } });
    const alone = await plain();
    const [beside, held, again] = await Promise.all([plain(), ask(engine, 'Hi', format), plain()]);
    expect(held.text).toMatch(/^ab/);
    for (const other of [beside, again, await plain()]) expect(other.tokens).toEqual(alone.tokens);
  });

  it('costs no dispatch, and takes memory only once a request has a grammar', async () => {
    const engine = await open();
    const plain = await ask(engine, 'Hi', undefined, { maxTokens: 5 });
    const before = engine.memory().total;
    await ask(engine, 'Hi', undefined, { maxTokens: 5 });
    expect(engine.memory().total).toBe(before);
    const held = await ask(engine, 'Hi', { type: 'grammar', grammar: 'root ::= [a-z]{5}' });
    expect(held.end.report.dispatchesPerToken).toBe(plain.end.report.dispatchesPerToken);
    const { vocabSize } = (await engine.session()).plan.config;
    // A mask for each row of a step, and the held logits of each slot.
    expect(engine.memory().total - before).toBe(
      (FEW_TOKENS * Math.ceil(vocabSize / 32) + MAX_SEQUENCES * vocabSize) * 4,
    );
  });

  it('computes the mask while the next forward pass runs', async () => {
    const gpu = countGpu();
    const asked: number[] = [];
    const engine = await engineUnderTest(tinyModel({ ...TINY, seed: 11 }), {
      openGrammars(vocabulary) {
        const grammars = openGrammars(vocabulary);
        return {
          ...grammars,
          async begin(format) {
            const grammar = await grammars.begin(format);
            const follow = (tokens: readonly number[]) => {
              asked.push(gpu.dispatches);
              return grammar.follow(tokens);
            };
            return {
              ...{ first: grammar.first, ignored: [], follow },
              foresee: (tokens) => grammar.foresee(tokens),
              dispose: () => undefined,
            };
          },
        };
      },
    });
    const { end } = await ask(engine, 'Hi', { type: 'grammar', grammar: 'root ::= [a-z]{9}' }, { maxTokens: 6 });
    const { dispatchesPerToken } = end.report;
    expect(asked).toHaveLength(6);
    const between = asked.slice(1).map((count, i) => count - (asked[i] ?? 0));
    // One sample and one forward pass run between two tokens; only a sample after the last but one.
    expect(between.slice(0, 4)).toEqual(Array(4).fill(dispatchesPerToken));
    expect(between[4]).toBeLessThan(dispatchesPerToken / 2);
  });

  it('verifies forced text several tokens a step: the same answer, and forced tokens are counted', async () => {
    const engine = await open();
    const forced = 'The quick brown fox jumps over the lazy dog';
    const sentence = { type: 'grammar', grammar: `root ::= [ab] "${forced}" [cd]` } as const;
    const { text, tokens, end } = await ask(engine, 'Hi', sentence);
    expect(text).toMatch(new RegExp(`^[ab]${forced}[cd]$`));
    expect(end.usage.completionTokens).toBe(tokens.length);
    expect(end.usage.forcedTokens).toBeGreaterThan(tokens.length / 2);
    expect(end.report.tokensPerStep).toBeGreaterThan(2);
    // With log-probabilities each token has its own step.
    const alone = await ask(engine, 'Hi', sentence, { topLogprobs: 0 });
    expect(alone.tokens).toEqual(tokens);
    expect(alone.end.report.tokensPerStep).toBe(1);
  });

  it.each([0, 1.5])(
    'drafts likely JSON text several tokens a step, right or wrong: temperature %d',
    async (temperature) => {
      const engine = await open();
      const value = { enum: ['a', 'b'] };
      const item = { properties: { title: value, author: value }, required: ['title', 'author'] };
      const schema = { type: 'array', items: { ...item, type: 'object', additionalProperties: false }, minItems: 3 };
      const books = { type: 'json_schema', schema } as const;
      const options = { sampling: { ...GREEDY, temperature, seed: 5 }, maxTokens: 60 };
      const { tokens, end } = await ask(engine, 'Hi', books, options);
      expect(end.report.tokensPerStep).toBeGreaterThan(1);
      const alone = await ask(engine, 'Hi', books, { ...options, topLogprobs: 0 });
      expect(alone.end.report.tokensPerStep).toBe(1);
      if (temperature === 0) expect(alone.tokens).toEqual(tokens);
    },
  );
});

describe('an invalid grammar is refused before anything is computed', () => {
  it.each([
    [
      { type: 'json_schema', schema: { type: 'array', uniqueItems: true } },
      'response_format.json_schema.schema.uniqueItems',
    ],
    [
      { type: 'json_schema', schema: { type: 'object', properties: { a: { $ref: 'https://example.com/a' } } } },
      'response_format.json_schema.schema.properties.a.$ref',
    ],
    [{ type: 'json_schema', schema: 5 }, 'response_format.json_schema.schema'],
    [{ type: 'grammar', grammar: 'root ::= (' }, 'response_format.grammar'],
    [{ type: 'grammar', grammar: 'other ::= "a"' }, 'response_format.grammar'],
  ] as [ResponseFormat, string][])('%o', async (format, field) => {
    const engine = await open();
    await expect(ask(engine, 'Hi', format)).rejects.toMatchObject({ code: 'bad_request', detail: { field } });
    expect((await ask(engine, 'Hi', { type: 'grammar', grammar: 'root ::= "ok"' })).text).toBe('ok');
  });

  it('and an engine without grammars refuses every grammar', async () => {
    const begin = () =>
      Promise.reject(new ChunkwiseError('unsupported', { field: 'response_format', reason: 'no thread' }));
    const engine = await engineUnderTest(tinyModel({ ...TINY, seed: 1 }), {
      openGrammars: () => ({ begin, dispose: () => undefined }),
    });
    const asked = ask(engine, 'Hi', { type: 'grammar', grammar: 'root ::= "ok"' });
    await expect(asked).rejects.toMatchObject({ code: 'unsupported', detail: { field: 'response_format' } });
    expect((await ask(engine, 'Hi', undefined, { maxTokens: 2 })).end.finishReason).toBe('length');
  });

  it('and a request aborted while its grammar compiles ends at once', async () => {
    const engine = await engineUnderTest(tinyModel({ ...TINY, seed: 1 }), {
      openGrammars: () => ({ begin: () => new Promise(() => undefined), dispose: () => undefined }),
    });
    const aborting = new AbortController();
    const asked = ask(engine, 'Hi', { type: 'json_object' }, { signal: aborting.signal });
    aborting.abort();
    await expect(asked).rejects.toMatchObject({ code: 'aborted' });
  });
});
