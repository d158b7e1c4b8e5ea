import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Locator, Page } from 'playwright';
import sirv from 'sirv';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { closeServer } from '../../tests/support/close-server.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { fullFrom } from '../support/full-storage.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { expectNoNetwork } from '../support/no-network.ts';
import { restOnly } from '../../tests/support/tier.ts';

declare global {
  /** Requests of the page. */
  var registering: Promise<ServiceWorkerRegistration>;
}

const BUILT = fileURLToPath(new URL('../../dist-demo/', import.meta.url));
const FOLDER = 'some/folder/';

const opened = openForTests(serveDemo);
/** A plain static host; the page is in one of its folders. */
let root: string;
let host: Server;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'chunkwise-host-'));
  const place = join(root, FOLDER);
  cpSync(BUILT, place, { recursive: true });
  cpSync(join(opened.server.adapters, 'shakespeare'), join(place, 'adapters/shakespeare'), { recursive: true });
  cpSync(join(opened.server.folder, 'tiny.gguf'), join(place, 'models/tiny.gguf'));
  host = await start(0);
});
afterAll(async () => {
  await closeServer(host);
  rmSync(root, { recursive: true });
});

async function start(port: number): Promise<Server> {
  const serve = sirv(root, { dev: true });
  const server = createServer((request, response) => serve(request, response));
  await new Promise<void>((resolve) => server.listen(port, 'localhost', resolve));
  return server;
}

