import { createHash } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { CONFIG_FILE, peftWeights, tinyAdapter, WEIGHTS_FILE } from '../../tests/support/models/tiny-adapter.ts';
import { HubServer } from '../../tests/support/hub-server.ts';
import { BytesSource } from '../../tests/support/bytes-source.ts';
import { poisoned } from '../../tests/support/models/poisoned.ts';
import { modelFolder } from '../../tests/support/models/safetensors-folder.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { writeAdapter } from '../support/demo-server.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { deleteStored, importPackage, loadModel, loadUntil, servePackage, stored } from '../support/package-page.ts';
import { FILE, MODEL, PIECE, PIECES, startTinyHub } from '../support/tiny-hub.ts';

const opened = openForTests(servePackage);
let hub: HubServer;
let safetensors: HubServer;
let context: BrowserContext;

beforeAll(async () => {
  hub = await startTinyHub();
  const files = modelFolder('qwen3').map(async (file) => [file.name, await file.read(0, file.size)] as const);
  safetensors = await HubServer.start('owner/qwen', Object.fromEntries(await Promise.all(files)));
});
afterAll(() => Promise.all([hub.close(), safetensors.close()]));
beforeEach(async () => {
  hub.forget();
  context = await opened.browser.newContext();
});
afterEach(() => context.close());

async function visit(): Promise<Page> {
  const page = await context.newPage();
  await importPackage(page, opened.server);
  return page;
}

const store = (page: Page, options: { model: string; hub: Chunkwise.HubOptions }) => loadUntil(page, 'upload', options);

/** The model's answer with an adapter. */
const adapted = (page: Page, source: string) =>
  page.evaluate(async (source) => {
    const { engine } = globalThis;
    await engine.adapters.load('poet', source);
    const answer = await engine.completions.create({
      prompt: 'One two',
      max_tokens: 6,
      temperature: 0,
      adapter: 'poet',
    });
    await engine.adapters.unload('poet');
    return answer.choices[0]?.text;
  }, source);

const tiny = () => ({ model: 'owner/tiny', hub: { endpoint: hub.endpoint } });

it('a safetensors model by its hub id: quantized at load, usable offline once stored, listed and deleted', async () => {
  const options = { model: 'owner/qwen', hub: { endpoint: safetensors.endpoint } };
  await store(await visit(), options);
  await context.route(`${safetensors.endpoint}/**`, (route) => route.abort());
  const page = await visit();
  const { phases, text } = await loadModel(page, options);
  expect(phases).not.toContain('download');
  expect(phases).toContain('verify');
  expect(text).not.toBe('');
  const { list } = await stored(page);
  expect(list).toEqual([{ kind: 'model', name: 'owner/qwen', bytes: expect.any(Number) as number }]);
  expect(list[0]?.bytes).toBeGreaterThan(safetensors.files['model.safetensors']!.length);
  expect([await deleteStored(page, 'owner/qwen'), await deleteStored(page, 'owner/qwen')]).toEqual([
    undefined,
    'bad_request',
  ]);
  expect((await stored(page)).size).toBe(0);
});

it('asks before a download with its size; declined, only the header was fetched', async () => {
  const page = await visit();
  const load = (answer: boolean) =>
    page.evaluate(
      async ([options, answer]) => {
        const asked: Chunkwise.FoundFiles[] = [];
        const confirmLoad = (found: Chunkwise.FoundFiles): boolean => asked.push(found) === 1 && answer;
        const codeOf = ({ code }: Chunkwise.ChunkwiseError): string => code;
        try {
          const engine = await globalThis.chunkwise.createEngine({ ...options, contextLength: 128, confirmLoad });
          const adapter = await engine.adapters
            .load('poet', { gguf: 'adapters/shakespeare/adapter.gguf' })
            .catch(codeOf);
          await engine.dispose();
          return { asked, adapter };
        } catch (error) {
          return { asked, code: codeOf(error as Chunkwise.ChunkwiseError) };
        }
      },
      [tiny(), answer] as const,
    );
  const model = { kind: 'model', name: 'owner/tiny', bytes: MODEL.length };
  const license = 'apache-2.0';
  expect(await load(false)).toEqual({ asked: [{ ...model, missingBytes: MODEL.length, license }], code: 'aborted' });
  const header = hub.sentBytes(FILE);
  expect(header).toBeLessThan(MODEL.length);
  const { asked, adapter } = await load(true);
  expect(asked).toMatchObject([
    { ...model, missingBytes: MODEL.length - header, license },
    { kind: 'adapter', name: expect.stringMatching(/adapter\.gguf$/) as string },
  ]);
  expect(adapter).toBe('aborted');
  expect(await load(false)).toEqual({ asked: [{ ...model, missingBytes: 0 }], code: 'aborted' });
  expect(hub.sentTwice(FILE)).toBe(0);
});

