import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HubServer } from '../../tests/support/hub-server.ts';
import { firstInWorkers } from '../support/in-workers.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { deleteStored, importPackage, loadModel, loadUntil, servePackage, stored } from '../support/package-page.ts';
import { FILE, MODEL, PIECE, PIECES, startTinyHub } from '../support/tiny-hub.ts';

const opened = openForTests(servePackage);
let hub: HubServer;
let context: BrowserContext;

/** A browser whose workers have no private file system; its pages, in which the tests look, have one. */
beforeAll(async () => {
  hub = await startTinyHub();
  context = await opened.browser.newContext();
  await firstInWorkers(context, 'delete StorageManager.prototype.getDirectory;');
});
afterAll(() => hub.close());

async function visit(): Promise<Page> {
  hub.forget();
  const page = await context.newPage();
  await importPackage(page, opened.server);
  return page;
}

const model = () => ({ model: 'owner/tiny', hub: { endpoint: hub.endpoint } });

/** Content of the Cache API, with hashes of the pieces in order, and names in the private file system. */
const places = (page: Page) =>
  page.evaluate(async () => {
    const pieces: { bytes: number; sum: number }[] = [];
    let others = 0;
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const request of await cache.keys()) {
        const [, index] = /\/(\d+)\/[0-9a-f]{64}$/.exec(request.url) ?? [];
        const bytes = new Uint8Array(await (await cache.match(request))!.arrayBuffer());
        if (index === undefined) others++;
        else pieces[Number(index)] = { bytes: bytes.length, sum: bytes.reduce((sum, byte) => sum + byte) };
      }
    }
    const files: string[] = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) files.push(name);
    return { pieces, others, files };
  });

it('stores a model in the Cache API without a private file system: listed, usable offline, and deleted', async () => {
  const first = await visit();
  await loadUntil(first, 'upload', model());
  expect(hub.sentBytes(FILE)).toBe(MODEL.length);
  const { pieces, others, files } = await places(first);
  expect(pieces.map(({ bytes }) => bytes)).toEqual(
    Array.from({ length: PIECES }, (_, i) => Math.min(PIECE, MODEL.length - i * PIECE)),
  );
  expect(others).toBeGreaterThan(0);
  expect(files).toEqual([]);

  const second = await visit();
  const { phases, text } = await loadModel(second, model());
  expect(text).not.toBe('');
  expect(phases).not.toContain('download');
  expect(hub.sentBytes(FILE)).toBe(0);
  expect(await stored(second)).toEqual({
    list: [{ kind: 'model', name: 'owner/tiny', bytes: MODEL.length }],
    size: MODEL.length,
  });
  expect([await deleteStored(second, 'owner/tiny'), await deleteStored(second, 'owner/tiny')]).toEqual([
    undefined,
    'bad_request',
  ]);
  expect(await stored(second)).toEqual({ list: [], size: 0 });
  expect(await places(second)).toEqual({ pieces: [], others: 0, files: [] });
});

it('fetches a corrupted piece again', async () => {
  const page = await visit();
  await loadUntil(page, 'upload', model());
  const whole = (await places(page)).pieces;
  await page.evaluate(async () => {
    for (const name of await caches.keys()) {
      const cache = await caches.open(name);
      for (const request of await cache.keys()) {
        if (!/\/2\/[0-9a-f]{64}$/.test(request.url)) continue;
        const bytes = new Uint8Array(await (await cache.match(request))!.arrayBuffer());
        await cache.put(request, new Response(bytes.fill(0, 1000, 1100)));
      }
    }
  });
  expect((await places(page)).pieces).not.toEqual(whole);
  hub.forget();
  await loadUntil(page, 'upload', model());
  expect([hub.sentBytes(FILE), hub.sent.get(FILE)?.[2 * PIECE]]).toEqual([PIECE, 1]);
  expect((await places(page)).pieces).toEqual(whole);
});
