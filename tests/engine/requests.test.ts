import { beforeAll, describe, expect, test } from 'vitest';
import { MAX_SEQUENCES } from '../../src/config/limits.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 61 });
const PROMPT = 'In the beginning there was a river, and the river had no name.';
/** Excludes the two tokens that would end an answer. */
const ENDLESS: SamplingOptions = { ...GREEDY, logitBias: new Map([0, 2].map((id) => [id, -1000])) };

const options = (more: Partial<GenerateOptions>): GenerateOptions => ({
  sampling: ENDLESS,
  stop: [],
  maxTokens: 24,
  ...more,
});
const ask = (engine: LocalEngine, more: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> =>
  answer(engine.complete(prompt, options(more)));

/** Answer to a request on a new engine. */
let usual: Answer;
beforeAll(async () => {
  const engine = await engineUnderTest(bytes);
  usual = await ask(engine);
  engine.dispose();
});

describe('abort', () => {
  test('in the middle of an answer: no further token or step; the next request answers as usual', async () => {
    const engine = await engineUnderTest(bytes);
    const controller = new AbortController();
    const gpu = countGpu();
    let tokens = 0;
    let dispatches = 0;
    const abortAtFive = async (): Promise<void> => {
      for await (const event of engine.complete(PROMPT, options({ maxTokens: 300, signal: controller.signal }))) {
        if (event.type === 'token') tokens++;
        if (tokens < 5) continue;
        controller.abort();
        dispatches = gpu.dispatches;
      }
    };
    await expectError(abortAtFive, 'aborted', { reason: /aborted/ });
    expect(tokens).toBe(5);
    expect(gpu.dispatches).toBe(dispatches);
    expect((await ask(engine)).tokens).toEqual(usual.tokens);
  });

  test('while waiting, and in the middle of a long prompt', async () => {
    const engine = await engineUnderTest(bytes);
    const waiting = new AbortController();
    const first = ask(engine);
    const second = ask(engine, { signal: waiting.signal });
    waiting.abort();
    await expectError(() => second, 'aborted', { reason: /while it waited/ });
    expect((await first).tokens).toEqual(usual.tokens);

    const long = new AbortController();
    const session = await engine.session();
    const { recorder } = session;
    const before = recorder.dispatches;
    const third = ask(engine, { signal: long.signal, maxTokens: 4 }, PROMPT.repeat(7));
    const abortion = new Promise<void>((resolve) => {
      const look = (): void => {
        if (recorder.dispatches === before) setImmediate(look);
        else resolve(long.abort());
      };
      look();
    });
    await expectError(() => third, 'aborted', { reason: /aborted/ });
    await abortion;
    expect((await ask(engine)).tokens).toEqual(usual.tokens);
  });

  test('when the reader leaves the iteration', async () => {
    const engine = await engineUnderTest(bytes);
    for await (const event of engine.complete(PROMPT, options({ maxTokens: 300 }))) if (event.type === 'token') break;
    const again = await ask(engine);
    expect(again.tokens).toEqual(usual.tokens);
    expect(again.end.usage.cachedTokens).toBe(again.end.usage.promptTokens - 1);
  });
});

/** Number of first tokens that two texts have in common. */
function sharedTokens({ tokenizer }: LocalEngine, texts: readonly string[]): number {
  const [a = [], b = []] = texts.map((text) => tokenizer.encode(text));
  return a.findIndex((token, i) => token !== b[i]);
}

test('texts that share only the beginning of a chat template stay in the cache side by side', async () => {
  const engine = await engineUnderTest(bytes);
  const prompts = ['sea', 'land'].map((topic) => `<user> Sing of the ${topic}. ${PROMPT.repeat(2)}`);
  await ask(engine, {}, prompts[0]);
  const other = await ask(engine, {}, prompts[1]);
  expect(other.end.usage.cachedTokens).toBe(sharedTokens(engine, prompts));
  const alone = await ask(await engineUnderTest(bytes), {}, prompts[1]);
  expect(other.tokens).toEqual(alone.tokens);
  for (const prompt of prompts) {
    const { usage } = (await ask(engine, {}, prompt)).end;
    expect(usage.cachedTokens).toBe(usage.promptTokens - 1);
  }
});

test.each(['dense', 'q8'] as const)(
  'texts with the same system prompt stay in the cache side by side, and a new one reads only its own tokens: kv %s',
  async (kv) => {
    const engine = await engineUnderTest(bytes, { contextLength: 512 });
    const prompts = ['sea', 'land'].map((topic) => `${PROMPT} Sing of the ${topic}. ${PROMPT.repeat(2)}`);
    const first: number[][] = [];
    for (const [i, prompt] of prompts.entries()) {
      const { tokens, end } = await ask(engine, { kv }, prompt);
      first.push(tokens);
      // Tokens are not added to a page in q8.
      if (i > 0) expect(end.usage.cachedTokens).toBe(kv === 'q8' ? 32 : sharedTokens(engine, prompts));
    }
    for (const [i, prompt] of prompts.entries()) {
      const { tokens, end } = await ask(engine, { kv }, prompt);
      expect(end.usage.cachedTokens).toBeGreaterThan(end.usage.promptTokens - 34);
      expect(tokens).toEqual(first[i]);
    }
  },
);

test('a copy of cached pages knows what their forms lose, as the text that it was copied from', async () => {
  const engine = await engineUnderTest(bytes, { contextLength: 512 });
  const kv = 'policy';
  await ask(engine, { kv }, `${PROMPT.repeat(2)} Sing of the sea. ${PROMPT.repeat(5)}`);
  const { usage } = (await ask(engine, { kv }, `${PROMPT.repeat(2)} Sing of the land.`)).end;
  expect(usage.cachedTokens).toBeGreaterThanOrEqual(64);
  const [before, copy] = (await engine.session()).sequences.idle;
  expect(before!.probed.pages).toBeGreaterThan(0);
  expect(copy!.probed.pages).toBeGreaterThanOrEqual(before!.probed.pages);
  const formOf = ({ form }: { form: string }): string => form;
  expect(copy!.pages[1]!.layers.map(formOf)).toEqual(before!.pages[1]!.layers.map(formOf));
});

test('recomputePrompt computes the whole prompt: the same answer, which replaces the cached one', async () => {
  const engine = await engineUnderTest(bytes);
  await ask(engine);
  const { kv } = engine.memory();
  const anew = await ask(engine, { recomputePrompt: true });
  expect(anew.end.usage.cachedTokens).toBe(0);
  expect(anew.tokens).toEqual(usual.tokens);
  expect(engine.memory().kv).toBe(kv);
  const again = await ask(engine);
  expect(again.end.usage.cachedTokens).toBe(again.end.usage.promptTokens - 1);
});

describe('the queue', () => {
  test('answers each as if alone', async () => {
    const engine = await engineUnderTest(bytes);
    const prompts = [0, 1, 2, 3].map((i) => `${i}: ${PROMPT}`);
    const together = await Promise.all(prompts.map((prompt) => ask(engine, {}, prompt)));
    const alone = await engineUnderTest(bytes);
    for (const [i, prompt] of prompts.entries())
      expect((await ask(alone, {}, prompt)).tokens).toEqual(together[i]!.tokens);
  });

  test('starts requests in order; if each needs all pages, each ends before the next starts', async () => {
    const engine = await engineUnderTest(bytes, { contextLength: 128 });
    const order: number[] = [];
    const lengths = [40, 1, 20, 1];
    await Promise.all(
      lengths.map(async (length, i) => {
        let tokens = 0;
        for await (const event of engine.complete(`${i}: ${PROMPT}`, options({ maxTokens: 1000 }))) {
          if (tokens === 0) order.push(i);
          if (event.type !== 'token' || ++tokens < length) continue;
          order.push(i);
          break;
        }
      }),
    );
    expect(order).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  });

  test('refuses requests beyond its limit, and accepts them again below it', async () => {
    const engine = await engineUnderTest(bytes, { queueLimit: 2 });
    const taken = Array.from({ length: MAX_SEQUENCES + 2 }, () => ask(engine));
    await expectError(() => ask(engine), 'queue_full', { field: 'queueLimit', reason: /2 requests/ });
    for (const request of taken) expect((await request).tokens).toEqual(usual.tokens);
    expect((await ask(engine)).tokens).toEqual(usual.tokens);
  });
});

describe('refused requests', () => {
  test('an empty prompt', async () => {
    const engine = await engineUnderTest(bytes);
    await expectError(() => ask(engine, {}, ''), 'bad_request', { field: 'prompt', reason: /empty/ });
    expect((await ask(engine)).tokens).toEqual(usual.tokens);
  });

  test('a prompt as long as the context', async () => {
    const engine = await engineUnderTest(bytes, { contextLength: 64 });
    const { length } = engine.tokenizer.encode(PROMPT);
    expect(length).toBeLessThan(64);
    const fitting = await ask(engine, { maxTokens: 1000 });
    expect(fitting.end).toMatchObject({ finishReason: 'length', usage: { completionTokens: 64 - length } });
    const over = { field: 'prompt', reason: /context of 64/ };
    await expectError(() => ask(engine, {}, 'z'.repeat(64)), 'context_overflow', over);
    expect((await ask(engine, {}, 'z'.repeat(63))).tokens).toHaveLength(1);
  });

  test('a megabyte of emoji, within two CPU seconds', async () => {
    const engine = await engineUnderTest(bytes);
    const start = cpuMs();
    const over = { field: 'prompt', reason: /512 tokens/ };
    await expectError(() => ask(engine, {}, '🐑'.repeat(262_144)), 'context_overflow', over);
    expect(cpuMs() - start).toBeLessThan(2000);
    expect((await ask(engine)).tokens).toEqual(usual.tokens);
  });

  test('any request, once disposed', async () => {
    const engine = await engineUnderTest(bytes);
    const running = ask(engine, { maxTokens: 400 });
    const waiting = ask(engine);
    setTimeout(() => engine.dispose(), 50);
    await expectError(() => running, 'disposed', { reason: /disposed/ });
    await expectError(() => waiting, 'disposed', { reason: /disposed/ });
    await expectError(() => ask(engine), 'disposed', { reason: /disposed/ });
  });
});

describe('ends and samples', () => {
  test('maxTokens', async () => {
    const engine = await engineUnderTest(bytes);
    for (const maxTokens of [1, 2, 7]) {
      const { tokens, end } = await ask(engine, { maxTokens });
      expect(tokens).toEqual(usual.tokens.slice(0, maxTokens));
      expect(end).toMatchObject({ finishReason: 'length', usage: { completionTokens: maxTokens } });
    }
  });

  test('a token that ends the answer adds no text', async () => {
    const engine = await engineUnderTest(bytes);
    const sampling = { ...GREEDY, logitBias: new Map([[2, 1000]]) };
    const { text, end } = await ask(engine, { sampling });
    expect(text).toBe('');
    expect(end).toMatchObject({ finishReason: 'stop', usage: { completionTokens: 1 } });
  });

  test('a stop string: the text ends before it, also if it spans tokens', async () => {
    const engine = await engineUnderTest(bytes);
    const at = Math.floor(usual.text.length / 2);
    const stop = usual.text.slice(at, at + 4);
    const { text, tokens, end } = await ask(engine, { stop: ['never said', stop] });
    expect(text).toBe(usual.text.slice(0, usual.text.indexOf(stop)));
    expect(end.finishReason).toBe('stop');
    expect(tokens.length).toBeLessThan(usual.tokens.length);
    // Keys and values of the aborted answer do not affect the next one.
    expect((await ask(engine)).tokens).toEqual(usual.tokens);
  });

  test('the same seed samples the same text, and another seed another', async () => {
    const engine = await engineUnderTest(bytes);
    const sampled = async (seed: number): Promise<number[]> =>
      (await ask(engine, { sampling: { ...ENDLESS, temperature: 1, seed } })).tokens;
    const first = await sampled(1);
    expect(await sampled(2)).not.toEqual(first);
    expect(await sampled(1)).toEqual(first);
    expect(first).not.toEqual(usual.tokens);
  });
});
