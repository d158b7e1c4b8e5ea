import { createHash } from 'node:crypto';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type * as Chunkwise from '../src/api/index.ts';
import { HubServer } from '../tests/hub/hub-server.ts';
import { modelFolder } from '../tests/weights/safetensors-folder.ts';
import { tinyModel } from '../tests/weights/tiny-model.ts';
import { openForTests } from './open-for-tests.ts';
import { importPackage, servePackage } from './package-page.ts';

const PIECE = 1 << 20;
const FILE = 'tiny-Q8_0.gguf';
const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 2 });
const PIECES = Math.ceil(MODEL.length / PIECE);

const opened = openForTests(servePackage);
let hub: HubServer;
let safetensors: HubServer;
let context: BrowserContext;

beforeAll(async () => {
  hub = await HubServer.start('owner/tiny', { [FILE]: MODEL });
  const files = modelFolder('qwen3').map(async (file) => [file.name, await file.read(0, file.size)] as const);
  safetensors = await HubServer.start('owner/qwen', Object.fromEntries(await Promise.all(files)));
});
afterAll(() => {
  hub.close();
  safetensors.close();
});
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

interface Loaded {
  phases: string[];
  stored: Chunkwise.StoredEntry[];
  text: string | undefined;
  /** What deleting the model a second time threw, and the bytes stored after it. */
  again: unknown;
  size: number;
}

/** Loads a model in a page, lets it say a few tokens, and ends it. */
function load(page: Page, options: { model: string; hub: Chunkwise.HubOptions }): Promise<Loaded> {
  return page.evaluate(async (options) => {
    const phases: string[] = [];
    const onProgress = ({ phase }: Chunkwise.LoadProgress): void => void (phases.at(-1) === phase || phases.push(phase));
    const engine = await globalThis.chunkwise.createEngine({ ...options, contextLength: 128, onProgress });
    const answer = await engine.completions.create({ prompt: 'One two', max_tokens: 3, temperature: 0 });
    const stored = await engine.cache.list();
    const [entry] = stored;
    if (entry) await engine.cache.delete(entry.name, entry.kind);
    const again = entry && (await engine.cache.delete(entry.name).catch((error: unknown) => (error as Chunkwise.ChunkwiseError).code));
    const size = await engine.cache.size();
    await engine.dispose();
    return { phases, stored, text: answer.choices[0]?.text, again, size };
  }, options);
}

/** Loads a model as far as its upload to the GPU, which begins when all of it is stored and checked. */
function store(page: Page, options: { model: string; hub: Chunkwise.HubOptions }): Promise<string> {
  return page.evaluate(async (options) => {
    const control = new AbortController();
    let isStored = false;
    const onProgress = ({ phase }: Chunkwise.LoadProgress): void => {
      if (phase !== 'upload' && phase !== 'compile') return;
      isStored = true;
      control.abort();
    };
    try {
      await globalThis.chunkwise.createEngine({ ...options, contextLength: 128, onProgress, signal: control.signal });
      return 'loaded';
    } catch (error) {
      return isStored ? 'stored' : String(error);
    }
  }, options);
}

const tiny = () => ({ model: 'owner/tiny', hub: { endpoint: hub.endpoint } });

it('a safetensors model by its hub id, quantised as it is loaded, without its hub once it is stored; listed and deleted', async () => {
  const options = { model: 'owner/qwen', hub: { endpoint: safetensors.endpoint } };
  expect(await store(await visit(), options)).toBe('stored');
  await context.route(`${safetensors.endpoint}/**`, (route) => route.abort());
  const loaded = await load(await visit(), options);
  expect(loaded.phases).not.toContain('download');
  expect(loaded.phases).toContain('verify');
  expect(loaded.stored).toEqual([{ kind: 'model', name: 'owner/qwen', bytes: expect.any(Number) as number }]);
  expect(loaded.stored[0]?.bytes).toBeGreaterThan(safetensors.files['model.safetensors']!.length);
  expect(loaded.text).not.toBe('');
  expect([loaded.again, loaded.size]).toEqual(['bad_request', 0]);
});

it('two tabs, one download', async () => {
  const pages = [await visit(), await visit()];
  expect(await Promise.all(pages.map((page) => store(page, tiny())))).toEqual(['stored', 'stored']);
  expect([hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([MODEL.length, 0]);
});

it('goes on where a killed tab ended, and heals a file that was tampered with', async () => {
  // The last piece never comes.
  hub.behaviour.cutAt = () => (PIECES - 1) * PIECE;
  hub.behaviour.instead = ({ from, response }) => from >= (PIECES - 1) * PIECE && Boolean(response.writeHead(503, { 'Retry-After': '60' }).end());
  const page = await visit();
  void store(page, tiny()).catch(() => undefined);
  await expect.poll(() => hub.sentBytes(FILE), { timeout: 60_000 }).toBe((PIECES - 1) * PIECE);
  await page.waitForTimeout(1000); // what has come is written
  await page.close();
  hub.behaviour = {};
  expect(await store(await visit(), tiny())).toBe('stored');
  expect([hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([MODEL.length, 0]);

  const tampering = await visit();
  await tampering.evaluate(async (at) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chunkwise-models');
    for await (const handle of folder.values()) {
      if (handle.kind !== 'file' || !handle.name.endsWith('.gguf')) continue;
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.write({ type: 'write', position: at, data: new Uint8Array(100) });
      await writable.close();
    }
  }, 2 * PIECE + 1000);
  hub.forget();
  expect(await store(tampering, tiny())).toBe('stored');
  expect(hub.sentBytes(FILE)).toBe(PIECE);
});

it('takes over what an older version stored', async () => {
  const url = hub.fileUrl(FILE);
  const name = createHash('sha256').update(url).digest('hex');
  const etag = `"${createHash('sha256').update(MODEL).digest('hex').slice(0, 32)}"`;
  const held = 2 * PIECE + 500;
  const page = await visit();
  await page.evaluate(async ({ name, note, data }) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('chunkwise-models', { create: true });
    const write = async (file: string, bytes: BlobPart): Promise<void> => {
      const writable = await (await folder.getFileHandle(file, { create: true })).createWritable();
      await writable.write(new Blob([bytes]));
      await writable.close();
    };
    await write(`${name}.gguf`, Uint8Array.from(atob(data), (character) => character.charCodeAt(0)));
    await write(`${name}.json`, note);
  }, { name, note: JSON.stringify({ url, size: MODEL.length, version: etag }), data: Buffer.from(MODEL.subarray(0, held)).toString('base64') });
  expect(await store(page, { model: url, hub: {} })).toBe('stored');
  expect(hub.sentBytes(FILE)).toBe(MODEL.length - 2 * PIECE);
});