it('runs from any folder of a static host, then without network or server, and asks before an update', async () => {
  const { port } = host.address() as AddressInfo;
  const address = `http://localhost:${port}/${FOLDER}`;
  const context = await opened.browser.newContext();
  const violations = await watchViolations(context);
  const demo = await DemoPage.openIn(context, `${address}?model=models/tiny.gguf`);
  const { page } = demo;
  const badge = page.getByTestId('offline-badge');
  await demo.loaded();
  await demo.setMaxTokens(6);
  const { text } = await demo.ask('Hello.');
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await demo.chooseAdapter('shakespeare');
  expect(await badge.isVisible()).toBe(false);
  const cdp = await context.newCDPSession(page);
  const { installabilityErrors } = await cdp.send('Page.getInstallabilityErrors');
  expect(installabilityErrors.map(({ errorId }) => errorId)).toEqual(['in-incognito']); // as in every test context
  // The page's own files are stored; models and adapters that nobody requested are not.
  const kept = await page.evaluate(async () => {
    const found = await Promise.all((await caches.keys()).map(async (name) => (await caches.open(name)).keys()));
    return found.flat().map(({ url }) => new URL(url).pathname);
  });
  expect(kept.some((path) => path.includes('engine.worker'))).toBe(true);
  expect(kept.filter((path) => /\/models\/|squad|wikitext/.test(path))).toEqual([]);

  await context.setOffline(true);
  await badge.waitFor();
  await page.reload();
  await demo.loaded();
  await page.locator('#adapter-unload').waitFor(); // the chosen adapter
  await expectNoNetwork(page);
  await demo.chooseAdapter('none');
  await page.getByRole('button', { name: 'New chat' }).click();
  expect((await demo.ask('Hello.')).text).toBe(text);

  await context.setOffline(false);
  await badge.waitFor({ state: 'hidden' });
  await closeServer(host);
  const second = await DemoPage.openIn(context, address); // a new tab without a model in its address
  await second.loaded();
  await second.page.getByTestId('offline-badge').waitFor();
  expect(await second.page.locator('#model').innerText()).toBe('tiny');
  await second.page.locator('.conversation').last().click();
  expect(await second.answers.last().locator('.text').innerText()).toBe(text);
  expect((await second.ask('Go on.')).note).toContain('6 tokens');
  await second.page.close();

  const place = join(root, FOLDER);
  const html = join(place, 'index.html');
  writeFileSync(html, readFileSync(html, 'utf8').replace('<title>Chunkwise</title>', '<title>Chunkwise 2</title>'));
  const worker = join(place, 'service-worker.js');
  const changed = readFileSync(worker, 'utf8').replace(/(url:"index\.html",revision:")\w+/, '$1changed');
  expect(changed).toContain('revision:"changed"');
  writeFileSync(worker, changed);
  host = await start(port);
  const withoutModel = `${address}?model=models/none.gguf`; // which takes less time
  await page.goto(withoutModel);
  await noticeOf(page).waitFor();
  expect(await page.title()).toBe('Chunkwise');
  const { page: other } = await DemoPage.openIn(context, withoutModel);
  await noticeOf(other).waitFor();
  // Requests that bypass the worker, such as downloads, do not block an update.
  await other.evaluate(
    (addresses) => {
      for (const each of addresses) setInterval(() => void fetch(each).catch(() => undefined), 10);
    },
    ['http://localhost:1/', 'models/none'],
  );
  // In the second tab no update waits any more.
  for (const tab of [page, other]) {
    await noticeOf(tab).getByRole('button', { name: 'Reload' }).click();
    await tab.waitForFunction(() => document.title === 'Chunkwise 2');
  }
  await other.close();
  await page.goto(`${address}?model=models/tiny.gguf`);
  await demo.loaded();
  expect(violations).toEqual([]);
  await context.close();
});

restOnly(() =>
  it('reloads if a new version does not take over', async () => {
    const place = join(root, 'stays');
    cpSync(BUILT, place, { recursive: true });
    const worker = join(place, 'service-worker.js');
    const code = readFileSync(worker, 'utf8');
    const page = await newPage();
    await visit(page, `http://localhost:${(host.address() as AddressInfo).port}/stays/?model=models/none.gguf`);
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    writeFileSync(worker, `self.skipWaiting = async () => undefined;${code}`);
    await page.reload();
    const notice = noticeOf(page);
    const reloaded = page.waitForEvent('domcontentloaded');
    await notice.getByRole('button', { name: 'Reload' }).click();
    await reloaded;
    await notice.waitFor(); // the update still waits
    await page.context().close();
  }),
);

/** The notice that asks before an update. */
const noticeOf = (page: Page): Locator =>
  page.locator('.notice', { hasText: 'A new version of this page is available.' });

/** A page in a fresh browser. */
async function newPage(): Promise<Page> {
  const context = await opened.browser.newContext();
  await context.addInitScript(() => {
    if (!('serviceWorker' in navigator)) return; // before the page opens
    const register = Reflect.get(ServiceWorkerContainer.prototype, 'register') as (
      ...args: unknown[]
    ) => Promise<ServiceWorkerRegistration>;
    Reflect.set(
      ServiceWorkerContainer.prototype,
      'register',
      function (this: ServiceWorkerContainer, ...args: unknown[]) {
        return (globalThis.registering = Reflect.apply(register, this, args));
      },
    );
  });
  return context.newPage();
}

/**
 * Opens the page without a model, and resolves when its current service worker is installed; returns whether that
 * worked.
 */
async function visit(page: Page, address: string): Promise<boolean> {
  await page.goto(address);
  await page.getByTestId('load-error').waitFor();
  return page.evaluate(async () => {
    const registration = await globalThis.registering;
    await registration.update().catch(() => undefined); // the registration is gone if its first worker could not be installed
    const { installing, waiting, active } = registration;
    if (!installing) return Boolean(waiting ?? active);
    await new Promise((resolve) => installing.addEventListener('statechange', resolve, { once: true }));
    return installing.state !== 'redundant';
  });
}

/** Number of writes of the service worker's installation. */
async function writesOf(address: string, worker: string, code: string): Promise<number> {
  const page = await newPage();
  writeFileSync(worker, fullFrom(Infinity) + code);
  expect(await visit(page, address)).toBe(true);
  const writes = await page
    .context()
    .serviceWorkers()[0]
    ?.evaluate(() => globalThis.storageWrites);
  await page.context().close();
  return writes ?? NaN;
}

async function titleOffline(page: Page): Promise<string> {
  await page.context().setOffline(true);
  await page.reload();
  await page.getByTestId('load-error').waitFor();
  const title = await page.title();
  await page.context().setOffline(false);
  return title;
}

restOnly(() => {
  it('without room for its files the page runs, the old version stays, and the next visit stores all for offline use', async () => {
    const place = join(root, 'full');
    cpSync(BUILT, place, { recursive: true });
    const [html, worker] = [join(place, 'index.html'), join(place, 'service-worker.js')];
    const code = readFileSync(worker, 'utf8');
    const address = `http://localhost:${(host.address() as AddressInfo).port}/full/?model=models/none.gguf`;
    const writes = await writesOf(address, worker, code);
    expect(writes).toBeGreaterThan(15);
    // The writes between are all files, like the one in the middle.
    for (const done of [0, 1, 2, 3, Math.floor(writes / 2), writes - 2, writes - 1]) {
      const page = await newPage();
      const violations = await watchViolations(page.context());
      writeFileSync(worker, fullFrom(done + 1) + code);
      expect([done, await visit(page, address)]).toEqual([done, false]);
      expect([done, await page.getByTestId('offline-badge').isVisible()]).toEqual([done, false]);
      writeFileSync(worker, code);
      expect([done, await visit(page, address), await titleOffline(page)]).toEqual([done, true, 'Chunkwise']);
      expect(violations).toEqual([]);
      await page.context().close();
    }

    const page = await newPage();
    await visit(page, address);
    writeFileSync(html, readFileSync(html, 'utf8').replace('<title>Chunkwise</title>', '<title>Chunkwise 2</title>'));
    const changed = code.replace(/(url:"index\.html",revision:")\w+/, '$1changed');
    writeFileSync(worker, fullFrom(1) + changed);
    expect(await visit(page, address)).toBe(false);
    expect([await page.title(), await page.locator('.notice').count()]).toEqual(['Chunkwise', 0]);
    expect([await page.getByTestId('offline-badge').isVisible(), await titleOffline(page)]).toEqual([
      false,
      'Chunkwise',
    ]);
    writeFileSync(worker, changed);
    await visit(page, address);
    await noticeOf(page).waitFor();
    await page.context().close();
  });
});
