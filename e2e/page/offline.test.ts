import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { closeServer } from '../../tests/support/close-server.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { expectNoNetwork } from '../support/no-network.ts';
import { startHost, updateNotice } from '../support/static-host.ts';

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
  host = await startHost(root, 0);
});
afterAll(async () => {
  await closeServer(host);
  rmSync(root, { recursive: true });
});

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
  host = await startHost(root, port);
  const withoutModel = `${address}?model=models/none.gguf`; // which takes less time
  await page.goto(withoutModel);
  await updateNotice(page).waitFor();
  expect(await page.title()).toBe('Chunkwise');
  const { page: other } = await DemoPage.openIn(context, withoutModel);
  await updateNotice(other).waitFor();
  // Requests that bypass the worker, such as downloads, do not block an update.
  await other.evaluate(
    (addresses) => {
      for (const each of addresses) setInterval(() => void fetch(each).catch(() => undefined), 10);
    },
    ['http://localhost:1/', 'models/none'],
  );
  // In the second tab no update waits any more.
  for (const tab of [page, other]) {
    await updateNotice(tab).getByRole('button', { name: 'Reload' }).click();
    await tab.waitForFunction(() => document.title === 'Chunkwise 2');
  }
  await other.close();
  await page.goto(`${address}?model=models/tiny.gguf`);
  await demo.loaded();
  expect(violations).toEqual([]);
  await context.close();
});
