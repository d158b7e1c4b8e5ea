import { join } from 'node:path';
import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { servePackage, visit } from '../support/package-page.ts';

const opened = openForTests(servePackage);

/** Distinct words, which the worker's tokenizer needs some seconds for. */
const WORDS = 400_000;

declare global {
  /** Keeps the worker busy; returns its final result. */
  var count: (words: number) => Promise<number | string>;
}

let page: Page;

beforeAll(async () => {
  page = await opened.browser.newPage();
  await visit(page, opened.server);
  await page.evaluate(() => {
    globalThis.count = (words) => {
      const content = Array.from({ length: words }, (_, i) => (i * 7919).toString(36)).join(' ');
      return globalThis.engine
        .countTokens([{ role: 'user', content }])
        .catch(({ code }: Chunkwise.ChunkwiseError) => code);
    };
  });
});

it('an abort ends streams and calls while the worker is busy, and the next request works', async () => {
  const result = await page.evaluate(async (words) => {
    const { engine } = globalThis;
    const ask = { messages: [{ role: 'user' as const, content: 'Hello' }], temperature: 0, max_tokens: 8 };
    const say = async (): Promise<string | null | undefined> =>
      (await engine.chat.completions.create(ask)).choices[0]?.message.content;
    const before = await say();
    const order: string[] = [];
    const counting = globalThis.count(words).then(() => order.push('counted'));
    const control = new AbortController();
    const { signal } = control;
    const read = async (): Promise<void> => {
      for await (const chunk of await engine.chat.completions.create({ ...ask, stream: true }, { signal }))
        order.push(chunk.id);
    };
    const ended = (work: Promise<unknown>) => work.catch(({ code }: Chunkwise.ChunkwiseError) => order.push(code));
    const all = [
      read(),
      engine.chat.completions.create({ ...ask, n: 2 }, { signal }),
      engine.embeddings.create({ input: 'One' }, { signal }),
    ];
    const aborted = Promise.all(all.map(ended));
    control.abort();
    await aborted;
    const after = await say();
    await counting;
    return { before, order, after };
  }, WORDS / 2);
  expect(result.order).toEqual(['aborted', 'aborted', 'aborted', 'counted']);
  expect(result.after).toBe(result.before);
});

it('refuses values that nest too deep to be sent to the worker', async () => {
  const code = await page.evaluate(async () => {
    let schema: Record<string, unknown> = { type: 'null' };
    for (let depth = 0; depth < 100_000; depth++) schema = { type: 'array', items: schema };
    const request = {
      messages: [{ role: 'user' as const, content: 'x' }],
      response_format: { type: 'json_schema' as const, json_schema: { name: 'x', schema } },
    };
    return globalThis.engine.chat.completions.create(request).then(
      () => '',
      ({ code }: Chunkwise.ChunkwiseError) => code,
    );
  });
  expect(code).toBe('bad_request');
});

it('dispose ends a busy worker and its pending calls within a second', async () => {
  const { counted, ms, order } = await page.evaluate(async (words) => {
    const order: string[] = [];
    const counting = globalThis.count(words).finally(() => order.push('counted'));
    const start = performance.now();
    const disposing = globalThis.engine.dispose().finally(() => order.push('disposed'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    order.push('soon');
    await disposing;
    return { ms: performance.now() - start, counted: await counting, order };
  }, 5 * WORDS);
  expect(counted).toBe('disposed');
  expect(order).toEqual(['counted', 'soon', 'disposed']);
  expect(ms).toBeLessThan(1000);
  await expect.poll(() => page.workers().length, { timeout: 30_000 }).toBe(0); // Chromium allows a busy one two more seconds
});

it('on the page Stop works while the worker is busy, and so does another model', async () => {
  const server = await serveDemo();
  try {
    const demo = await DemoPage.open(opened.browser, server.url('tiny.gguf'));
    await demo.loaded();
    await demo.setMaxTokens(3);
    await demo.prompt.fill(Array.from({ length: WORDS / 8 }, (_, i) => (i * 7919).toString(36)).join(' '));
    await demo.page.getByTestId('send').click();
    await demo.stop.click();
    expect((await demo.answered()).note).toContain('Stopped');
    await demo.page.getByLabel('Open a GGUF file').setInputFiles(join(server.folder, 'tiny.gguf'));
    await demo.loaded();
    await demo.page.locator('#new-chat').click();
    expect((await demo.ask('Hello')).note).toContain('3 tokens');
    await demo.close();
  } finally {
    await server.close();
  }
});
