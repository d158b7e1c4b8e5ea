import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { accessibilityFaults } from '../support/accessible.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { SCREEN } from '../support/in-sight.ts';
import { openForTests } from '../support/open-for-tests.ts';

const ADAPTERS = fileURLToPath(new URL('../../demo/public/adapters/', import.meta.url));

const LIGHTHOUSE =
  'The lighthouse on Grey Skerry was built in 1868 by the engineer Ada Lindqvist. The last keeper, Tomas Brandt, left the island in 1974. Since then the lamp has been lit by a clock.';
const BIRDS = 'About four thousand puffins nest on the western cliffs. They eat small fish. '.repeat(14);

const opened = openForTests(serveDemo);
let demo: DemoPage;
let page: Page;
let violations: string[];
beforeAll(async () => {
  for (const name of ['answerable', 'squad-alora'])
    symlinkSync(join(ADAPTERS, name), join(opened.server.adapters, name));
  const context = await opened.browser.newContext({ viewport: SCREEN, serviceWorkers: 'block' });
  violations = await watchViolations(context);
  demo = await DemoPage.openIn(context, opened.server.url());
  page = demo.page;
  page.setDefaultTimeout(300_000); // a text of two passages, on a software adapter
  return () => demo.close();
});

const steps = () =>
  page
    .locator('.desk-run')
    .first()
    .locator('.desk-step')
    .evaluateAll((all) => all.map((step) => [...step.children].map((child) => child.textContent)));

async function accessible(state: string): Promise<void> {
  expect([state, ...(await accessibilityFaults(page))]).toEqual([state]);
}

it('answers a question about an opened text: in which passage, with what, resting on which sentence', async () => {
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  expect(requests.filter((url) => /\/desk-/.test(url))).toEqual([]); // the chat does not load the desk
  const file = join(opened.server.folder, 'island.md');
  writeFileSync(file, `${BIRDS}\n\n${LIGHTHOUSE}`);

  // By keyboard, but for the file's dialog.
  await page.getByRole('button', { name: 'Desk' }).focus();
  await page.keyboard.press('Enter');
  await page.locator('#desk-text').waitFor();
  expect(requests.filter((url) => /\/desk-.*\.js/.test(url))).toHaveLength(1);
  await accessible('empty desk');
  await page.locator('.desk input[type=file]').setInputFiles(file);
  await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe('desk-question');
  await page.keyboard.type('Who was the last keeper?');
  await page.locator('#desk-ask:enabled').waitFor(); // the model has loaded
  await page.keyboard.press('Enter');
  await page.locator('.cited').waitFor();
  await page.locator('#desk-ask').waitFor();

  const [answerable, answer, grounds] = await steps();
  expect(answerable?.[0]).toBe('Answerable?');
  expect(answerable?.[1]).toMatch(/^\d+ %, best of 2 passages$/);
  expect(answer?.slice(0, 2)).toEqual(['Answer', 'Tomas Brandt']);
  expect(answer?.[2]).toMatch(/ · read again: 0$/); // it goes on from what the first function read
  const sentence = 'The last keeper, Tomas Brandt, left the island in 1974.';
  expect(grounds).toEqual(['Rests on', `“${sentence}”`]);
  expect(await page.locator('.cited').innerText()).toBe(sentence);
  expect(await page.locator('.desk mark').innerText()).toBe('Tomas Brandt');
  await accessible('answered');
});

it('says that a text does not answer a question; a text of one passage is not read again', async () => {
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent);
  // By keyboard alone.
  await page.locator('#desk-question').focus();
  while ((await focused()) !== 'Change the text') await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Enter');
  expect(await focused()).toBe('desk-text');
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(LIGHTHOUSE);
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Use this text');
  await page.keyboard.press('Enter');
  for (const question of ['Who was the last keeper?', 'What does a train ticket to Paris cost?']) {
    await expect.poll(focused).toBe('desk-question');
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(question);
    await page.keyboard.press('Enter');
    await page.locator('.desk-run').filter({ hasText: question }).locator('.desk-step').first().waitFor();
    await page.locator('#desk-ask').waitFor();
  }
  expect(await page.locator('.desk-run .answer').allInnerTexts()).toEqual(['Tomas Brandt']);
  await page.getByText('The text probably does not answer this.').waitFor();
  await accessible('not answered');
  const [answerable, ...others] = await steps();
  expect(others).toEqual([]);
  expect(await page.locator('.cited').count()).toBe(0);
  expect(answerable?.[2]).toMatch(/ · read again: 0$/);
  // The question and its instruction; the text has more.
  expect(Number(/computed: ([\d,]+)/.exec(answerable?.[2] ?? '')?.[1])).toBeLessThan(50);
});

it('refuses files that are no text, goes back to the chat, and never violated the policy', async () => {
  await page.getByRole('button', { name: 'Change the text' }).click();
  const input = page.locator('.desk input[type=file]');
  await input.setInputFiles({ name: 'picture.txt', mimeType: 'text/plain', buffer: Buffer.from([0x89, 0x50, 0, 1]) });
  await page.getByText('picture.txt is not a text in UTF-8.').waitFor();
  await accessible('refused file');
  await page.locator('#open-desk').click();
  await demo.prompt.waitFor();
  expect(await page.locator('#desk').isVisible()).toBe(false);
  expect(violations).toEqual([]);
});
