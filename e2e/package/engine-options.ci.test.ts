import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { VARIANTS } from '../../src/gpu/device.ts';
import { DECODE_CANDIDATES } from '../../src/models/kernel-candidates.ts';
import { isOfSelfCheck } from '../../tests/support/memory-tuning.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { launchBrowser } from '../support/browser.ts';
import { fullFrom, writesInWorkers } from '../support/full-storage.ts';
import { firstInWorkers } from '../support/in-workers.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { importPackage, servePackage } from '../support/package-page.ts';

const opened = openForTests(servePackage);
const swiftshader = openForTests(servePackage, () => launchBrowser('swiftshader'));
beforeAll(() => {
  const small = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, numLayers: 1, contextLength: 4096 });
  for (const { server } of [opened, swiftshader]) writeFileSync(join(server.folder, 'small.gguf'), small);
});

async function newPage({ browser, server } = opened): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await importPackage(page, server);
  return page;
}

/** Loads a model of one layer, with autotuning on or at its default. */
const load = (page: Page, options: { autotune?: boolean }): Promise<string> =>
  page.evaluate(async (options) => {
    const engine = await globalThis.chunkwise.createEngine({
      model: 'models/small.gguf',
      contextLength: 128,
      ...options,
    });
    await engine.dispose();
    return engine.device;
  }, options);

/** Stored entries of the autotuner and the self-check; `change` replaces the results. */
const stored = (page: Page, change: Record<string, unknown> = {}): Promise<[key: string, value: unknown][]> =>
  page.evaluate(async (change) => {
    const done = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) =>
        Object.assign(request, {
          onsuccess: () => resolve(request.result),
          onerror: () => reject(new Error(request.error?.name)),
        }),
      );
    if (!(await indexedDB.databases()).some(({ name }) => name === 'chunkwise-tuning')) return [];
    const database = await done(indexedDB.open('chunkwise-tuning'));
    const store = database.transaction('choices', 'readwrite').objectStore('choices');
    for (const [key, value] of Object.entries(change)) await done(store.put(value, key));
    const [keys, values] = [await done(store.getAllKeys()), await done(store.getAll() as IDBRequest<unknown[]>)];
    database.close();
    return keys.map((key, i): [string, unknown] => [key as string, values[i]]);
  }, change);

const choices = async (page: Page, change?: Record<string, unknown>): Promise<[key: string, value: unknown][]> =>
  (await stored(page, change)).filter(([key]) => !isOfSelfCheck(key));

it('stores autotuner results in IndexedDB and uses them in a later visit; on a software adapter only on request', async () => {
  const page = await newPage();
  await load(page, {});
  expect(await choices(page)).toEqual([]);
  const device = await load(page, { autotune: true });
  const found = await choices(page);
  expect(found).toHaveLength(3);
  for (const [key] of found) expect(key.startsWith(device)).toBe(true);
  const [rows = ''] = found.map(([key]) => key).filter((key) => key.includes('linear-decode'));
  const chosen = Object.fromEntries(found)[rows];
  expect(DECODE_CANDIDATES).toContainEqual(chosen);

  const other = DECODE_CANDIDATES.find((candidate) => JSON.stringify(candidate) !== JSON.stringify(chosen));
  expect(other).not.toEqual(chosen); // for every order of keys
  await choices(page, { [rows]: other });
  await importPackage(page, opened.server);
  await load(page, { autotune: true });
  expect(Object.fromEntries(await choices(page))[rows]).toEqual(other); // otherwise it would have been timed again
});

/**
 * Opens a page whose workers run `code` first, with an autotuned engine in `globalThis.engine`, and returns its answer.
 */
async function tuned(context: BrowserContext, code: string): Promise<{ page: Page; text: string | undefined }> {
  const page = await context.newPage();
  await firstInWorkers(page, code);
  await importPackage(page, opened.server);
  const text = await page.evaluate(async () => {
    globalThis.engine = await globalThis.chunkwise.createEngine({
      model: 'models/small.gguf',
      contextLength: 128,
      autotune: true,
    });
    return (await globalThis.engine.completions.create({ prompt: 'One two', max_tokens: 4, temperature: 0 })).choices[0]
      ?.text;
  });
  return { page, text };
}

/** Opens an autotuned engine whose storage is full from its `at`th write on, and another after it; returns the writes. */
async function withoutRoom(at: number): Promise<number> {
  const first = await newPage();
  await load(first, {});
  const kept = await stored(first);
  expect(kept).toHaveLength(1);
  const context = first.context();
  const { page, text } = await tuned(context, fullFrom(at));
  const writes = await writesInWorkers(page);
  expect(writes).toBeGreaterThanOrEqual(4);
  expect(text).not.toBe('');
  const found = await stored(page);
  expect(found).toEqual(expect.arrayContaining(kept));
  expect(found.length).toBeLessThan(5);
  const next = await tuned(context, '');
  expect(next.text).not.toBe('');
  const all = await stored(next.page);
  expect(all).toEqual(expect.arrayContaining(found));
  expect(all.filter(([key]) => !isOfSelfCheck(key))).toHaveLength(3);
  await context.close();
  return writes;
}

