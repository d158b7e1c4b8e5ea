import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { BrowserContext, Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import models from '../../demo/models/models.json';
import { HubServer } from '../../tests/support/hub-server.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { writeDatabase } from '../support/page-database.ts';

const HUB = 'https://huggingface.co';
/** A model of the page's list that the stand-in really has; what it is called is all that is true of it. */
const [OWN_REPO = '', OWN_FILE = ''] = models.find(({ name }) => name === 'Qwen3 0.6B')?.id.split(':') ?? [];
const OWN = tinyModel({ architecture: 'qwen3', type: 'Q4_0', seed: 4, contextLength: 4096, neverEnds: true });

const opened = openForTests(serveDemo);
let hub: HubServer;
/** No answer comes from the hub. */
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

/** What the hub says of the model of this name from now on. */
function tell(name: string, told: Parameters<typeof listing>[1] | string): void {
  const [repo = '', file = ''] = models.find((model) => model.name === name)?.id.split(':') ?? [];
  hub.listed.set(repo, typeof told === 'string' ? told : listing(file, told));
}

/** A page for which the stand-in is the hub. */
async function openPage(
  url: string,
): Promise<{ demo: DemoPage; page: Page; context: BrowserContext; violations: string[] }> {
  const context = await opened.browser.newContext({ serviceWorkers: 'block' }); // what goes through one is not routed
  const violations = await watchViolations(context);
  await context.route(`${HUB}/**`, async (route) => {
    if (isAway) return route.abort('internetdisconnected');
    const { pathname, search } = new URL(route.request().url());
    return route.fulfill({ response: await route.fetch({ url: `${hub.endpoint}${pathname}${search}` }) });
  });
  const demo = await DemoPage.openIn(context, url);
  return { demo, page: demo.page, context, violations };
}

async function openPicker(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Model:' }).click();
  await page.locator('#models[open]').waitFor();
}

/** Asks the hub in the open dialog: what the page says then. */
async function askHub(page: Page): Promise<string> {
  await page.locator('#hub-ask').click();
  const said = page.getByTestId('hub-said');
  await expect.poll(() => said.innerText()).not.toMatch(/^Asking/);
  return said.innerText();
}

const items = (page: Page) => page.getByTestId('model-list').getByRole('listitem');
const item = (page: Page, name: string) => items(page).filter({ has: page.getByText(name, { exact: true }) });
const names = (page: Page): Promise<string[]> => items(page).locator('strong').allInnerTexts();

/** Whether axe finds nothing, and nothing scrolls sideways, on a screen and on a phone. */
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

it('asks the hub at a click alone, lists newest first with its sizes and licences, and greys what is too large', async () => {
  tell('SmolLM2 360M', {
    size: 386_400_000,
    createdAt: '2026-02-03T00:00:00.000Z',
    cardData: { license: 'other', license_name: 'my-licence', license_link: 'https://example.org/terms' },
  });
  tell('Gemma 3 1B', { size: 9e12, createdAt: '2027-01-01T00:00:00.000Z' });
  const { demo, page, context, violations } = await openPage(opened.server.url('missing.gguf'));
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  expect(await demo.read('hub-said')).toMatch(/huggingface\.co.* not asked before you click/);
  expect(await names(page)).toEqual(models.map(({ name }) => name));
  expect(await items(page).locator('a').count()).toBe(0);
  expect(hub.requests).toEqual([]);

  expect(await askHub(page)).toMatch(/^Dates, sizes and licences as huggingface\.co told them on \w+ \d+, \d{4}\.$/);
  const asked = hub.requests.map(({ path }) => path);
  expect(asked.sort()).toEqual(
    models.map(({ id }) => `/api/models/${id.split(':')[0] ?? ''}/revision/main?blobs=true`).sort(),
  );
  // Of November, the stand-in's own; March backwards; then what cannot run.
  const march = models
    .map(({ name }) => name)
    .filter((name) => !['SmolLM2 360M', 'Qwen3 0.6B', 'Gemma 3 1B'].includes(name))
    .reverse();
  expect(await names(page)).toEqual(['SmolLM2 360M', 'Qwen3 0.6B', ...march, 'Gemma 3 1B']);
  expect(await item(page, 'SmolLM2 360M').innerText()).toMatch(
    /386\.4 MB\s+Fits this device[\s\S]+Feb 2026 · my-licence$/,
  );
  const licence = item(page, 'SmolLM2 360M').getByRole('link', { name: 'Licence of SmolLM2 360M: my-licence' });
  expect(await licence.getAttribute('href')).toBe('https://example.org/terms');
  expect(await item(page, 'Qwen3 0.6B').innerText()).toContain('Nov 2024 · apache-2.0');
  expect(await item(page, 'Qwen3 0.6B').getByRole('link').getAttribute('href')).toBe(`${HUB}/${OWN_REPO}`);
  expect(await item(page, 'Gemma 3 1B').getByRole('button').isDisabled()).toBe(true);
  expect(await item(page, 'Gemma 3 1B').innerText()).toMatch(
    /9000\.00 GB[\s\S]+Too large: takes 9000\.11 GB of memory with its cache, and [\d.]+ GB are for models here/,
  );
  expect(await item(page, 'Qwen3 4B').getByRole('button').isEnabled()).toBe(true);

  await expectAccessible(page);

  // What was told is kept, and there without a network, which is said.
  isAway = true;
  await page.reload();
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  expect((await names(page)).slice(0, 2)).toEqual(['SmolLM2 360M', 'Qwen3 0.6B']);
  expect(await demo.read('hub-said')).toMatch(/^Dates, sizes and licences as/);
  expect(await askHub(page)).toMatch(/^huggingface\.co could not be reached\. Dates, sizes and licences as/);
  expect(await item(page, 'SmolLM2 360M').innerText()).toContain('386.4 MB');
  expect(violations).toEqual([]);
  await context.close();
});

it('says of which models the hub told nothing that can be read, and goes on with the others', async () => {
  const { page, context, violations } = await openPage(opened.server.url('missing.gguf'));
  await page.getByTestId('load-error').waitFor();
  await openPicker(page);
  isAway = true;
  expect(await askHub(page)).toMatch(/^huggingface\.co could not be reached\. .* not asked before you click/);
  isAway = false;
  tell('Llama 3.2 1B', '<html>busy</html>');
  tell('Qwen3 4B', { size: -1 });
  tell('SmolLM3 3B', '[[[[');
  const said = await askHub(page);
  expect(said).toMatch(/^huggingface\.co did not tell of some: [^;]+;[^;]+;[^;]+\. Dates/);
  for (const told of [
    'bartowski/Llama-3.2-1B-Instruct-GGUF: siblings: is not a list of files',
    'Qwen/Qwen3-4B-GGUF: size: is no length in bytes',
  ])
    expect(said).toContain(told);
  expect(await item(page, 'Qwen3 4B').innerText()).not.toContain('MB');
  expect(await item(page, 'SmolLM2 1.7B').innerText()).toContain('8.0 MB');
  expect((await names(page)).slice(-3).sort()).toEqual(['Llama 3.2 1B', 'Qwen3 4B', 'SmolLM3 3B']);

  // What is kept may be damaged, too.
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
  expect(await items(page).filter({ hasText: /\d MB/ }).locator('strong').allInnerTexts()).toEqual(['Qwen3 4B']);
  expect(await item(page, 'Qwen3 4B').innerText()).toMatch(/Jan 1970 · mit · 3\.0 tok\/s on this device$/); // the median
  expect(violations).toEqual([]);
  await context.close();
});

it('tells how fast a model was here, by answers that are long enough, at the next visit too', async () => {
  const { demo, page, context } = await openPage(opened.server.url('tiny.gguf'));
  await demo.loaded();
  await demo.setMaxTokens(15);
  await demo.ask('Hello.');
  await openPicker(page);
  expect(await item(page, 'tiny').innerText()).not.toContain('tok/s');
  await page.keyboard.press('Escape');
  await demo.setMaxTokens(16);
  await demo.ask('Hello again.');
  await openPicker(page);
  expect(await item(page, 'tiny').innerText()).toMatch(/\d tok\/s on this device$/);
  const told = await item(page, 'tiny').innerText();
  await page.reload();
  await demo.loaded();
  await openPicker(page);
  expect(await item(page, 'tiny').innerText()).toBe(told);
  await context.close();
});

it('names the closest model where one cannot run, and opens it after a click', async () => {
  const { demo, page, context } = await openPage(opened.server.url('Qwen3-VL-30B-A3B-Q4_K_M.gguf'));
  await page.getByTestId('load-error').waitFor();
  expect(await demo.read('load-error')).toMatch(/^unsupported – /);
  const closest = page.getByTestId('closest');
  await closest.waitFor();
  expect(await closest.innerText()).toBe(
    'The closest model on this page’s list is Qwen3 4B. Its size is told before it is downloaded.',
  );
  expect(hub.requests).toEqual([]);

  await expectAccessible(page);

  // Once the hub has told of them, one that fits.
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
  expect(await closest.isVisible()).toBe(false); // it is not known what it is
  await context.close();
});