it('two tabs, one download', async () => {
  const pages = [await visit(), await visit()];
  await Promise.all(pages.map((page) => store(page, tiny())));
  expect([hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([MODEL.length, 0]);
});

it('resumes the download of a killed tab, and repairs a corrupted file', async () => {
  // The last piece never arrives.
  hub.behaviour.cutAt = () => (PIECES - 1) * PIECE;
  hub.behaviour.instead = ({ from, response }) =>
    from >= (PIECES - 1) * PIECE && Boolean(response.writeHead(503, { 'Retry-After': '60' }).end());
  const page = await visit();
  void store(page, tiny()).catch(() => undefined);
  await expect.poll(() => hub.sentBytes(FILE), { timeout: 60_000 }).toBe((PIECES - 1) * PIECE);
  await page.waitForTimeout(1000); // received pieces are written
  await page.close();
  hub.behaviour = {};
  await store(await visit(), tiny());
  expect([hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([MODEL.length, 0]);

  const tampering = await visit();
  await tampering.evaluate(
    async (at) => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chunkwise-models');
      for await (const handle of folder.values()) {
        if (handle.kind !== 'file' || !handle.name.endsWith('.gguf')) continue;
        const writable = await handle.createWritable({ keepExistingData: true });
        await writable.write({ type: 'write', position: at, data: new Uint8Array(100) });
        await writable.close();
      }
    },
    2 * PIECE + 1000,
  );
  hub.forget();
  await store(tampering, tiny());
  expect(hub.sentBytes(FILE)).toBe(PIECE);
});

it('keeps files of an older version', async () => {
  const url = hub.fileUrl(FILE);
  const name = createHash('sha256').update(url).digest('hex');
  const etag = `"${createHash('sha256').update(MODEL).digest('hex').slice(0, 32)}"`;
  const held = 2 * PIECE + 500;
  const page = await visit();
  await page.evaluate(
    async ({ name, note, data }) => {
      const folder = await (
        await navigator.storage.getDirectory()
      ).getDirectoryHandle('chunkwise-models', { create: true });
      const write = async (file: string, bytes: BlobPart): Promise<void> => {
        const writable = await (await folder.getFileHandle(file, { create: true })).createWritable();
        await writable.write(new Blob([bytes]));
        await writable.close();
      };
      await write(
        `${name}.gguf`,
        Uint8Array.from(atob(data), (character) => character.charCodeAt(0)),
      );
      await write(`${name}.json`, note);
    },
    {
      name,
      note: JSON.stringify({ url, size: MODEL.length, version: etag }),
      data: Buffer.from(MODEL.subarray(0, held)).toString('base64'),
    },
  );
  await store(page, { model: url, hub: {} });
  expect(hub.sentBytes(FILE)).toBe(MODEL.length - 2 * PIECE);
});

it('an adapter by its hub id: stored, listed, usable offline, and deleted', async () => {
  const adapter = tinyAdapter(readModelConfig(await openGguf([new BytesSource(FILE, MODEL)])), {
    seed: 3,
    rank: 8,
    gain: 2,
  });
  const files = {
    [CONFIG_FILE]: new TextEncoder().encode(JSON.stringify(adapter.config)),
    [WEIGHTS_FILE]: peftWeights(adapter),
  };
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(opened.server.adapters, name), bytes);
  const poets = await HubServer.start('owner/poet', files);
  const options = { model: hub.fileUrl(FILE), hub: { endpoint: poets.endpoint } };
  let page = await visit();
  const base = await loadModel(page, options);
  const [byId, byUrl] = [await adapted(page, 'owner/poet'), await adapted(page, 'adapters/')];
  expect(byId).toBe(byUrl);
  expect(byId).not.toBe(base.text);
  expect([poets.sentBytes(WEIGHTS_FILE), poets.sentTwice(WEIGHTS_FILE)]).toEqual([files[WEIGHTS_FILE].length, 0]);

  await poets.close();
  page = await visit();
  await loadModel(page, options);
  expect(await adapted(page, 'owner/poet')).toBe(byId);
  const bytes = files[CONFIG_FILE].length + files[WEIGHTS_FILE].length;
  const before = await stored(page);
  expect(before.list).toContainEqual({ kind: 'adapter', name: 'owner/poet', bytes });
  expect(await deleteStored(page, 'owner/poet')).toBeUndefined();
  expect((await stored(page)).size).toBe(before.size - bytes);
});

it('an adapter by its folder: listed, and deleted by the name of its load', async () => {
  const folder = join(opened.server.adapters, 'minstrel');
  await writeAdapter(folder, MODEL);
  const bytes = [CONFIG_FILE, WEIGHTS_FILE].reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  const page = await visit();
  await loadModel(page, { model: hub.fileUrl(FILE) });
  const before = await stored(page);
  const url = `${opened.server.url()}adapters/minstrel/`;
  for (const name of ['adapters/minstrel/', './adapters/minstrel', url]) {
    await adapted(page, name);
    expect((await stored(page)).list).toContainEqual({ kind: 'adapter', name: url, bytes });
    expect([name, await deleteStored(page, name)]).toEqual([name, undefined]);
    expect(await stored(page)).toEqual(before);
  }
});

it('a refused model is neither listed nor stored, unless it was complete before', async () => {
  writeFileSync(join(opened.server.folder, 'nan.gguf'), await poisoned(MODEL, 'blk.0.attn_q.weight', 4));
  const other = tinyModel({ architecture: 'llama', type: 'F32', seed: 3, hiddenSize: 128 });
  await writeAdapter(join(opened.server.adapters, 'other'), other);
  const page = await visit();
  await loadModel(page, tiny());
  const before = await stored(page);
  expect(before.list).toHaveLength(1);
  const codeOf = (options: object) =>
    page.evaluate(async (options) => {
      const opening = globalThis.chunkwise.createEngine({ model: '', contextLength: 128, ...options });
      return opening.then(
        (engine) => engine.dispose(),
        ({ code }: Chunkwise.ChunkwiseError) => code,
      );
    }, options);
  const refused: [options: object, code: string][] = [
    [{ model: 'models/garbage.gguf' }, 'bad_file'], // by its header
    [{ model: 'models/nan.gguf' }, 'bad_file'], // after its download
    [{ model: 'models/tiny.gguf', memoryLimitBytes: 1000 }, 'over_limit'],
    [{ ...tiny(), draftModel: 'models/garbage.gguf' }, 'bad_file'],
    [{ ...tiny(), memoryLimitBytes: 1000 }, 'over_limit'],
  ];
  for (const [options, code] of refused) {
    expect([options, await codeOf(options)]).toEqual([options, code]);
    expect([options, await stored(page)]).toEqual([options, before]);
  }
  const adapter = await page.evaluate(() =>
    globalThis.engine.adapters.load('other', 'adapters/other/').catch(({ code }: Chunkwise.ChunkwiseError) => code),
  );
  expect(adapter).toBe('bad_file');
  expect(await stored(page)).toEqual(before);
});
