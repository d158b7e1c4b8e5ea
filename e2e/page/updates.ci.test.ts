import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { closeServer } from '../../tests/support/close-server.ts';
import { launchBrowser } from '../support/browser.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { fullFrom } from '../support/full-storage.ts';
import { startHost, updateNotice } from '../support/static-host.ts';

declare global {
  /** Requests of the page. */
  var registering: Promise<ServiceWorkerRegistration>;
}

const BUILT = fileURLToPath(new URL('../../dist-demo/', import.meta.url));

let browser: Browser;
/** A static host; each test has the page in a folder. */
let root: string;
let host: Server;
beforeAll(async () => {
  browser = await launchBrowser('lavapipe');
  root = mkdtempSync(join(tmpdir(), 'chunkwise-host-'));
  host = await startHost(root, 0);
  return async () => {
    await browser.close();
    await closeServer(host);
    rmSync(root, { recursive: true });
  };
});

/** A page in a fresh browser. */
async function newPage(): Promise<Page> {
  const context = await browser.newContext();
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
  const notice = updateNotice(page);
  const reloaded = page.waitForEvent('domcontentloaded');
  await notice.getByRole('button', { name: 'Reload' }).click();
  await reloaded;
  await notice.waitFor(); // the update still waits
  await page.context().close();
});

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
  expect([await page.getByTestId('offline-badge').isVisible(), await titleOffline(page)]).toEqual([false, 'Chunkwise']);
  writeFileSync(worker, changed);
  await visit(page, address);
  await updateNotice(page).waitFor();
  await page.context().close();
});
