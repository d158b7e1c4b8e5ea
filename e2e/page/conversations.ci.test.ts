import { readFileSync } from 'node:fs';
import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright';
import { expect, it } from 'vitest';
import { launchBrowser } from '../support/browser.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { emptyDatabase, holdDatabase, readDatabase, writeDatabase } from '../support/page-database.ts';

const HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';

const opened = openForTests(serveDemo);

async function open(maxTokens = 12): Promise<{ demo: DemoPage; violations: string[] }> {
  const context = await opened.browser.newContext({
    acceptDownloads: true,
    serviceWorkers: 'block',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const violations = await watchViolations(context);
  const demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  await demo.loaded();
  await demo.setMaxTokens(maxTokens);
  return { demo, violations };
}

const titles = (page: Page) => page.locator('.conversation').allInnerTexts();

async function act(page: Page, title: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${title}` }).click();
  await page.getByRole('button', { name: action, exact: true }).click();
}

async function reload(demo: DemoPage): Promise<void> {
  await readDatabase(demo.page, 'chunkwise-page', 'values'); // after earlier writes are stored
  await demo.page.reload();
  await demo.loaded();
}

it('sends a prompt whose Enter came before the page has read its conversations', async () => {
  const { demo } = await open();
  const letGo = await holdDatabase(demo.page, 'chunkwise-page', 'values');
  const second = await DemoPage.openIn(demo.page.context(), opened.server.url('tiny.gguf'));
  await second.send('Tell me of the sea.');
  await second.prompt.press('Enter'); // again, as a user would who sees no reaction
  await letGo();
  await second.answers.first().waitFor();
  expect((await second.answered()).note).toContain('12 tokens');
  expect(await second.answers.count()).toBe(1);
  expect(await titles(second.page)).toEqual(['Tell me of the sea.']);
});

it('stores several conversations: titles, renames, reopens after a reload, exports, deletes and restores', async () => {
  const { demo, violations } = await open();
  const { page } = demo;
  const first = await demo.ask('Tell me of the sea.');
  await demo.page.getByRole('button', { name: 'New chat' }).click();
  await demo.setSystemPrompt('You are a pirate.');
  await demo.ask('Tell me of the land, of its hills and rivers and of all the towns that lie along its roads.');
  const long = 'Tell me of the land, of its hills and rivers and of all the …';
  expect(await titles(page)).toEqual([long, 'Tell me of the sea.']);

  await act(page, 'Tell me of the sea.', 'Rename');
  await page.getByRole('textbox', { name: 'Title' }).fill(`Sea ${HOSTILE}`);
  await page.keyboard.press('Enter');
  await reload(demo);
  expect(await titles(page)).toEqual([long, `Sea ${HOSTILE}`]);
  expect(await demo.title()).toBe(long); // the title stays

  await page
    .getByRole('button', { name: `Sea ${HOSTILE}` })
    .first()
    .click();
  expect(await demo.answers.last().locator('.text').innerText()).toBe(first.text);
  expect(await demo.systemPrompt()).toBe('');
  const second = await demo.ask('And then?');
  expect(second.note).toContain('12 tokens');
  expect(await titles(page)).toEqual([`Sea ${HOSTILE}`, long]);

  const exported = async (action: string) => {
    const [download] = await Promise.all([page.waitForEvent('download'), act(page, `Sea ${HOSTILE}`, action)]);
    return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
  };
  const json = await exported('Export as JSON');
  expect(json.name).toMatch(/^Sea img src x onerror [\w ]+\.json$/);
  expect(JSON.parse(json.text)).toMatchObject({
    format: 'chunkwise-conversation',
    version: 1,
    title: `Sea ${HOSTILE}`,
    exchanges: [
      { prompt: 'Tell me of the sea.', state: 'done' },
      { prompt: 'And then?', state: 'done' },
    ],
  });
  const markdown = await exported('Export as Markdown');
  expect(markdown.text).toMatch(/^# Sea <img[^\n]+\n\n> Tell me of the sea\.\n\n[\s\S]+\n\n> And then\?\n\n/);

  await page.getByRole('button', { name: long }).first().click();
  expect(await demo.systemPrompt()).toBe('You are a pirate.');
  await act(page, long, 'Delete');
  expect(await titles(page)).toEqual([`Sea ${HOSTILE}`]);
  expect(await demo.answers.count()).toBe(0);
  await page.getByRole('button', { name: 'Undo' }).click();
  await reload(demo);
  expect((await titles(page)).sort()).toEqual([`Sea ${HOSTILE}`, long]);
  await act(page, long, 'Delete');
  await reload(demo);
  expect(await titles(page)).toEqual([`Sea ${HOSTILE}`]);
  expect(await page.evaluate('window.hit')).toBeUndefined();

  // Without room stored data stay, and the page says so; with room again all is stored.
  const session = await page.context().newCDPSession(page);
  const { origin } = new URL(opened.server.url());
  const kept = async () => {
    const [found] = Object.entries(await readDatabase(page, 'chunkwise-page', 'values')).filter(([key]) =>
      key.startsWith('conversation '),
    );
    return (found?.[1] as { exchanges: { prompt: string }[] }).exchanges;
  };
  const before = await kept();
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1 });
  await page
    .getByRole('button', { name: `Sea ${HOSTILE}` })
    .first()
    .click();
  // The browser counts usage late, so the start of the question may be stored.
  let isTold = false;
  const told = page
    .locator('.notice', { hasText: 'The browser has no room left' })
    .waitFor()
    .finally(() => (isTold = true));
  const asked: string[] = [];
  while (!isTold) {
    asked.push(`And on night ${asked.length + 1}?`);
    await demo.ask(asked.at(-1) ?? '');
  }
  await told;
  expect((await kept()).slice(0, 2)).toEqual(before);
  await session.send('Storage.overrideQuotaForOrigin', { origin });
  await demo.ask('And by day?');
  await reload(demo);
  expect((await kept()).map(({ prompt }) => prompt)).toEqual([
    'Tell me of the sea.',
    'And then?',
    ...asked,
    'And by day?',
  ]);
  expect(violations).toEqual([]);
  await demo.close();
});

it('retries and edits: the last answer in place, an earlier one in a copy, with the cached prefix', async () => {
  const { demo, violations } = await open(40);
  const { page } = demo;
  await demo.setChoices({ 'KV cache': 'dense' });
  const first = await demo.ask('Sing of the harbour and its ships.');
  await page.getByRole('button', { name: 'Retry' }).click();
  const again = await demo.answered();
  expect(again.text).toBe(first.text); // at temperature 0
  expect(again.note).toContain('prompt tokens reused');
  expect(await demo.answers.count()).toBe(1);
  await demo.ask('And of the storm?');
  expect(await titles(page)).toHaveLength(1);

  const mine = page.locator('[data-role=user]');
  await mine.first().hover();
  await mine.first().getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox', { name: 'Edit your message' }).fill('Sing of the mountains.');
  await page.getByRole('button', { name: 'Ask again' }).click();
  const edited = await demo.answered();
  expect(await mine.locator('.text').allInnerTexts()).toEqual(['Sing of the mountains.']);
  expect(edited.text).not.toBe(first.text);
  // All earlier exchanges are still there.
  expect(await titles(page)).toHaveLength(2);
  await page.locator('.conversation').last().click();
  expect(await mine.locator('.text').allInnerTexts()).toEqual([
    'Sing of the harbour and its ships.',
    'And of the storm?',
  ]);
  expect(violations).toEqual([]);
  await demo.close();
});

it('keeps a conversation complete when the page closes, freezes or loses its GPU during an answer', async () => {
  const own = await launchBrowser('lavapipe'); // a browser survives two crashes of its GPU process at most
  try {
    const demo = await DemoPage.open(own, opened.server.url('tiny.gguf'));
    const { page } = demo;
    await demo.loaded();
    await demo.setMaxTokens(600);
    await demo.sendAndSee('Tell me a long story.');
    const session = await own.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess').catch(() => undefined); // the response may be lost with the process
    const error = page.getByTestId('message-error');
    await error.waitFor();
    expect(await error.innerText()).toContain('The GPU stopped working');
    expect(await error.innerText()).toContain('device_lost – ');
    const lost = await demo.answers.last().locator('.text').textContent();
    expect(lost?.length).toBeGreaterThan(5);
    await demo.setMaxTokens(8);
    await page.getByRole('button', { name: 'Retry' }).click();
    expect((await demo.answered()).note).toContain('8 tokens');
    expect(await demo.answers.count()).toBe(1);

    await demo.setMaxTokens(600);
    await demo.sendAndSee('Go on.');
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await cdp.send('Page.setWebLifecycleState', { state: 'active' });
    await page.keyboard.press('Escape'); // stops
    const stopped = await demo.answered();
    expect(stopped.note).toBe('Stopped');

    await demo.sendAndSee('Go on still.');
    await reload(demo);
    const [first, second, third] = await demo.answers.locator('.text').allInnerTexts();
    expect(first).not.toBe('');
    expect(second).toBe(stopped.text);
    expect(third?.length).toBeGreaterThan(0);
    expect(await demo.answers.last().locator('.note').innerText()).toContain('Not finished');
    await demo.setMaxTokens(4);
    await page.getByRole('button', { name: 'Retry' }).last().click();
    expect((await demo.answered()).note).toContain('4 tokens');
  } finally {
    await own.close();
  }
});

it('converts an older version’s data, and does not touch a newer one’s', async () => {
  const { demo } = await open();
  const { page } = demo;
  await page.goto(`${opened.server.url()}icons/icon.svg`); // the same origin without a page that writes
  await emptyDatabase(page, 'chunkwise-page');
  const settings = { temperature: 0.65, maxTokens: 7, systemPrompt: 'Be brief.', kv: 'q4' };
  await writeDatabase(page, 'keyval-store', 'keyval', {
    'chunkwise-demo-settings': settings,
    'chunkwise-demo-adapter': 'shakespeare',
  });
  await page.goto(opened.server.url('tiny.gguf'));
  await demo.loaded();
  await page.locator('#adapter-unload').waitFor();
  expect(await page.locator('#temperature').inputValue()).toBe('0.65');
  expect(await page.locator('#max-tokens').inputValue()).toBe('7');
  expect(await page.locator('#kv').inputValue()).toBe('q4');
  expect(await demo.systemPrompt()).toBe('Be brief.');
  const moved = await readDatabase(page, 'chunkwise-page', 'values');
  expect(moved).toMatchObject({ version: 2, settings, adapter: 'shakespeare' });
  expect(await readDatabase(page, 'keyval-store', 'keyval')).toEqual({});

  const newer = { version: 3, settings: { shape: 'unknown' }, 'conversation 1': ['of another form'] };
  await writeDatabase(page, 'chunkwise-page', 'values', newer);
  const before = await readDatabase(page, 'chunkwise-page', 'values');
  await reload(demo);
  expect(await page.locator('.notice').innerText()).toContain('A newer version of this page stored your conversations');
  await demo.setMaxTokens(3);
  expect((await demo.ask('Hello.')).note).toContain('3 tokens');
  expect(await readDatabase(page, 'chunkwise-page', 'values')).toEqual(before);
  await demo.close();
});

const LAND = 'Tell me of the land.';
const SEA = 'Tell me of the sea.';

/** Text of the last answer on the page. */
const written = (demo: DemoPage): Promise<string> => demo.answers.last().locator('.text').innerText();

/** Titles of conversations that the list marks as being answered. */
const answering = (page: Page): Promise<string[]> =>
  page
    .locator('#conversations li')
    .filter({ has: page.getByRole('img', { name: 'An answer is being written' }) })
    .locator('.conversation')
    .allInnerTexts();

const openTitled = (page: Page, title: string): Promise<void> =>
  page.getByRole('button', { name: title, exact: true }).click();

const grows = async (demo: DemoPage, text: string): Promise<void> =>
  expect.poll(async () => (await written(demo)).length, { timeout: 30_000 }).toBeGreaterThan(text.length);

it('continues in a conversation in the background and in another at the same time; each stops separately', async () => {
  const { demo, violations } = await open(1500);
  const { page } = demo;
  await demo.sendAndSee(SEA);
  const sea = await written(demo);
  await page.getByRole('button', { name: 'New chat' }).click();
  expect(await demo.answers.count()).toBe(0);
  expect(await answering(page)).toEqual([SEA]);
  expect((await new AxeBuilder({ page }).include('#sidebar').analyze()).violations.map(({ id }) => id)).toEqual([]);
  await demo.sendAndSee(LAND);
  const land = await written(demo);
  await grows(demo, land);
  expect(await answering(page)).toEqual([LAND, SEA]); // in the order of the questions

  // The text written meanwhile is there with its measurements, and the rest arrives.
  await openTitled(page, SEA);
  const meanwhile = await written(demo);
  expect(meanwhile.length).toBeGreaterThan(sea.length);
  expect(meanwhile.slice(0, 3)).toBe(sea.slice(0, 3));
  await grows(demo, meanwhile);
  expect(await demo.read('ttft')).toMatch(/^[\d.]+ m?s$/);
  expect(Number(await page.locator('#context-meter').getAttribute('aria-valuenow'))).toBeGreaterThan(20);
  await demo.stop.click();
  expect((await demo.answered()).note).toBe('Stopped');
  expect(await answering(page)).toEqual([LAND]);

  await openTitled(page, LAND);
  await grows(demo, await written(demo));
  // Deletion stops it, and undo restores its text so far.
  await act(page, LAND, 'Delete');
  expect(await titles(page)).toEqual([SEA]);
  await page.getByRole('button', { name: 'Undo' }).click();
  await openTitled(page, LAND);
  expect((await demo.answered()).note).toBe('Stopped');
  expect((await written(demo)).length).toBeGreaterThan(land.length);

  // One that ends in the background is complete.
  await demo.setMaxTokens(40);
  await demo.send('And then?');
  await openTitled(page, SEA);
  await expect.poll(() => answering(page), { timeout: 30_000 }).toEqual([]);
  expect(await titles(page)).toEqual([LAND, SEA]);
  await openTitled(page, LAND);
  expect((await demo.answered()).note).toContain('40 tokens');
  expect(violations).toEqual([]);
  await demo.close();
});

it('notes in a comparison that another answer ran at the same time', async () => {
  const { demo } = await open(3000);
  await demo.chooseAdapter('shakespeare');
  await demo.sendAndSee(SEA);
  await demo.page.getByRole('button', { name: 'New chat' }).click();
  await demo.setMaxTokens(4);
  await demo.page.getByTestId('compare').check();
  await demo.send(LAND);
  // A comparison is there again when its conversation is reopened meanwhile.
  await openTitled(demo.page, SEA);
  await openTitled(demo.page, LAND);
  expect((await demo.answered()).note).toContain('Another answer was written at the same time');
  const columns = demo.page.getByTestId('comparison').locator('.compared');
  expect(await columns.locator('.text').allInnerTexts()).not.toContain('');
  expect(await columns.locator('dd').first().innerText()).toMatch(/ m?s$/);
  await demo.close();
});

it('has the conversation in its address: back and forward switch, and a reload keeps the text so far', async () => {
  const { demo } = await open(8);
  const { page } = demo;
  const plain = page.url();
  await demo.ask(SEA);
  const sea = page.url();
  await page.getByRole('button', { name: 'New chat' }).click();
  expect(page.url()).toBe(plain);
  await demo.ask(LAND);
  const land = page.url();
  expect(new Set([plain, sea, land]).size).toBe(3);

  await page.goBack();
  await expect.poll(() => demo.title(), { timeout: 30_000 }).toBe(SEA);
  await page.goForward();
  await expect.poll(() => demo.title(), { timeout: 30_000 }).toBe(LAND);
  await openTitled(page, SEA);
  expect(page.url()).toBe(sea);
  await page.goBack();
  await expect.poll(() => demo.title(), { timeout: 30_000 }).toBe(LAND);

  await demo.setMaxTokens(1500);
  await demo.sendAndSee('And then?');
  await openTitled(page, SEA);
  await demo.sendAndSee('And then?');
  const text = await written(demo);
  await page.reload();
  expect(page.url()).toBe(sea);
  await expect.poll(() => demo.title(), { timeout: 30_000 }).toBe(SEA);
  expect(await demo.answers.last().locator('.note').innerText()).toBe('Not finished: the page was closed');
  // No visible text is lost; drawn Markdown is not longer than its source.
  const kept = Object.values(await readDatabase(page, 'chunkwise-page', 'values')) as Kept[];
  const answerOf = (title: string): string => kept.find((each) => each.title === title)?.exchanges.at(-1)?.answer ?? '';
  expect(answerOf(SEA).length).toBeGreaterThanOrEqual(text.length);
  expect(answerOf(LAND)).not.toBe('');
  await demo.loaded();
  await demo.setMaxTokens(4);
  await page.getByRole('button', { name: 'Retry' }).last().click();
  expect((await demo.answered()).note).toContain('4 tokens');

  // A conversation of another device is not shown.
  await page.goto(`${plain}#chat=another`);
  await page.getByText('This conversation is not on this device.').waitFor();
  await expect.poll(() => page.url()).toBe(plain);
  expect(await demo.title()).toBeUndefined();
  await demo.close();
});

interface Kept {
  title?: string;
  exchanges: { answer: string }[];
}
