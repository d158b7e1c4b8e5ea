import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { RECOMMENDED_MODELS as models } from '../../src/api/recommended-models.ts';
import { HubServer } from '../../tests/support/hub-server.ts';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { writeDatabase } from '../support/page-database.ts';

const HUB = 'https://huggingface.co';
/** A model of the page's list that the stand-in serves; only its name is real. */
const [OWN_REPO = '', OWN_FILE = ''] = models.find(({ name }) => name === 'Qwen3 0.6B')?.id.split(':') ?? [];
const OWN = tinyModel({ architecture: 'qwen3', type: 'Q4_0', seed: 4, contextLength: 4096, neverEnds: true });

const opened = openForTests(serveDemo);
let hub: HubServer;
/** The hub does not respond. */
let isAway: boolean;
beforeAll(async () => {
  hub = await HubServer.start(OWN_REPO, { [OWN_FILE]: OWN });
  const unsupported = tinyModel({
    architecture: 'llama',
    type: 'Q4_0',
    seed: 1,
    metadata: { 'general.architecture': 'qwen3vlmoe' },
  });
  writeFileSync(join(opened.server.folder, 'Qwen3-VL-30B-A3B-Q4_K_M.gguf'), unsupported);
  // Replaces the page's own model, which is a link to the real one, by a small one.
  const place = join(opened.server.folder, basename(REAL_MODEL));
  rmSync(place);
  copyFileSync(join(opened.server.folder, 'tiny.gguf'), place);
});
afterAll(() => hub.close());
beforeEach(() => {
  isAway = false;
  hub.forget();
  hub.listed.clear();
  for (const [i, { id }] of models.entries()) {
    const [repo = '', file = ''] = id.split(':');
    if (repo !== OWN_REPO)
      hub.listed.set(repo, listing(file, { size: 1e6 * (i + 1), createdAt: `2024-03-${10 + i}T00:00:00.000Z` }));
  }
});

const listing = (
  file: string,
  { size = 5e6, createdAt = '2024-03-01T00:00:00.000Z', cardData = { license: 'mit' } as object },
) => ({ createdAt, cardData, siblings: [{ rfilename: file, size }] });

/** Sets the hub's entry of a model. */
function tell(name: string, told: Parameters<typeof listing>[1] | string): void {
  const [repo = '', file = ''] = models.find((model) => model.name === name)?.id.split(':') ?? [];
  hub.listed.set(repo, typeof told === 'string' ? told : listing(file, told));
}

/** Opens a page whose hub is the stand-in, on a device with 8 GiB of memory and room for 100 GB. */
async function openPage(
  url: string,
): Promise<{ demo: DemoPage; page: Page; context: BrowserContext; violations: string[] }> {
  const context = await opened.browser.newContext({ serviceWorkers: 'block' }); // requests through one are not routed
  const violations = await watchViolations(context);
  await context.route(`${HUB}/**`, async (route) => {
    if (isAway) return route.abort('internetdisconnected');
    const { pathname, search } = new URL(route.request().url());
    return route.fulfill({ response: await route.fetch({ url: `${hub.endpoint}${pathname}${search}` }) });
  });
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 8 }));
  const demo = await DemoPage.openIn(context, 'about:blank');
  const session = await context.newCDPSession(demo.page);
  const { origin } = new URL(opened.server.url());
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 100e9 });
  if (url !== 'about:blank') await demo.page.goto(url);
  return { demo, page: demo.page, context, violations };
}

async function openPicker(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Model:' }).click();
  await page.locator('#models[open]').waitFor();
}

/** Asks the hub in the open dialog and returns the page's text. */
async function askHub(page: Page): Promise<string> {
  await page.locator('#hub-ask').click();
  const said = page.getByTestId('hub-said');
  await expect.poll(() => said.innerText()).not.toMatch(/^Asking/);
  return said.innerText();
}

/** Resolves when the stand-in's model is open. */
async function loadedOther(page: Page): Promise<void> {
  await page.locator('#model', { hasText: OWN_FILE.replace('.gguf', '') }).waitFor();
  await page.locator('#loading').waitFor({ state: 'hidden' });
}

const items = (page: Page) => page.getByTestId('model-list').getByRole('listitem');
const item = (page: Page, name: string) => items(page).filter({ has: page.getByText(name, { exact: true }) });
const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });
const names = (page: Page): Promise<string[]> => items(page).locator('strong').allInnerTexts();

/** Whether axe finds nothing and nothing scrolls sideways, on a screen and on a phone. */
async function expectAccessible(page: Page): Promise<void> {
  for (const size of [
    { width: 390, height: 844 },
    { width: 1280, height: 800 },
  ]) {
    await page.setViewportSize(size);
    const { violations } = await new AxeBuilder({ page }).analyze();
    const wide = await page.evaluate(
      () =>
        [document.documentElement, ...document.querySelectorAll('dialog[open], .model-list')].filter(
          (each) => each.scrollWidth > each.clientWidth,
        ).length,
    );
    expect({ size, violations: violations.map(({ id }) => id), wide }).toEqual({ size, violations: [], wide: 0 });
  }
}

