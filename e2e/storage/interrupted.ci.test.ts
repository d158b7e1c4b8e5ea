import type { BrowserContext, CDPSession, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { PIECE_BYTES as PIECE } from '../../src/downloads/file-download.ts';
import { readJournal } from '../../src/storage/opfs-pieces.ts';
import { HubServer } from '../../tests/support/hub-server.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { firstInWorkers } from '../support/in-workers.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { deleteStored, importPackage, loadModel, servePackage, stored } from '../support/package-page.ts';
import { readDatabase } from '../support/page-database.ts';

declare global {
  var told: Chunkwise.LoadProgress[];
}

const FILE = 'tiny-F32.gguf';
/** Longer than the header that is read in advance. */
const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 2, numLayers: 4 });
const TOKEN = 'hf_verySecret123';
const opened = openForTests(servePackage);
let hub: HubServer;
let context: BrowserContext;
/** A page with an engine of the same model under another name. */
let running: Page;

beforeAll(async () => {
  hub = await HubServer.start('owner/tiny', { [FILE]: MODEL });
  context = await opened.browser.newContext();
  running = await visit();
  await loadModel(running, tiny('v2'));
});
afterAll(() => hub.close());
beforeEach(() => hub.forget());

/** `inWorker`: code that its workers run first. */
async function visit(inWorker = ''): Promise<Page> {
  const page = await context.newPage();
  if (inWorker !== '') await firstInWorkers(page, inWorker);
  await importPackage(page, opened.server);
  return page;
}

/** Loads a model up to its upload, when it is stored and verified; returns the error if that fails. */
const load = (page: Page, options: { model: string; hub: Chunkwise.HubOptions }) =>
  page.evaluate(async (options) => {
    const control = new AbortController();
    globalThis.told = [];
    const onProgress = (event: Chunkwise.LoadProgress): void => {
      globalThis.told.push(event);
      if (event.phase === 'upload' || event.phase === 'compile') control.abort();
    };
    const loading = globalThis.chunkwise.createEngine({
      ...options,
      contextLength: 128,
      onProgress,
      signal: control.signal,
    });
    const error = await loading.then(
      () => undefined,
      (thrown: Chunkwise.ChunkwiseError) => thrown,
    );
    if (control.signal.aborted || !error) return undefined;
    return { code: error.code, ...error.detail, shown: `${String(error)} ${error.stack ?? ''}` };
  }, options);

/** To the browser each revision is a separate model. */
const tiny = (revision: string, token?: string) => ({
  model: `owner/tiny@${revision}`,
  hub: { endpoint: hub.endpoint, ...(token !== undefined && { token }) },
});

/** Contents of all files in a folder of the private file system, by name. */
const textsIn = (page: Page, folder: string): Promise<Record<string, string>> =>
  page.evaluate(async (folder) => {
    const found: Record<string, string> = {};
    const files = await (await navigator.storage.getDirectory()).getDirectoryHandle(folder, { create: true });
    for await (const handle of files.values()) {
      if (handle.kind === 'file')
        found[handle.name] = handle.name.endsWith('.gguf') ? '' : await (await handle.getFile()).text();
    }
    return found;
  }, folder);

/** Resolves when a worker has reached `FREEZE`, where it stops. */
const isFrozen = (page: Page) =>
  page.evaluate(
    () =>
      new Promise((resolve) =>
        new BroadcastChannel('frozen').addEventListener('message', () => resolve(true), { once: true }),
      ),
  );
const FREEZE = "new BroadcastChannel('frozen').postMessage(''); for (;;);";

it('a gated model that redirects to another origin: only the hub receives the token, and it is stored nowhere', async () => {
  hub.behaviour.token = TOKEN;
  const page = await visit();
  const printed: string[] = [];
  page.on('console', (message) => printed.push(message.text()));
  const errors = [await load(page, tiny('gated')), await load(page, tiny('gated', 'hf_wrong1'))];
  hub.behaviour.refusal = 403;
  errors.push(await load(page, tiny('gated', 'hf_wrong1')));
  expect(errors.map((error) => [error?.code, error?.reason])).toEqual([
    ['network', 'status 401: the file needs a token of an account with access to it, or is not there'],
    ['network', 'status 401: the token was refused; its account has no access to the file, or the file is not there'],
    ['network', 'status 403: the token was refused; its account has no access to the file, or the file is not there'],
  ]);
  hub.requests.length = 0;
  expect(await load(page, tiny('gated', TOKEN))).toBeUndefined();
  const sentTo = (origin: string) =>
    new Set(hub.requests.filter((each) => each.origin === origin).map(({ authorization }) => authorization));
  expect([sentTo('hub'), sentTo('cdn')]).toEqual([new Set([`Bearer ${TOKEN}`]), new Set([undefined])]);
  expect(hub.sentBytes(FILE)).toBe(MODEL.length);
  const told = await page.evaluate(() => globalThis.told);
  const manifests = await readDatabase(page, 'chunkwise-models', 'manifests');
  expect(Object.keys(manifests)).toContain('owner/tiny@gated');
  expect(JSON.stringify([errors, told, printed, manifests, await textsIn(page, 'chunkwise-models')])).not.toMatch(
    /hf_|Bearer/,
  );
  await page.close();
});

