import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { faultsOf } from '../../tests/support/grammars/validate.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { servePackage, visit } from '../support/package-page.ts';

const opened = openForTests(servePackage);
let page: Page;

/** The built package in a page: the code for grammars is in the worker and loads on demand. */
beforeAll(async () => {
  page = await opened.browser.newPage();
  await visit(page, opened.server);
});

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 8 },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 3 },
  },
  required: ['name', 'age', 'tags'],
  additionalProperties: false,
} as const;

/** Bytes of scripts that the page has fetched. */
const scriptBytes = () =>
  page.evaluate(() => {
    const scripts = performance
      .getEntriesByType('resource')
      .filter(({ name }) => name.endsWith('.js')) as PerformanceResourceTiming[];
    return scripts.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0);
  });

it('streams answers that are valid by a schema, several at once, with their log-probabilities', async () => {
  const plain = await page.evaluate(() =>
    globalThis.engine.chat.completions.create({
      messages: [{ role: 'user', content: 'A person, please.' }],
      max_tokens: 2,
    }),
  );
  const before = await scriptBytes();
  const { texts, reasons, logprobs, last } = await page.evaluate(async (schema) => {
    const { engine } = globalThis;
    const messages = [{ role: 'user' as const, content: 'A person, please.' }];
    const texts = ['', '', ''];
    const reasons: (string | null)[] = [];
    const logprobs: (Chunkwise.ChatLogprobs | null)[] = [];
    let last: Chunkwise.ChatCompletionChunk | undefined;
    const chunks = await engine.chat.completions.create({
      ...{ messages, n: 3, seed: 4, logprobs: true, top_logprobs: 2, stream: true },
      response_format: { type: 'json_schema', json_schema: { name: 'person', schema, strict: true } },
      stream_options: { include_usage: true },
    });
    for await (const chunk of chunks) {
      last = chunk;
      for (const choice of chunk.choices) {
        texts[choice.index] += choice.delta.content ?? '';
        if (choice.finish_reason) reasons.push(choice.finish_reason);
        if (choice.index === 0) logprobs.push(choice.logprobs);
      }
    }
    return { texts, reasons, logprobs, last };
  }, SCHEMA);
  // The grammar worker, of 170 kB, was loaded by the first answer with a grammar.
  const brought = (await scriptBytes()) - before;
  expect(before).toBeLessThan(1_000_000);
  expect(brought).toBeGreaterThan(100_000);
  expect(brought).toBeLessThan(300_000);
  expect(reasons).toEqual(['stop', 'stop', 'stop']);
  for (const text of texts) expect(faultsOf(text, SCHEMA)).toEqual([]);
  expect(new Set(texts).size).toBe(3);
  const told = logprobs.flatMap((each) => each?.content ?? []);
  expect(new TextDecoder().decode(Uint8Array.from(told.flatMap(({ bytes }) => bytes ?? [])))).toBe(texts[0]);
  for (const { logprob, top_logprobs: top } of told) {
    expect(top).toHaveLength(2);
    expect(Math.max(logprob, top[1]?.logprob ?? 0)).toBeLessThanOrEqual((top[0]?.logprob ?? NaN) + 1e-6);
  }
  expect(last?.usage?.prompt_tokens).toBe(plain.usage.prompt_tokens);
  expect(last?.usage?.completion_tokens).toBeGreaterThan(told.length + 2);
});

it('gives the same whole answer, and ends all choices when a request is aborted', async () => {
  const result = await page.evaluate(async (schema) => {
    const { engine } = globalThis;
    const messages = [{ role: 'user' as const, content: 'A person, please.' }];
    const format = { type: 'json_schema' as const, json_schema: { name: 'person', schema } };
    const whole = await engine.chat.completions.create({ messages, n: 2, seed: 4, response_format: format });
    const completion = await engine.completions.create({
      ...{ prompt: 'x', logprobs: 1, temperature: 0 },
      response_format: { type: 'grammar', grammar: 'root ::= "yes" | "no"' },
    });
    const abort = new AbortController();
    const aborted = engine.chat.completions
      .create({ messages, n: 3 }, { signal: abort.signal })
      .catch((error: Chunkwise.ChunkwiseError) => error.code);
    setTimeout(() => abort.abort(), 150);
    const refused = await engine.chat.completions
      .create({
        messages,
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'x', schema: { type: 'array', uniqueItems: true } },
        },
      })
      .catch((error: Chunkwise.ChunkwiseError) => [error.code, error.detail.field]);
    return { whole, completion, aborted: await aborted, refused };
  }, SCHEMA);
  expect(result.whole.choices.map(({ index }) => index)).toEqual([0, 1]);
  for (const { message } of result.whole.choices) expect(faultsOf(message.content ?? '', SCHEMA)).toEqual([]);
  const [choice] = result.completion.choices;
  expect(['yes', 'no']).toContain(choice?.text);
  expect(choice?.logprobs?.tokens.join('')).toBe(choice?.text);
  expect(choice?.logprobs?.text_offset[0]).toBe(0);
  expect(result.aborted).toBe('aborted');
  expect(result.refused).toEqual(['bad_request', 'response_format.json_schema.schema.uniqueItems']);
});