it('asks the hub only on a click, lists newest first with its sizes and licences, and greys models that are too large', async () => {
  tell('SmolLM2 360M', {
    size: 386_500_000, // changed since the page was made
    createdAt: '2026-02-03T00:00:00.000Z',
    cardData: { license: 'other', license_name: 'my-licence', license_link: 'https://example.org/terms' },
  });
  tell('Gemma 3 1B', { size: 9e12, createdAt: '2027-01-01T00:00:00.000Z' });
  const { demo, page, context, violations } = await openPage(opened.server.url('missing.gguf'));
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  expect(await demo.read('hub-said')).toMatch(/huggingface\.co.* asks only when you click/);
  // On a software adapter the page's own model is recommended; sizes are the page's before any request.
  expect(await names(page)).toEqual(models.map(({ name }) => name));
  expect(await items(page).first().innerText()).toMatch(
    /^Recommended for this device\s+SmolLM2 135M[\s\S]+98\.4 MB · Fits this device/,
  );
  expect(await item(page, 'SmolLM2 360M').innerText()).toMatch(/386\.4 MB · Fits this device/);
  expect(await items(page).locator('a').count()).toBe(0);
  expect(hub.requests).toEqual([]);

  expect(await askHub(page)).toMatch(/^Dates, sizes and licences from huggingface\.co of \w+ \d+, \d{4}\.$/);
  const asked = hub.requests.map(({ path }) => path);
  expect(asked.sort()).toEqual(
    models.map(({ id }) => `/api/models/${id.split(':')[0] ?? ''}/revision/main?blobs=true`).sort(),
  );
  // Order: the recommended one; November, the stand-in's own; then backwards to March; then those that cannot run.
  const march = models
    .map(({ name }) => name)
    .filter((name) => !['SmolLM2 135M', 'SmolLM2 360M', 'Qwen3 0.6B', 'Gemma 3 1B'].includes(name))
    .reverse();
  expect(await names(page)).toEqual(['SmolLM2 135M', 'SmolLM2 360M', 'Qwen3 0.6B', ...march, 'Gemma 3 1B']);
  expect(await item(page, 'SmolLM2 360M').innerText()).toMatch(
    /386\.5 MB · Fits this device · Feb 2026 · my-licence\s+Use$/,
  );
  const licence = item(page, 'SmolLM2 360M').getByRole('link', { name: 'Licence of SmolLM2 360M: my-licence' });
  expect(await licence.getAttribute('href')).toBe('https://example.org/terms');
  expect(await item(page, 'Qwen3 0.6B').innerText()).toContain('Nov 2024 · apache-2.0');
  expect(await item(page, 'Qwen3 0.6B').getByRole('link').getAttribute('href')).toBe(`${HUB}/${OWN_REPO}`);
  expect(await button(page, 'Use Gemma 3 1B').isDisabled()).toBe(true);
  expect(await item(page, 'Gemma 3 1B').innerText()).toMatch(
    /Too large: takes 9000\.11 GB of memory with its cache; this device has 4\.29 GB for models\s+9000\.00 GB/,
  );
  expect(await button(page, 'Use Qwen3 4B').isEnabled()).toBe(true);

  await expectAccessible(page);

  // Entries are stored and available offline, with a note.
  isAway = true;
  await page.reload();
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  expect((await names(page)).slice(1, 3)).toEqual(['SmolLM2 360M', 'Qwen3 0.6B']);
  expect(await demo.read('hub-said')).toMatch(/^Dates, sizes and licences from/);
  expect(await askHub(page)).toMatch(/^huggingface\.co could not be reached\. Dates, sizes and licences from/);
  expect(await item(page, 'SmolLM2 360M').innerText()).toContain('386.5 MB');
  expect(violations).toEqual([]);
  await context.close();
});

