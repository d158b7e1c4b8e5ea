import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { HubServer } from '../../tests/support/hub-server.ts';
import { modelFolder } from '../../tests/support/models/safetensors-folder.ts';
import { fullFrom, writesInWorkers } from '../support/full-storage.ts';
import { firstInWorkers } from '../support/in-workers.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { deleteStored, importPackage, loadModel, servePackage, stored } from '../support/package-page.ts';
import { FILE, MODEL, PIECES, startTinyHub } from '../support/tiny-hub.ts';

const opened = openForTests(servePackage);
let hub: HubServer;
/** Folders of a model in several files, one of which replaces the other. */
let folders: HubServer;
const NAMES = ['config.json', 'tokenizer.json', 'model.safetensors'];
const filesOf = (model: string) => modelFolder(model).filter(({ name }) => NAMES.includes(name));

beforeAll(async () => {
  hub = await startTinyHub();
  folders = await HubServer.start('owner/tiny', {});
});
afterAll(() => Promise.all([hub.close(), folders.close()]));

async function publish(model: string): Promise<void> {
  for (const file of filesOf(model)) folders.files[file.name] = await file.read(0, file.size);
  folders.forget();
}

const modelOf = ({ endpoint }: HubServer) => ({ model: 'owner/tiny', hub: { endpoint } });

/** Loads the model up to its upload; returns the number of bytes to upload, or the error. */
const load = (page: Page, { endpoint }: HubServer) =>
  page.evaluate(async (endpoint) => {
    const control = new AbortController();
    let bytes: number | undefined;
    const onProgress = ({ phase, total }: Chunkwise.LoadProgress): void => {
      if (phase !== 'upload') return;
      bytes ??= total;
      control.abort();
    };
    const options = { model: 'owner/tiny', hub: { endpoint }, contextLength: 128, onProgress, signal: control.signal };
    const error = await globalThis.chunkwise.createEngine(options).then(
      () => undefined,
      (thrown: Chunkwise.ChunkwiseError) => thrown,
    );
    return bytes === undefined ? { code: error?.code, ...error?.detail } : { bytes };
  }, endpoint);

const FULL = { code: 'over_limit', field: 'storage' };

/**
 * Manifests are in IndexedDB in both; pieces in the private file system survive without it, which is tested in Node.
 */
describe.each([
  ['the private file system', ''],
  ['the Cache API', 'delete StorageManager.prototype.getDirectory;'],
])('in %s', (place, without) => {
  const isCache = place === 'the Cache API';

  async function visit(context: BrowserContext, fullAt = Infinity): Promise<Page> {
    const page = await context.newPage();
    await firstInWorkers(page, without + fullFrom(fullAt));
    await importPackage(page, opened.server);
    return page;
  }

  /** Runs `work` in a storage that is full from each write on; returns the number of runs with an error. */
  async function atEach(
    writes: number,
    work: (context: BrowserContext, at: number) => Promise<boolean>,
  ): Promise<number> {
    let errors = 0;
    for (let at = 1; at <= writes; at++) {
      const context = await opened.browser.newContext();
      if (await work(context, at)) errors++;
      await context.close();
    }
    return errors;
  }

  async function writesOf(server: HubServer, prepare: (context: BrowserContext) => Promise<void>): Promise<number> {
    const context = await opened.browser.newContext();
    await prepare(context);
    const page = await visit(context);
    await loadModel(page, modelOf(server));
    const writes = await writesInWorkers(page);
    await context.close();
    return writes;
  }

  it('a first download ends with a typed error or completes, and the next visit fetches the missing pieces', async () => {
    const writes = await writesOf(hub, async () => undefined);
    expect(writes).toBeGreaterThanOrEqual(isCache ? PIECES + 5 : 3);
    const errors = await atEach(writes, async (context, at) => {
      hub.forget();
      const found = await load(await visit(context, at), hub);
      if (!('bytes' in found)) expect({ at, ...found }).toMatchObject({ at, ...FULL });
      const next = await visit(context);
      expect(await load(next, hub)).toHaveProperty('bytes');
      // Pieces in transit when the storage became full are fetched again.
      if ('bytes' in found) expect([at, hub.sentBytes(FILE), hub.sentTwice(FILE)]).toEqual([at, MODEL.length, 0]);
      await context.route(`${hub.endpoint}/**`, (route) => route.abort());
      expect(await load(await visit(context), hub)).toHaveProperty('bytes');
      return !('bytes' in found);
    });
    expect(errors).toBe(isCache ? PIECES + 4 : 0); // all but the last write of the manifest, which the model does not need
  });

  it('a new version: offline the next visit has the old one or the new one complete, and then the new one', async () => {
    const prepare = async (context: BrowserContext): Promise<void> => {
      await publish('llama');
      expect(await load(await visit(context), folders)).toHaveProperty('bytes');
      await publish('qwen3');
    };
    const writes = await writesOf(folders, prepare);
    const sizes = { old: 0, new: 0 };
    const errors = await atEach(writes, async (context, at) => {
      await prepare(context);
      const found = await load(await visit(context, at), folders);
      if (!('bytes' in found)) expect({ at, ...found }).toMatchObject({ at, ...FULL });
      const isHub = ({ origin }: URL): boolean => origin === folders.endpoint;
      await context.route(isHub, (route) => route.abort());
      const kept = await load(await visit(context), folders);
      expect({ at, ...kept }).toEqual({ at, bytes: expect.any(Number) as number });
      await context.unroute(isHub);
      const next = await load(await visit(context), folders);
      sizes[JSON.stringify(kept) === JSON.stringify(next) ? 'new' : 'old']++;
      expect(next).toHaveProperty('bytes');
      return !('bytes' in found);
    });
    expect(sizes.old).toBeGreaterThanOrEqual(errors);
    expect(errors > 0).toBe(isCache);
  });

  it('deleting a model: a typed error, and the next attempt deletes it', async () => {
    const context = await opened.browser.newContext();
    const page = await visit(context);
    await loadModel(page, modelOf(hub));
    const setFullAt = (at: number) =>
      Promise.all(page.workers().map((worker) => worker.evaluate((at) => void (globalThis.storageFullAt = at), at)));
    await setFullAt(0);
    expect(await deleteStored(page, 'owner/tiny')).toBe('over_limit');
    await setFullAt(Infinity);
    expect(await deleteStored(page, 'owner/tiny')).toBeUndefined();
    expect(await stored(page)).toEqual({ list: [], size: 0 });
    await context.close();
  });
});
