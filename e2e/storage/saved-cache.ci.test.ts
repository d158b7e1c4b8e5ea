import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { servePackage, visit } from '../support/package-page.ts';

const opened = openForTests(servePackage);
let page: Page;

beforeAll(async () => {
  page = await opened.browser.newPage();
});

it('continues a text from a cache that an earlier visit saved', async () => {
  const messages = [{ role: 'user' as const, content: 'One and two and three. '.repeat(10) }];
  const request = { messages, max_tokens: 12, temperature: 0 };
  const ask = () =>
    page.evaluate(async (asked) => {
      const { choices, usage } = await globalThis.engine.chat.completions.create(asked);
      return {
        text: choices[0]?.message.content,
        cached: usage.prompt_tokens_details.cached_tokens,
        prompt: usage.prompt_tokens,
      };
    }, request);
  await visit(page, opened.server);
  const first = await ask();
  const saved = await page.evaluate(() => globalThis.engine.saveCache('a/ä'));
  await visit(page, opened.server);
  const loaded = await page.evaluate(async () => {
    const { engine } = globalThis;
    const codeOf = (work: Promise<unknown>) => work.catch((error: unknown) => (error as Chunkwise.ChunkwiseError).code);
    const codes = [
      await codeOf(engine.loadCache('b')),
      await codeOf(engine.saveCache('b')),
      await codeOf(engine.loadCache('')),
    ];
    return {
      codes,
      list: await engine.cache.list(),
      size: await engine.cache.size(),
      loaded: await engine.loadCache('a/ä'),
    };
  });
  expect(loaded.codes).toEqual(['bad_request', 'bad_request', 'bad_request']);
  const [model, ...texts] = loaded.list;
  expect(model).toMatchObject({ kind: 'model', name: `${opened.server.url()}models/tiny.gguf` });
  expect(texts).toEqual([{ kind: 'text', name: 'a/ä', bytes: saved.bytes }]);
  expect(loaded.size).toBe(saved.bytes + (model?.bytes ?? 0));
  expect(loaded.loaded).toEqual(saved);
  expect(first.cached).toBe(0);
  expect(await ask()).toEqual({ ...first, cached: first.prompt - 1 });

  // A damaged cache is refused, and the engine answers.
  const damaged = await page.evaluate(async () => {
    const { engine } = globalThis;
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chunkwise-caches');
    const file = await folder.getFileHandle('a%2F%C3%A4.cache');
    const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
    bytes[bytes.length - 1000]! ^= 1;
    const writable = await file.createWritable();
    await writable.write(bytes);
    await writable.close();
    const { code, detail } = await engine.loadCache('a/ä').then(
      () => ({ code: 'fine', detail: undefined }),
      (error: Chunkwise.ChunkwiseError) => error,
    );
    await engine.cache.delete('a/ä');
    return { code, detail, kinds: (await engine.cache.list()).map(({ kind }) => kind) };
  });
  expect(damaged).toMatchObject({ code: 'bad_file', detail: { file: 'a/ä', field: 'checksum' }, kinds: ['model'] });
  expect(await ask()).toEqual({ ...first, cached: first.prompt - 1 });
});