it('names the models without a readable entry, and shows the others', async () => {
  const { page, context, violations } = await openPage(opened.server.url('missing.gguf'));
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  isAway = true;
  expect(await askHub(page)).toMatch(/^huggingface\.co could not be reached\. .* asks only when you click/);
  isAway = false;
  tell('Llama 3.2 1B', '<html>busy</html>');
  tell('Qwen3 4B', { size: -1 });
  tell('SmolLM3 3B', '[[[[');
  const said = await askHub(page);
  expect(said).toMatch(/^huggingface\.co has no readable entry for some: [^;]+;[^;]+;[^;]+\. Dates/);
  for (const told of [
    'bartowski/Llama-3.2-1B-Instruct-GGUF: siblings: is not a list of files',
    'Qwen/Qwen3-4B-GGUF: size: is not a length in bytes',
  ])
    expect(said).toContain(told);
  expect(await item(page, 'Qwen3 4B').innerText()).toContain('2.50 GB'); // the page's own size
  expect(await item(page, 'SmolLM2 1.7B').innerText()).toContain('8.0 MB');
  expect((await names(page)).slice(-3).sort()).toEqual(['Llama 3.2 1B', 'Qwen3 4B', 'SmolLM3 3B']);

  // Stored entries may be damaged, too.
  const id = (name: string): string => models.find((model) => model.name === name)?.id ?? '';
  const good = { asked: 0, created: 0, bytes: 7e6, license: 'mit', licenseUrl: HUB };
  await writeDatabase(page, 'chunkwise-page', 'values', { 'hub-listing': 'damaged', speeds: 7 });
  await page.reload();
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  expect(await names(page)).toEqual(models.map(({ name }) => name));
  await page.evaluate(
    async ({ kept, file }) => {
      const opening = indexedDB.open('chunkwise-page');
      await new Promise((resolve) => (opening.onsuccess = resolve));
      const writing = opening.result.transaction('values', 'readwrite');
      writing.objectStore('values').put(new Map(kept), 'hub-listing');
      writing.objectStore('values').put(new Map([[file, [1, 100, 3]]]), 'speeds');
      await new Promise((resolve) => (writing.oncomplete = resolve));
      opening.result.close();
    },
    {
      kept: [
        [id('Qwen3 4B'), good],
        [id('Qwen3 1.7B'), { ...good, created: 1e300 }],
        [id('Gemma 3 1B'), { ...good, licenseUrl: 'javascript:alert(1)' }],
      ] as [string, object][],
      file: id('Qwen3 4B').split(':')[1] ?? '',
    },
  );
  await page.reload();
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  expect(await items(page).filter({ hasText: ' · mit' }).locator('strong').allInnerTexts()).toEqual(['Qwen3 4B']);
  // The median; other models are estimated from it.
  expect(await item(page, 'Qwen3 4B').innerText()).toMatch(
    /7\.0 MB.* · 3\.0 tokens\/s on this device · Jan 1970 · mit/,
  );
  expect(await item(page, 'SmolLM2 360M').innerText()).toMatch(/ · about [\d.]+ tokens\/s expected/);
  expect(violations).toEqual([]);
  await context.close();
});

it('shows a model’s speed here from answers that are long enough, also on the next visit', async () => {
  const { demo, page, context } = await openPage(opened.server.url('tiny.gguf'));
  await demo.loaded();
  await demo.setMaxTokens(15);
  await demo.ask('Hello.');
  await openPicker(page);
  expect(await item(page, 'tiny').innerText()).not.toContain('tokens/s');
  await page.keyboard.press('Escape');
  await demo.setMaxTokens(16);
  await demo.ask('Hello again.');
  await openPicker(page);
  expect(await item(page, 'tiny').innerText()).toMatch(/\d tokens\/s on this device/);
  const told = await item(page, 'tiny').innerText();
  await page.reload();
  await demo.loaded();
  await openPicker(page);
  expect(await item(page, 'tiny').innerText()).toBe(told);
  await context.close();
});

it('offers the closest model if one cannot run, and opens it after a click', async () => {
  const { demo, page, context } = await openPage(opened.server.url('Qwen3-VL-30B-A3B-Q4_K_M.gguf'));
  await page.getByTestId('load-error').waitFor();
  expect(await demo.read('load-error')).toMatch(/^unsupported – /);
  const closest = page.getByTestId('closest');
  await closest.waitFor();
  expect(await closest.innerText()).toBe('The closest model that fits this device is Qwen3 4B, 2.50 GB to download.');
  expect(hub.requests).toEqual([]);

  await expectAccessible(page);

  // With entries from the hub, one that fits.
  for (const name of ['Qwen3 1.7B', 'Qwen3 4B']) tell(name, { size: 9e12 });
  await openPicker(page);
  await askHub(page);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Try again' }).click();
  await closest.waitFor();
  expect(await closest.innerText()).toMatch(
    /^The closest model that fits this device is Qwen3 0\.6B, [\d.]+ kB to download\.$/,
  );
  await page.getByRole('button', { name: 'Open Qwen3 0.6B' }).click();
  await page.locator('#failure').waitFor({ state: 'hidden' });
  await demo.loaded();
  await demo.setMaxTokens(2);
  expect((await demo.ask('Hello.')).note).toContain('2 tokens');
  expect(hub.sentBytes(OWN_FILE)).toBeGreaterThanOrEqual(OWN.length);

  await demo.typeModel('models/missing.gguf');
  await page.getByTestId('load-error').waitFor();
  expect(await closest.isVisible()).toBe(false); // its kind is unknown
  await context.close();
});

