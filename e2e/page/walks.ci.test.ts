import { rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { BrowserContext, Page } from 'playwright';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { outOfSight, PHONE, SCREEN } from '../support/in-sight.ts';
import { firstInWorkers } from '../support/in-workers.ts';
import { openForTests } from '../support/open-for-tests.ts';

/** Bytes per second of a connection: the model takes some seconds. */
const SLOW = 1_000_000;

const opened = openForTests(serveDemo);
const fileOf = (name: string): string => join(opened.server.folder, name);
beforeAll(() => {
  // Replaces the page's own model by one that downloads in several pieces.
  const own = fileOf(basename(REAL_MODEL));
  rmSync(own);
  writeFileSync(own, tinyModel({ architecture: 'llama', type: 'F32', seed: 2, numLayers: 9, neverEnds: true }));
});

/** Visible states of the page: exactly one is there at any time, fully in sight. */
const STATES = {
  loading: '#loading, #loading-title, #progress',
  failed: '#failure, #failure-title, #failure-advice, #failure button',
  answering: '#stop:not([hidden])',
  ready: '#send:not([hidden])',
};

/** The page's state, which is in sight on a screen and on a phone; leaves the page as on a phone. */
async function stateOf(page: Page): Promise<keyof typeof STATES> {
  const state = await stateAt(page, SCREEN);
  await stateAt(page, PHONE);
  return state;
}

async function stateAt(page: Page, size: typeof PHONE): Promise<keyof typeof STATES> {
  await page.setViewportSize(size);
  // At once: the page may go from one state to the next between two questions.
  const state = await page.evaluate(() => {
    const isShown = (id: string): boolean =>
      document.getElementById(id)?.checkVisibility({ visibilityProperty: true }) ?? false;
    if (isShown('failure')) return 'failed';
    if (isShown('loading')) return 'loading';
    return isShown('stop') ? 'answering' : 'ready';
  });
  expect({ state, size, unseen: await outOfSight(page, STATES[state]) }).toEqual({ state, size, unseen: [] });
  if (state === 'ready') expect(await page.locator('#model').innerText()).not.toBe('choose one');
  return state;
}

/** Reloads and checks that the page shows a state from the start. */
async function reload(page: Page): Promise<keyof typeof STATES> {
  await page.reload({ waitUntil: 'domcontentloaded' });
  return stateOf(page);
}

/** Opens the list of conversations, which is hidden on a phone. */
const openList = (page: Page): Promise<void> => page.getByRole('button', { name: 'Chats' }).click();

async function openTitled(page: Page, title: string): Promise<void> {
  await openList(page);
  await page.getByRole('button', { name: title, exact: true }).click();
}

/** Timeout for the page to read its storage, or an answer to continue. */
const SOON = { timeout: 30_000 };

const written = (demo: DemoPage): Promise<string> => demo.answers.last().locator('.text').innerText();

let context: BrowserContext;
let violations: string[];
async function visit(model?: string, before?: (context: BrowserContext) => Promise<void>): Promise<DemoPage> {
  context = await opened.browser.newContext({ viewport: PHONE });
  violations = await watchViolations(context);
  await before?.(context);
  return DemoPage.openIn(context, opened.server.url(model));
}
afterEach(async () => {
  opened.server.pace = Infinity;
  expect(violations).toEqual([]);
  await context.close();
});

it('a first visit on a slow network: progress moves, a reload goes on, the first answer comes', async () => {
  opened.server.pace = SLOW;
  const demo = await visit();
  const { page } = demo;
  expect(await stateOf(page)).toBe('loading');
  await demo.send('Hello?');
  /** Progress of the download; undefined before and after it. */
  const bytes = (): Promise<number | undefined> =>
    page
      .locator('#loading')
      .evaluate((card) =>
        (card.textContent ?? '').includes('Downloading the model') ? card.querySelector('progress')?.value : undefined,
      );
  const seen = new Set<number>();
  const look = async (): Promise<number> => {
    const now = await bytes();
    if (now !== undefined) seen.add(now);
    return seen.size;
  };
  await expect.poll(look, { interval: 50, timeout: 60_000 }).toBeGreaterThan(2);
  expect([...seen]).toEqual([...seen].sort((a, b) => a - b));
  expect(await demo.answers.locator('.waiting').innerText()).toBe('Waiting for the model …');

  opened.server.pace = SLOW / 4;
  const before = Math.max(...seen);
  expect(await reload(page)).toBe('loading');
  await expect.poll(() => demo.prompt.inputValue(), SOON).toBe('Hello?'); // not sent automatically
  await expect.poll(bytes, { interval: 50, timeout: 60_000 }).toBeGreaterThanOrEqual(before);
  opened.server.pace = Infinity;
  await demo.setMaxTokens(4);
  await demo.prompt.press('Enter');
  await demo.loaded();
  expect((await demo.answered()).note).toContain('4 tokens');
  expect(await stateOf(page)).toBe('ready');
  const text = await written(demo);
  await reload(page);
  await expect.poll(() => written(demo), SOON).toBe(text);
});

it('no WebGPU: the page says what is missing, after a reload too', async () => {
  const without = 'for (const scope of ["Navigator", "WorkerNavigator"]) delete globalThis[scope]?.prototype.gpu;';
  const demo = await visit(undefined, async (context) => {
    await context.addInitScript(without);
    await firstInWorkers(context, without);
  });
  const { page } = demo;
  for (let visits = 0; visits < 2; visits++) {
    await page.getByText('This browser has no WebGPU', { exact: true }).waitFor();
    expect(await stateOf(page)).toBe('failed');
    await demo.prompt.fill('Is anybody there?');
    await demo.prompt.press('Enter');
    expect(await demo.prompt.inputValue()).toBe('Is anybody there?'); // the prompt is neither lost nor shown as sent
    expect(['loading', 'failed']).toContain(await reload(page));
    await expect.poll(() => demo.prompt.inputValue(), SOON).toBe('Is anybody there?');
  }
});

it('a bad file, then a good one', async () => {
  const demo = await visit('missing.gguf');
  const { page } = demo;
  await page.getByText('The model was not found', { exact: true }).waitFor();
  expect(await stateOf(page)).toBe('failed');
  await demo.openFiles(fileOf('garbage.gguf'));
  await page.getByText('This file is not a model', { exact: true }).waitFor();
  expect(await stateOf(page)).toBe('failed');
  expect(['loading', 'failed']).toContain(await reload(page));
  await page.getByText('The model was not found', { exact: true }).waitFor();
  await demo.typeModel('models/tiny.gguf');
  expect(await stateOf(page)).toBe('loading');
  await demo.loaded();
  await demo.setMaxTokens(4);
  const { text } = await demo.ask('Hello.');

  // With an open model a bad file changes nothing.
  await demo.openFiles(fileOf('garbage.gguf'));
  await page.getByText('tiny still answers.').waitFor();
  expect(await stateOf(page)).toBe('failed');
  expect(await reload(page)).toBe('loading');
  await expect.poll(() => written(demo), SOON).toBe(text);
  await demo.loaded();
  expect(await page.locator('#model').innerText()).toBe('tiny');
  expect((await demo.ask('Go on.')).note).toContain('4 tokens');
});

it('two conversations at once, and a reload while both are answered', async () => {
  const demo = await visit('tiny.gguf');
  const { page } = demo;
  await demo.loaded();
  await demo.setMaxTokens(1500);
  await demo.sendAndSee('Tell me of the sea.');
  const sea = await written(demo);
  await page.getByRole('button', { name: 'New chat' }).click();
  expect(await stateOf(page)).toBe('ready');
  await demo.sendAndSee('Tell me of the land.');
  expect(await stateOf(page)).toBe('answering');
  await openList(page);
  expect(await page.getByRole('img', { name: 'An answer is being written' }).count()).toBe(2);
  await page.getByRole('button', { name: 'Tell me of the sea.', exact: true }).click();
  const more = await written(demo);
  expect(more.length).toBeGreaterThan(sea.length);
  await expect.poll(async () => (await written(demo)).length, SOON).toBeGreaterThan(more.length);

  expect(await reload(page)).toBe('loading');
  await expect.poll(async () => (await written(demo)).length, SOON).toBeGreaterThan(more.length);
  expect(await demo.answers.last().locator('.note').innerText()).toBe('Not finished: the page was closed');
  await openTitled(page, 'Tell me of the land.');
  expect(await written(demo)).not.toBe('');
  await demo.loaded();
  await demo.setMaxTokens(4);
  expect((await demo.ask('Go on.')).note).toContain('4 tokens');
});
