import type { BrowserContext, Page } from 'playwright';
import { expect, it } from 'vitest';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { fullFrom } from '../support/full-storage.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { readDatabase, writeDatabase } from '../support/page-database.ts';

const opened = openForTests(serveDemo);

interface Stored {
  title: string;
  exchanges: { prompt: string; answer: string; state: string }[];
}

/** Titles of the stored conversations. */
async function stored(page: Page): Promise<Record<string, Stored['exchanges']>> {
  const values = Object.entries(await readDatabase(page, 'chunkwise-page', 'values')).filter(([key]) =>
    key.startsWith('conversation '),
  );
  return Object.fromEntries(values.map(([, value]) => [(value as Stored).title, (value as Stored).exchanges]));
}

/** Opens the page without a model, with its stored data. */
async function nextVisit(context: BrowserContext): Promise<DemoPage> {
  const demo = await DemoPage.openIn(context, opened.server.url('missing.gguf'));
  await demo.page.getByTestId('load-error').waitFor();
  return demo;
}

const titles = async (page: Page): Promise<string[]> => (await page.locator('.conversation').allInnerTexts()).sort();

async function act(page: Page, title: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${title}` }).click();
  await page.getByRole('button', { name: action, exact: true }).click();
}

async function rename(page: Page, title: string, to: string): Promise<void> {
  await act(page, title, 'Rename');
  await page.getByRole('textbox', { name: 'Title' }).fill(to);
  await page.keyboard.press('Enter');
}

/** Makes storage full from the page's `at`th write on. */
const setFullAt = (page: Page, at: number): Promise<void> =>
  page.evaluate((at) => void Object.assign(globalThis, { storageWrites: 0, storageFullAt: at }), at);

/** Whether the page reports once that there is no room. */
async function isTold(page: Page): Promise<boolean> {
  const notice = page.locator('.notice', { hasText: 'The browser has no room left' });
  const isThere = await notice.waitFor({ timeout: 5000 }).then(
    () => true,
    () => false,
  );
  if (isThere) await notice.getByRole('button', { name: 'Dismiss' }).click();
  return isThere;
}

it('without room at any write of a conversation: the user sees a notice, complete data stay, and with room all is stored', async () => {
  const context = await opened.browser.newContext();
  const demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  const { page } = demo;
  await demo.loaded();
  await demo.setMaxTokens(4);
  await demo.ask('Of the sea.');
  await page.getByRole('button', { name: 'New chat' }).click();
  await demo.ask('Of the land.');
  await page.evaluate(fullFrom(Infinity));
  const { 'Of the sea.': sea, 'Of the land.': land } = await stored(page);

  const asked = [...(land ?? [])];
  for (let at = 1; ; at++) {
    await setFullAt(page, at);
    const { text } = await demo.ask(`And ${at}?`);
    if ((await page.evaluate(() => globalThis.storageWrites)) < at) break;
    expect(await isTold(page)).toBe(true);
    const next = await nextVisit(context);
    const found = await stored(next.page);
    expect(found['Of the sea.']).toEqual(sea);
    expect(found['Of the land.']?.slice(0, asked.length)).toEqual(asked);
    expect(await titles(next.page)).toEqual(['Of the land.', 'Of the sea.']);
    await next.page.close();
    await setFullAt(page, Infinity);
    const again = await demo.ask('And again?');
    const whole = (await stored(page))['Of the land.'] ?? [];
    expect(whole.slice(-2)).toMatchObject([
      { prompt: `And ${at}?`, answer: text, state: 'done' },
      { prompt: 'And again?', answer: again.text, state: 'done' },
    ]);
    expect(whole.slice(0, -2)).toEqual(asked);
    asked.push(...whole.slice(-2));
  }
  expect(asked.length).toBeGreaterThanOrEqual(1 + 2 * 2);

  await setFullAt(page, 1);
  await rename(page, 'Of the land.', 'Hills');
  expect(await isTold(page)).toBe(true);
  await act(page, 'Of the sea.', 'Delete');
  expect(await isTold(page)).toBe(true);
  const next = await nextVisit(context);
  expect(await titles(next.page)).toEqual(['Of the land.', 'Of the sea.']);
  await rename(next.page, 'Of the land.', 'Rivers');
  await act(next.page, 'Of the sea.', 'Delete');
  await expect.poll(async () => Object.keys(await stored(next.page))).toEqual(['Rivers']);

  // A deleted conversation that cannot be restored stays on the page until there is room.
  await next.page.evaluate(fullFrom(1));
  await next.page.getByRole('button', { name: 'Undo' }).click();
  expect(await isTold(next.page)).toBe(true);
  expect(await titles(next.page)).toEqual(['Of the sea.', 'Rivers']);
  await setFullAt(next.page, Infinity);
  await rename(next.page, 'Of the sea.', 'Waves');
  await expect.poll(async () => (await stored(next.page))['Waves']).toEqual(sea);
  await context.close();
});

it('without room at any write of the first visit: no data of an older version are lost, and the next visit has them', async () => {
  const settings = { temperature: 0.65, systemPrompt: 'Be brief.' };
  const outcomes: boolean[] = [];
  for (let at = 1, writes = 1; at <= writes; at++) {
    const context = await opened.browser.newContext();
    const plain = await context.newPage();
    await plain.goto(`${opened.server.url()}icons/icon.svg`); // the same origin without a page that writes
    await writeDatabase(plain, 'keyval-store', 'keyval', { 'chunkwise-demo-settings': settings });
    const page = await context.newPage();
    const errors: Error[] = [];
    page.on('pageerror', (error) => errors.push(error));
    await page.addInitScript(fullFrom(at));
    await page.goto(opened.server.url('missing.gguf'));
    await page.getByTestId('load-error').waitFor();
    const isReached = (await page.evaluate(() => globalThis.storageWrites)) >= at;
    if (isReached) writes = at + 1;
    const hasSettings = (await page.locator('#temperature').inputValue()) === '0.65';
    outcomes.push(hasSettings);
    const said = await page.locator('.notice').allInnerTexts();
    // A page with the old data also stores new ones.
    expect({ at, said }).toEqual({
      at,
      said: hasSettings ? [] : [expect.stringContaining('This browser stores nothing for this page') as string],
    });
    const { page: next } = await nextVisit(context);
    expect(await next.locator('#temperature').inputValue()).toBe('0.65');
    expect(await next.locator('.notice').count()).toBe(0);
    expect(errors).toEqual([]);
    await context.close();
  }
  // Removing the moved data may fail too; then they only take room.
  expect(outcomes.slice(-3)).toEqual([true, true, true]);
  expect(outcomes[0]).toBe(false);
});
