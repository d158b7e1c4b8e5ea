import { readFile } from 'node:fs/promises';
import { AxeBuilder } from '@axe-core/playwright';
import { beforeAll, expect, it } from 'vitest';
import type { DeviceReport } from '../../src/api/index.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { openForTests } from '../support/open-for-tests.ts';

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };

const opened = openForTests(serveDemo);
let demo: DemoPage;
beforeAll(async () => {
  const context = await opened.browser.newContext({
    viewport: WIDE,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  await demo.loaded();
  await demo.setMaxTokens(8);
});

const button = (name: string) => demo.page.getByRole('button', { name, exact: true });

/** Findings of axe, and whether anything is wider than the page, at both widths and in both schemes. */
async function faults(): Promise<string[]> {
  const { page } = demo;
  const found: string[] = [];
  for (const size of [WIDE, NARROW]) {
    await page.setViewportSize(size);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await new AxeBuilder({ page }).analyze();
      found.push(
        ...violations.flatMap(({ id, nodes }) =>
          nodes.map(({ target }) => `${size.width} ${colorScheme}: ${id} ${target.join(' ')}`),
        ),
      );
    }
    const overflow = await page.locator('#measure').evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
    if (overflow > 0) found.push(`${overflow} pixels too wide at ${size.width}`);
  }
  await page.setViewportSize(WIDE);
  return found;
}

it('measures, shows the results in tables, and exports them as JSON', async () => {
  const { page } = demo;
  const before = await demo.bytes();
  await button('Measure this device').click();
  expect(await faults()).toEqual([]);
  expect(await button('Copy JSON').isVisible()).toBe(false);
  await page.getByLabel('Time', { exact: true }).selectOption('30');
  await button('Measure').click();
  await button('Stop').waitFor();
  await button('Copy JSON').waitFor();
  const tables = page.getByTestId('measure-tables');
  expect(await tables.locator('caption').allInnerTexts()).toEqual([
    ...['Device', 'At most', 'Latency'],
    expect.stringMatching(/^tiny, [\d.]+ MB of weights$/) as string,
    expect.stringMatching(/^random weights, 1B, Q4_0/) as string,
  ]);
  const row = (name: string) => tables.getByRole('row', { name });
  expect(await row('Copying').innerText()).toMatch(/\d GB\/s/);
  expect(await row('Multiply-adds, f32').innerText()).toMatch(/\d GFLOP\/s/);
  const speeds = tables.locator('table').nth(3);
  expect(await speeds.getByRole('row', { name: /^256 / }).first().innerText()).toMatch(
    /tokens\/s\s+[\d.]+ ms, \d+ % of memory\s+([\d.]+ tokens\/s\s+\d+ % of arithmetic|not measured)/,
  );
  expect(
    await speeds
      .getByRole('row', { name: /^8,192 / })
      .first()
      .innerText(),
  ).toMatch(/not measured\s*beyond the context of 4096 tokens/);
  expect(await faults()).toEqual([]);

  await button('Copy JSON').click();
  await button('Copied').waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  const report = JSON.parse(copied) as DeviceReport;
  expect(report).toMatchObject({
    format: 'chunkwise-device',
    version: 1,
    budgetMs: 30_000,
    host: await page.evaluate(() => navigator.userAgent),
  });
  expect(report.models[0]?.speeds[0]?.decode).toHaveProperty('tokensPerSecond');
  const [saved] = await Promise.all([page.waitForEvent('download'), button('Save JSON').click()]);
  expect(saved.suggestedFilename()).toBe(`${report.device.name.replace(/[^\w]+/g, ' ')}.json`);
  expect(await readFile(await saved.path(), 'utf8')).toBe(copied);
  const [board] = await Promise.all([page.waitForEvent('download'), button('Save for webgpu-bench').click()]);
  expect(board.suggestedFilename()).toMatch(/\.webgpu-bench\.json$/);
  expect(JSON.parse(await readFile(await board.path(), 'utf8'))).toMatchObject([{ model: 'tiny', status: 'done' }]);
  const link = await page.getByRole('link', { name: 'Send these figures' }).getAttribute('href');
  expect(new URL(link ?? '').searchParams.get('gpu')).toBe(report.device.name);
  await button('Close').click();
  expect(await demo.bytes()).toBe(before);
});

it('stops at once, also when it is closed; a chat continues', async () => {
  const { page } = demo;
  await page.reload();
  await demo.loaded();
  const { text } = await demo.ask('Hello.');
  await button('Measure this device').click();
  await page.getByLabel('Time', { exact: true }).selectOption('90');
  await button('Measure').click();
  await page.getByText(/^Measuring /).waitFor();
  expect(await faults()).toEqual([]);
  await button('Stop').click();
  await page.getByText('Stopped. No result was kept.').waitFor();
  await button('Measure').click();
  await page.getByText(/^Measuring /).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#measure').waitFor({ state: 'hidden' });
  await button('New chat').click();
  expect((await demo.ask('Hello.')).text).toBe(text);
  await demo.close();
});