it('without room for any of its writes, or for the last, the engine answers, stored results stay, and the next visit computes the rest', async () => {
  await withoutRoom(await withoutRoom(1));
});

it('opens where the browser allows no database', async () => {
  const code = "IDBFactory.prototype.open = () => { throw new DOMException('not for this page', 'SecurityError'); };";
  const { page, text } = await tuned(await opened.browser.newContext(), code);
  expect(text).not.toBe('');
  await page.context().close();
});

it.each([
  ['lavapipe', opened],
  ['swiftshader', swiftshader],
])('%s computes right by its own kernels, so that no others stand in', async (_, on) => {
  const page = await newPage(on);
  await load(page, {});
  const kept = (await stored(page)).filter(([key]) => isOfSelfCheck(key)).map(([, value]) => value);
  expect(kept).toEqual([VARIANTS.cpu]);
});

it('loads adapters with the model, and fails as a whole if one fails', async () => {
  const page = await newPage();
  const loaded = await page.evaluate(async () => {
    const engine = await globalThis.chunkwise.createEngine({
      model: 'models/tiny.gguf',
      contextLength: 128,
      adapters: { poet: 'adapters/shakespeare/' },
    });
    const say = async (adapter?: string): Promise<string | undefined> =>
      (
        await engine.completions.create({
          prompt: 'One two',
          max_tokens: 6,
          temperature: 0,
          ...(adapter && { adapter }),
        })
      ).choices[0]?.text;
    const result = {
      names: (await engine.adapters.list()).map(({ name }) => name),
      plain: await say(),
      poet: await say('poet'),
    };
    await engine.dispose();
    return result;
  });
  expect(loaded.names).toEqual(['poet']);
  expect(loaded.poet).not.toBe(loaded.plain);
  await expect.poll(() => page.workers().length).toBe(0);
  const refused = await page.evaluate(async () => {
    const options = { model: 'models/tiny.gguf', contextLength: 128, adapters: { none: 'adapters/none/' } };
    return globalThis.chunkwise.createEngine(options).then(
      () => undefined,
      ({ code, detail }: { code: string; detail: object }) => ({ code, detail }),
    );
  });
  expect(refused).toMatchObject({
    code: 'network',
    detail: { file: expect.stringMatching(/adapters\/none\/adapter_config\.json$/) as string },
  });
  await expect.poll(() => page.workers().length).toBe(0);
});

it('loads a draft model, with which answers stay the same', async () => {
  const page = await newPage();
  writeFileSync(
    join(opened.server.folder, 'draft.gguf'),
    tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, numLayers: 1, contextLength: 64 }),
  );
  const [plain, drafted] = await page.evaluate(async () => {
    const answers = [];
    for (const draftModel of [undefined, 'models/draft.gguf']) {
      const asked: string[] = [];
      const confirmLoad = ({ name }: { name: string }): boolean =>
        asked.push(name.slice(name.lastIndexOf('/') + 1)) > 0;
      const engine = await globalThis.chunkwise.createEngine({
        model: 'models/tiny.gguf',
        contextLength: 128,
        ...(draftModel && { draftModel }),
        confirmLoad,
      });
      const { choices } = await engine.completions.create({
        prompt: 'One two',
        max_tokens: 80,
        temperature: 0,
        speculate: true,
      });
      answers.push({
        asked,
        text: choices[0]?.text,
        memory: await engine.memory(),
        stored: (await engine.cache.list()).length,
      });
      await engine.dispose();
    }
    return answers as [(typeof answers)[0], (typeof answers)[0]];
  });
  expect(drafted.text).toBe(plain.text);
  expect([plain.asked, drafted.asked]).toEqual([['tiny.gguf'], ['tiny.gguf', 'draft.gguf']]);
  expect(drafted.memory.weights).toBeGreaterThan(plain.memory.weights);
  expect(drafted.stored).toBe(plain.stored + 1);
  await expect.poll(() => page.workers().length).toBe(0);
});

it('refuses a draft model with other tokens before its weights are downloaded', async () => {
  const page = await newPage();
  const refused = await page.evaluate(async () => {
    const asked: string[] = [];
    const confirmLoad = ({ name }: { name: string }): boolean => asked.push(name) > 0;
    const options = {
      model: 'models/tiny.gguf',
      draftModel: 'models/SmolLM2-135M-Instruct.Q4_1.gguf',
      contextLength: 128,
      confirmLoad,
    };
    const error = await globalThis.chunkwise.createEngine(options).then(
      () => undefined,
      ({ code, detail }: { code: string; detail: object }) => ({ code, detail }),
    );
    return { asked: asked.length, error };
  });
  expect(refused).toMatchObject({
    asked: 1,
    error: {
      code: 'unsupported',
      detail: { file: expect.stringMatching(/SmolLM2/) as string, field: 'tokenizer.ggml.tokens' },
    },
  });
  await expect.poll(() => page.workers().length).toBe(0);
});