it('a tab waits for another’s download, shows it and continues with it; a third cannot delete it meanwhile', async () => {
  // The end of the file never arrives.
  hub.behaviour.instead = ({ to, size }) => to === size;
  const first = await visit();
  void load(first, tiny('main')).catch(() => undefined);
  await first.waitForFunction(() =>
    (globalThis.told as typeof globalThis.told | undefined)?.some(({ phase }) => phase === 'download'),
  );
  const second = await visit();
  const waiting = load(second, tiny('main'));
  await second.waitForFunction(async () => ((await navigator.locks.query()).pending ?? []).length > 0);
  expect(await deleteStored(running, 'owner/tiny@main')).toBe('busy');
  await second.waitForFunction(() => globalThis.told.some(({ phase }) => phase === 'download'));
  hub.behaviour = {};
  await first.close();
  expect(await waiting).toBeUndefined();
  expect([hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([MODEL.length, 0]);
  const names = async () => (await stored(running)).list.map(({ name }) => name);
  expect(await names()).toContain('owner/tiny@main');
  expect(await deleteStored(running, 'owner/tiny@main')).toBeUndefined();
  expect(await names()).not.toContain('owner/tiny@main');
  await second.close();
});

it('a tab killed during a write: the next one resumes and fetches no held piece again', async () => {
  const journals = async () =>
    Object.entries(await textsIn(running, 'chunkwise-models')).filter(([name]) => name.endsWith('.journal'));
  const before = new Set((await journals()).map(([name]) => name));
  // Stored: the journal's head, a piece and its line, another piece, and half of its line.
  const page = await visit(`
    let left = 5;
    const { write } = FileSystemSyncAccessHandle.prototype;
    FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
      if (--left > 0) return write.call(this, bytes, options);
      write.call(this, bytes.subarray(0, bytes.length >> 1), options);
      ${FREEZE}
    };`);
  const frozen = isFrozen(page);
  void load(page, tiny('killed')).catch(() => undefined);
  await frozen;
  await page.close();
  const [, journal = ''] = (await journals()).find(([name]) => !before.has(name)) ?? [];
  expect([readJournal(journal)?.pieces.size, journal.endsWith('\n')]).toEqual([1, false]);
  hub.forget();
  const next = await visit();
  expect(await load(next, tiny('killed'))).toBeUndefined();
  expect(hub.sentBytes(FILE)).toBe(MODEL.length - PIECE);
  await next.close();
});

it('a full storage: a download resumes when there is room; a saved cache survives it, and a tab killed while it replaces one', async () => {
  const session: CDPSession = await context.newCDPSession(running);
  const { origin } = new URL(opened.server.url());
  /** Limits the further bytes. */
  const limit = async (room: number): Promise<void> => {
    const { usage = 0 } = await running.evaluate(() => navigator.storage.estimate());
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + room });
  };
  let page = await visit();
  for (const room of [0, 1.5 * PIECE, 3.5 * PIECE]) {
    await limit(room);
    expect({ room, ...(await load(page, tiny('full'))) }).toMatchObject({ room, code: 'over_limit', field: 'storage' });
  }
  await session.send('Storage.overrideQuotaForOrigin', { origin });
  expect(await load(page, tiny('full'))).toBeUndefined();
  await page.close();

  const ask = (words: number) =>
    running.evaluate(async (words) => {
      const request = { prompt: 'One two '.repeat(words), max_tokens: 2, temperature: 0 };
      return (await globalThis.engine.completions.create(request)).usage?.prompt_tokens_details?.cached_tokens;
    }, words);
  const save = (name: string) =>
    running.evaluate(
      (name) =>
        globalThis.engine.saveCache(name).catch(({ code, detail }: Chunkwise.ChunkwiseError) => ({ code, ...detail })),
      name,
    );
  await ask(2);
  const kept = await save('kept');
  await ask(8);
  await limit(0);
  for (const name of ['kept', 'new'])
    expect(await save(name)).toMatchObject({ code: 'over_limit', file: name, field: 'storage' });
  expect((await stored(running)).list.filter(({ kind }) => kind === 'text')).toMatchObject([{ name: 'kept' }]);
  await session.send('Storage.overrideQuotaForOrigin', { origin });

  page = await visit(`FileSystemWritableFileStream.prototype.close = () => { ${FREEZE} };`);
  await loadModel(page, tiny('full'));
  const frozen = isFrozen(page);
  void page.evaluate(() => globalThis.engine.saveCache('kept')).catch(() => undefined);
  await frozen;
  await page.close();
  expect(await running.evaluate(() => globalThis.engine.loadCache('kept'))).toEqual(kept);
  expect(await save('kept')).toMatchObject({ tokens: expect.any(Number) as number });
  expect(Object.keys(await textsIn(running, 'chunkwise-caches'))).toEqual(['kept.cache']);
});