/** A page whose browser reports a real GPU. */
async function openOnGpu(): Promise<Awaited<ReturnType<typeof openPage>>> {
  const found = await openPage('about:blank');
  await found.context.addInitScript(() => {
    const info = { vendor: 'acme', architecture: 'ninth', device: '', description: '', isFallbackAdapter: false };
    // An empty page has no WebGPU.
    if ('GPUAdapter' in globalThis) Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => info });
  });
  await found.page.goto(opened.server.url());
  await found.demo.loaded();
  return found;
}

it('on a real GPU answers with its own model first, and offers a better one in a notice until dismissed', async () => {
  const { demo, page, context, violations } = await openOnGpu();
  const notice = page.locator('.notice');
  await notice.waitFor();
  expect(await notice.innerText()).toMatch(
    /^SmolLM2 1\.7B answers better, and this device should be quick enough for it: 1\.06 GB, downloaded once\./,
  );
  await demo.setMaxTokens(2);
  expect((await demo.ask('Hello.')).note).toContain('2 tokens'); // nothing blocks the chat
  expect(hub.requests).toEqual([]);
  await expectAccessible(page);
  await openPicker(page);
  expect(await items(page).first().innerText()).toMatch(/^Recommended for this device\s+SmolLM2 1\.7B/);
  await page.keyboard.press('Escape');
  await button(page, 'Dismiss').click();
  await page.reload();
  await demo.loaded();
  await openPicker(page); // drawn from the same data, later than the notice would be
  expect(await notice.count()).toBe(0);
  expect(violations).toEqual([]);
  await context.close();
});

it('opens the offered model on a click, with sizes from the hub', async () => {
  const { demo, page, context } = await openOnGpu();
  for (const { name } of models) if (!['SmolLM2 135M', 'Qwen3 0.6B'].includes(name)) tell(name, { size: 9e12 });
  await openPicker(page);
  await askHub(page); // the stand-in's model is the only one left
  await page.keyboard.press('Escape');
  await page.reload();
  await demo.loaded();
  const notice = page.locator('.notice');
  await notice.waitFor();
  expect(await notice.innerText()).toMatch(/^Qwen3 0\.6B answers better/);
  await button(page, 'Use Qwen3 0.6B').click();
  await loadedOther(page);
  await notice.waitFor({ state: 'detached' });
  await context.close();
});

it('finds a model in the list by words', async () => {
  const { page, context } = await openPage(opened.server.url('missing.gguf'));
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  const shown = (): Promise<string[]> => items(page).locator('strong:visible').allInnerTexts();
  const search = page.getByRole('searchbox');
  await search.fill('languages QWEN');
  expect(await shown()).toEqual(['Qwen2.5 0.5B', 'Qwen2.5 1.5B']);
  await search.fill('mamba');
  expect(await shown()).toEqual([]);
  expect(await page.getByText('No model in this list matches.').isVisible()).toBe(true);
  await button(page, 'Close').click();
  await openPicker(page);
  expect(await shown()).toHaveLength(models.length);
  await context.close();
});

it('deletes a stored model after a confirmation, and forgets the choice', async () => {
  const { demo, page, context, violations } = await openPage(opened.server.url());
  await demo.loaded();
  await demo.typeModel(models.find(({ name }) => name === 'Qwen3 0.6B')?.id ?? '');
  await loadedOther(page);
  await openPicker(page);
  // The open model is not deleted; another stored one may be.
  expect(await item(page, 'Qwen3 0.6B').innerText()).toMatch(/On this device[\s\S]*In use$/);
  expect(await button(page, 'Delete Qwen3 0.6B').count()).toBe(0);
  await button(page, 'Use SmolLM2 135M').click();
  await demo.loaded();
  await openPicker(page);
  const kept = await page.locator('#models-kept').innerText();
  await button(page, 'Delete Qwen3 0.6B').click();
  await expectAccessible(page);
  await button(page, 'Keep').click();
  expect(await button(page, 'Delete Qwen3 0.6B').evaluate((each) => each === document.activeElement)).toBe(true);
  await button(page, 'Delete Qwen3 0.6B').click();
  await item(page, 'Qwen3 0.6B')
    .getByRole('button', { name: /^Delete [\d.]+ [kM]B$/ })
    .click();
  await item(page, 'Qwen3 0.6B').filter({ hasNotText: 'On this device' }).waitFor();
  expect(await button(page, 'Delete Qwen3 0.6B').count()).toBe(0);
  expect(await page.locator('#models-kept').innerText()).not.toBe(kept);
  hub.forget();
  await button(page, 'Use Qwen3 0.6B').click();
  await loadedOther(page);
  expect(hub.sentBytes(OWN_FILE)).toBeGreaterThanOrEqual(OWN.length); // it was downloaded again
  expect(violations).toEqual([]);
  await context.close();
});
