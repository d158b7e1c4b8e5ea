import { createHash } from 'node:crypto';
import type { Browser, BrowserContext, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type * as Chunkwise from '../src/api/index.ts';
import { HubServer } from '../tests/hub/hub-server.ts';
import { modelFolder } from '../tests/weights/safetensors-folder.ts';
import { tinyModel } from '../tests/weights/tiny-model.ts';
import { launchBrowser } from './browser.ts';
import type { DemoServer } from './demo-server.ts';
import { importPackage, servePackage } from './package-page.ts';

const PIECE = 1 << 20;
const FILE = 'tiny-Q8_0.gguf';
const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 2 });
const PIECES = Math.ceil(MODEL.length / PIECE);

let server: DemoServer;
let hub: HubServer;
let safetensors: HubServer;
let browser: Browser;
let context: BrowserContext;

beforeAll(async () => {
  server = await servePackage();
  browser = await launchBrowser('swiftshader');
  hub = await HubServer.start('owner/tiny', { [FILE]: MODEL });
  const files = modelFolder('qwen3').map(async (file) => [file.name, await file.read(0, file.size)] as const);
  safetensors = await HubServer.start('owner/qwen', Object.fromEntries(await Promise.all(files)));
});
afterAll(async () => {
  await browser.close();
  hub.close();
  safetensors.close();
  await server.close();
});
beforeEach(async () => {
  hub.forget();
  context = await browser.newContext();
});
afterEach(() => context.close());

async function visit(): Promise<Page> {
  const page = await context.newPage();
  await importPackage(page, server);
  return page;
}

interface Loaded {
  code: string;
  phases: string[];
  stored: Chunkwise.StoredEntry[];
  text: string | undefined;
}

/** Loads a model in a page, lets it say a few tokens, and ends it. */
function load(page: Page, options: { model: string; hub: Chunkwise.HubOptions }): Promise<Loaded> {
  return page.evaluate(async (options) => {
    const { createEngine } = globalThis.chunkwise;
    const phases: string[] = [];
    const onProgress = ({ phase }: Chunkwise.LoadProgress): void => void (phases.at(-1) === phase || phases.push(phase));
    try {
      const engine = await createEngine({ ...options, contextLength: 128, onProgress });
      const answer = await engine.completions.create({ prompt: 'One two', max_tokens: 3, temperature: 0 });
      const stored = await engine.cache.list();
      await engine.dispose();
      return { code: 'fine', phases, stored, text: answer.choices[0]?.text };
    } catch (error) {
      return { code: String((error as Chunkwise.ChunkwiseError).code ?? error), phases, stored: [], text: undefined };
    }
  }, options);
}

const tiny = () => ({ model: 'owner/tiny', hub: { endpoint: hub.endpoint } });

it('a safetensors model by its hub id, quantised as it is loaded; the next visit needs no hub', async () => {
  const options = { model: 'owner/qwen', hub: { endpoint: safetensors.endpoint } };
  const first = await load(await visit(), options);
  expect(first).toMatchObject({ code: 'fine', stored: [{ kind: 'model', name: 'owner/qwen' }] });
  expect(new Set(first.phases)).toEqual(new Set(['header', 'download', 'verify', 'upload', 'compile']));
  await context.route(`${safetensors.endpoint}/**`, (route) => route.abort());
  const second = await load(await visit(), options);
  expect(second.phases).not.toContain('download');
  expect(second).toMatchObject({ code: 'fine', stored: first.stored, text: first.text });
});

it('two tabs, one download', async () => {
  const pages = [await visit(), await visit()];
  const loaded = await Promise.all(pages.map((page) => load(page, tiny())));
  expect(loaded.map(({ code }) => code)).toEqual(['fine', 'fine']);
  expect([hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([MODEL.length, 0]);
});

it('goes on where a killed tab ended, and heals a file that was tampered with', async () => {
  // The last piece never comes.
  hub.behaviour.cutAt = () => (PIECES - 1) * PIECE;
  hub.behaviour.instead = ({ from, response }) => from >= (PIECES - 1) * PIECE && Boolean(response.writeHead(503, { 'Retry-After': '60' }).end());
  const page = await visit();
  void load(page, tiny()).catch(() => undefined);
  await expect.poll(() => hub.sentBytes(FILE), { timeout: 60_000 }).toBe((PIECES - 1) * PIECE);
  await page.waitForTimeout(1000); // what has come is written
  await page.close();
  hub.behaviour = {};
  const first = await load(await visit(), tiny());
  expect(first.code).toBe('fine');
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
  const healed = await load(tampering, tiny());
  expect(healed).toMatchObject({ code: 'fine', text: first.text });
  expect(hub.sentBytes(FILE)).toBe(PIECE);
});

it('takes over what an older version stored, and lists and deletes it', async () => {
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
  const loaded = await load(page, { model: url, hub: {} });
  expect(loaded).toMatchObject({ code: 'fine', stored: [{ kind: 'model', name: url, bytes: MODEL.length }] });
  expect(hub.sentBytes(FILE)).toBe(MODEL.length - 2 * PIECE);
  const left = await page.evaluate(async (url) => {
    const { createEngine } = globalThis.chunkwise;
    const engine = await createEngine({ model: url, contextLength: 128 });
    await engine.cache.delete(url);
    const again = await engine.cache.delete(url).catch((error: unknown) => (error as Chunkwise.ChunkwiseError).code);
    const sizes = [await engine.cache.size(), (await engine.cache.list()).length];
    await engine.dispose();
    return { again, sizes };
  }, url);
  expect(left).toEqual({ again: 'bad_request', sizes: [0, 0] });
});
