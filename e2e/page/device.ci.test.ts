import { readFile } from 'node:fs/promises';
import { beforeAll, expect, it } from 'vitest';
import type { DeviceReport } from '../../src/api/index.ts';
import { accessibilityFaults } from '../support/accessible.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { SCREEN } from '../support/in-sight.ts';
import { openForTests } from '../support/open-for-tests.ts';

const opened = openForTests(serveDemo);
let demo: DemoPage;
beforeAll(async () => {
  const context = await opened.browser.newContext({
    viewport: SCREEN,
    serviceWorkers: 'block',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  await demo.loaded();
  await demo.setMaxTokens(8);
});

const button = (name: string) => demo.page.getByRole('button', { name, exact: true });

it('measures, shows the results in tables, and exports them as JSON', async () => {
  const { page } = demo;
  const before = await demo.bytes();
  await button('Measure this device').click();
  expect(await accessibilityFaults(page)).toEqual([]);
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
  expect(await accessibilityFaults(page)).toEqual([]);

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
  const { text } = await demo.ask('Hello.');
  await button('Measure this device').click();
  await page.getByLabel('Time', { exact: true }).selectOption('90');
  await button('Measure').click();
  await page.getByText(/^Measuring /).waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
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
