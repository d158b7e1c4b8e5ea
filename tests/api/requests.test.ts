import { describe, expect, it } from 'vitest';
import { type CompletionRequest, parseChatRequest, parseCompletionRequest } from '../../src/api/requests.ts';
import { planChunks } from '../support/plan-chunks.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';

const messages = [{ role: 'user' as const, content: 'Hi' }];

/** Parses a request that may not have the declared types. */
const parse = (fields: Record<string, unknown>) => parseChatRequest({ messages, ...fields }, { opensReasoning: false });

function refusedField(fields: Record<string, unknown>): string | undefined {
  try {
    parse(fields);
  } catch (error) {
    expect(error).toBeInstanceOf(ChunkwiseError);
    expect(error).toMatchObject({ code: 'bad_request' });
    return (error as ChunkwiseError).detail.field;
  }
  return undefined;
}

describe('accepted fields', () => {
  it('have OpenAI defaults, and a random seed', () => {
    const { options, stream, includeUsage } = parse({});
    const { seed, ...sampling } = options.sampling;
    expect(sampling).toEqual({
      temperature: 1,
      topK: 0,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      logitBias: new Map(),
    });
    expect(options.maxTokens).toBeUndefined();
    expect(options.stop).toEqual([]);
    expect(options.adapters).toEqual([]);
    expect([stream, includeUsage]).toEqual([false, false]);
    const seeds = new Set(Array.from({ length: 8 }, () => parse({}).options.sampling.seed));
    expect(seeds.size).toBeGreaterThan(1);
    expect(seed).toBe(seed >>> 0);
  });

  it('become options of the engine', () => {
    const { options, stream, includeUsage } = parse({
      max_tokens: 7,
      temperature: 0,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      repetition_penalty: 1.1,
      presence_penalty: -2,
      frequency_penalty: 2,
      logit_bias: { 5: -100, '42': 1.5 },
      seed: 11,
      stop: 'END',
      adapter: [{ name: 'a' }, { name: 'b', scale: 0.5 }],
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(options).toEqual({
      speculate: false,
      recomputePrompt: false,
      maxTokens: 7,
      stop: ['END'],
      adapters: [
        { name: 'a', scale: 1 },
        { name: 'b', scale: 0.5 },
      ],
      sampling: {
        temperature: 0,
        topP: 0.9,
        topK: 40,
        minP: 0.05,
        repetitionPenalty: 1.1,
        presencePenalty: -2,
        frequencyPenalty: 2,
        logitBias: new Map([
          [5, -100],
          [42, 1.5],
        ]),
        seed: 11,
      },
    });
    expect([stream, includeUsage]).toEqual([true, true]);
  });

  it('may be null, which means absent; top_k may be −1, seed any whole number, model any name', () => {
    const { options } = parse({ temperature: null, stop: null, top_k: -1, seed: -1, model: 'x', stream: null });
    expect(options.sampling).toMatchObject({ temperature: 1, topK: 0, seed: 0xffffffff });
    expect(parse({ seed: 2 ** 32 + 5 }).options.sampling.seed).toBe(5);
  });

  it('of messages stay if templates use them', () => {
    const parsed = parse({ messages: [{ role: 'system', content: '', name: 'n', refusal: null }, ...messages] });
    expect(parsed.messages).toEqual([{ role: 'system', content: '', name: 'n' }, ...messages]);
  });
});

describe('the cache', () => {
  it('becomes options of the engine, which are absent by default', () => {
    expect(parse({ kv: 'policy', kvErrorBudget: 0.2 }).options).toMatchObject({ kv: 'policy', kvErrorBudget: 0.2 });
    expect(parse({ kv: 'q4' }).options.kv).toBe('q4');
    for (const name of ['kv', 'kvErrorBudget']) expect(parse({}).options).not.toHaveProperty(name);
  });

  it('refuses unknown forms and bad budgets', () => {
    for (const kv of ['q5', 4, true, {}]) expect([kv, refusedField({ kv })]).toEqual([kv, 'kv']);
    for (const kvErrorBudget of [-0.1, 16.1, NaN, '0.5']) {
      expect([kvErrorBudget, refusedField({ kv: 'policy', kvErrorBudget })]).toEqual([kvErrorBudget, 'kvErrorBudget']);
    }
    expect(refusedField({ kvErrorBudget: 0.1 })).toBe('kvErrorBudget');
    expect(refusedField({ kv: 'q8', kvErrorBudget: 0.1 })).toBe('kvErrorBudget');
  });
});

describe('ranks', () => {
  const plan = planChunks([0, 1, 2, 0], { vocabulary: { size: 3, text: () => 'x' } });

  it('become options of the engine, which are absent by default', () => {
    const fields = {
      ranks: 'uniform',
      equalMeanRank: true,
      rankErrorBudget: 0.25,
      chunks: { minLength: 4, budget: 5.5 },
      rampWidth: 0,
      plan,
    };
    expect(parse(fields).options).toMatchObject(fields);
    expect(parse({ ranks: 7 }).options.ranks).toBe(7);
    for (const name of Object.keys(fields)) expect(parse({}).options).not.toHaveProperty(name);
  });

  it.each([
    ['ranks', ['wise', -1, 1.5, NaN, true, {}]],
    ['equalMeanRank', [true, 1]],
    ['rankErrorBudget', [-0.1, 16.1, NaN, '0.5']],
    ['rampWidth', [-1, 0.5, 5000, '4']],
    ['chunks', [3, [], 'x']],
    ['plan', [3, [], 'x']],
  ])('refuse a bad %s', (field, values) => {
    for (const value of values) expect([value, refusedField({ [field]: value })]).toEqual([value, field]);
  });

  it('name the part of a field', () => {
    expect(refusedField({ chunks: { length: 3 } })).toBe('chunks.length');
    expect(refusedField({ chunks: { minLength: '3' } })).toBe('chunks.minLength');
    expect(refusedField({ plan: { ...plan, tokens: 'x' } })).toBe('plan.tokens');
    expect(refusedField({ plan: { ...plan, levels: { ranks: [-1] } } })).toBe('plan.levels.ranks[0]');
  });
});

describe('refused fields, by name', () => {
  it.each([
    ['temperature', [-0.1, 2.1, NaN, Infinity, '1', {}, true]],
    ['top_p', [0, -1, 1.01, NaN, 'x']],
    ['min_p', [-0.1, 1.1, NaN]],
    ['top_k', [-2, 1.5, NaN, '5']],
    ['repetition_penalty', [0, -1, NaN, Infinity]],
    ['presence_penalty', [-2.1, 2.1, NaN]],
    ['frequency_penalty', [-2.1, 2.1, NaN]],
    ['max_tokens', [0, -5, 1.5, NaN, '10', Infinity]],
    ['seed', [1.5, NaN, 'x', 1e300]],
    ['stop', ['', [''], ['a', 'b', 'c', 'd', 'e'], [1], 5]],
    ['stream', ['yes', 1]],
    ['speculate', ['no', 0]],
    ['recomputePrompt', ['no', 0]],
    ['logit_bias', [[1], 'x', { a: 1 }, { '-1': 1 }, { '1.5': 1 }, { ' 1': 1 }]],
    ['logit_bias[3]', []],
    ['messages', [[], 'Hi', { role: 'user' }, null, undefined]],
    ['stream_options', [{ include_usage: true }, 'x']],
    ['temprature', [1]],
    ['n', [0, 9, 1.5, '2']],
    ['max_completion_tokens', [0, 1.5, '10']],
    ['logprobs', [1, 'yes']],
    ['top_logprobs', [5, 0]],
    ['best_of', [2]],
    ['echo', [true]],
    ['suffix', ['x']],
    ['parallel_tool_calls', [false]],
    ['response_format', ['json', [], 3]],
    ['__proto__x', [2]],
    ['constructor', [2]],
  ])('%s', (field, values) => {
    for (const value of values) expect([value, refusedField({ [field]: value })]).toEqual([value, field]);
  });

  it('names the part of a field', () => {
    expect(refusedField({ logit_bias: { 3: 101 } })).toBe('logit_bias[3]');
    expect(refusedField({ logit_bias: { 3: NaN } })).toBe('logit_bias[3]');
    expect(refusedField({ messages: [...messages, { role: 'robot', content: 'x' }] })).toBe('messages[1].role');
    expect(refusedField({ messages: [{ content: 'x' }] })).toBe('messages[0].role');
    expect(refusedField({ messages: [{ role: 'user', content: ['x'] }] })).toBe('messages[0].content[0]');
    expect(refusedField({ messages: [null] })).toBe('messages[0]');
    const field = 'stream_options.include_usage';
    expect(refusedField({ stream: true, stream_options: { include_usage: 1 } })).toBe(field);
    expect(refusedField({ stream: true, stream_options: { usage: true } })).toBe('stream_options.usage');
  });

  it('include a missing prompt, and a request that is no object', () => {
    const field = (request: unknown): unknown => {
      try {
        return parseCompletionRequest(request as CompletionRequest);
      } catch (error) {
        return (error as ChunkwiseError).detail.field;
      }
    };
    expect(field({})).toBe('prompt');
    expect(field({ prompt: '' })).toBe('prompt');
    expect(field({ prompt: 5 })).toBe('prompt');
    expect(field({ prompt: 'x', messages })).toBe('messages');
    expect(field(undefined)).toBe('request');
    expect(field([])).toBe('request');
  });
});
