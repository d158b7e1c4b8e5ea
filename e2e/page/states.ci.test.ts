import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { CDPSession, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { accessibilityFaults } from '../support/accessible.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { PHONE as NARROW, SCREEN as WIDE } from '../support/in-sight.ts';
import { openForTests } from '../support/open-for-tests.ts';

const opened = openForTests(serveDemo);
let demo: DemoPage;
let page: Page;
let violations: string[];
beforeAll(async () => {
  const context = await opened.browser.newContext({ viewport: WIDE, serviceWorkers: 'block' });
  violations = await watchViolations(context);
  demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  page = demo.page;
  await demo.loaded();
  await demo.setMaxTokens(16);
});

it('is accessible in every state, and never wider than a phone', async () => {
  expect(['empty', ...(await accessibilityFaults(page))]).toEqual(['empty']);
  await demo.openSettings();
  expect(['settings', ...(await accessibilityFaults(page))]).toEqual(['settings']);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Model:' }).click();
  await page.locator('#models[open]').waitFor();
  expect(['models', ...(await accessibilityFaults(page))]).toEqual(['models']);
  await page.keyboard.press('Escape');
  await demo.ask('Hello.');
  await demo.openDetails();
  expect(['chat', ...(await accessibilityFaults(page))]).toEqual(['chat']);
  await page.getByRole('button', { name: 'Measurements' }).click();
  expect(['chat without measurements', ...(await accessibilityFaults(page, [WIDE]))]).toEqual([
    'chat without measurements',
  ]);
  await page.getByRole('button', { name: 'Measurements' }).click();
  expect(['chat with measurements', ...(await accessibilityFaults(page, [NARROW]))]).toEqual([
    'chat with measurements',
  ]);
  await page.setViewportSize(NARROW);
  await page.getByRole('button', { name: 'Chats' }).click();
  await page.getByRole('button', { name: 'Actions for Hello.' }).waitFor();
  expect(await new AxeBuilder({ page }).analyze().then((results) => results.violations.map(({ id }) => id))).toEqual(
    [],
  );
  await page.keyboard.press('Escape');
  await page.locator('#sidebar').waitFor({ state: 'hidden' });
  await page.setViewportSize(WIDE);
});

it('shows a welcome longer than the screen from its top', async () => {
  await page.setViewportSize({ ...NARROW, height: 500 });
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.reload();
  await demo.loaded();
  const [top, room] = await page
    .locator('#scroller')
    .evaluate(({ scrollTop, scrollHeight, clientHeight }) => [scrollTop, scrollHeight - clientHeight]);
  expect(room).toBeGreaterThan(0);
  expect(top).toBe(0);
  await page.setViewportSize(WIDE);
});

it('compares with ordinary LoRA: the same prompt both ways, measured side by side, and stored', async () => {
  const compare = page.getByTestId('compare');
  expect(await compare.isVisible()).toBe(false); // without an adapter nothing can be compared
  await demo.chooseAdapter('shakespeare');
  await demo.setMaxTokens(16);
  await compare.check();
  const prompt = 'The king is here, and all his men with him, and the drums of the town are beating. '.repeat(4);
  await compare.uncheck();
  await demo.ask(prompt); // now one way has the prompt in its prefix cache
  await compare.check();
  const sent = await demo.sentToWorkers();
  await demo.ask(prompt);
  expectFairness(await sent.jsonValue(), prompt);
  const columns = () => page.getByTestId('comparison').last().locator('.compared');
  const read = async () =>
    Promise.all(
      (await columns().all()).map(async (column) => {
        const rows = await column
          .locator('dl div')
          .evaluateAll((all) =>
            all.map((row) => [row.querySelector('dt')?.textContent ?? '', row.querySelector('dd')?.textContent ?? '']),
          );
        return {
          title: await column.locator('h3').innerText(),
          text: await column.locator('.text').innerText(),
          ...(Object.fromEntries(rows) as Record<string, string>),
        };
      }),
    );
  const [ours, ordinary] = (await read()) as Record<string, string>[];
  expect(ours).toMatchObject({
    'First token': expect.stringMatching(/m?s$/) as string,
    Speed: expect.stringMatching(/tokens\/s$/) as string,
  });
  expect(Object.keys(ours ?? {})).not.toContain('Per token'); // it repeats the speed
  expect(await page.locator('.compared-verdict').innerText()).toMatch(
    /^Chunkwise writes [\d.]+(–[\d.]+)? times as fast(: no difference is seen)?\.\s*Each way was measured 5 times, in turns\./,
  );
  expect(ours?.['Prompt reused']).toMatch(/^0 of \d+$/);
  expect(ordinary?.['Prompt reused']).toBe(ours?.['Prompt reused']);
  expect(Number(ours?.['Mean rank'])).toBeLessThan(8);
  expect(ordinary?.['Mean rank']).toBe('8');
  const bytes = (text = ''): number => Number.parseFloat(text) * (text.endsWith(' MB') ? 1e6 : 1e3);
  expect(bytes(ours?.['KV cache'])).toBeLessThan(bytes(ordinary?.['KV cache']));
  expect(['comparison', ...(await accessibilityFaults(page))]).toEqual(['comparison']);

  await page.reload();
  await demo.loaded();
  await page.locator('#adapter-unload').waitFor();
  await page.locator('.conversation').first().click();
  expect(await read()).toEqual([ours, ordinary]);

  await demo.setChoices({ 'KV cache': 'dense', 'Ranks of an adapter': 'uniform', Speculation: 'off' });
  await page.getByRole('button', { name: 'New chat' }).click();
  expect((await demo.ask(prompt)).text).toBe(ordinary?.['text']);
});

/**
 * Both ways get the same prompt: first a few tokens each, then the timed answers, in turns, up to 64 tokens of each and
 * five runs; no request uses the prefix cache.
 */
function expectFairness(messages: readonly unknown[], prompt: string): void {
  const requests = messages.map((message) => JSON.stringify(message)).filter((text) => text.includes(prompt.trim()));
  const sent = (field: string) => requests.map((text) => new RegExp(`"${field}":"?(\\w+)`).exec(text)?.[1]);
  const inTurns = <T>(ours: T, ordinary: T): T[] =>
    [...'CO', ...'CO', ...'OC', ...'CO', ...'OC', ...'CO'].map((way) => (way === 'C' ? ours : ordinary));
  expect(sent('kv')).toEqual(inTurns('policy', 'dense'));
  expect(sent('ranks')).toEqual(inTurns('chunkwise', 'uniform'));
  expect(sent('speculate')).toEqual(inTurns('true', 'false'));
  expect(sent('maxTokens')).toEqual(['8', '8', ...inTurns('16', '16').slice(2)]);
  expect(sent('recomputePrompt')).toEqual(inTurns('true', 'true'));
  expect(new Set(sent('seed')).size).toBe(1);
}

it('opens a dropped adapter folder, a dropped model, and a model by its address', async () => {
  await demo.chooseAdapter('none');
  const cdp = await page.context().newCDPSession(page);
  await drop(cdp, join(opened.server.adapters, 'shakespeare'));
  await page.locator('#adapter-unload').waitFor();
  expect(await page.getByTestId('adapter-select').inputValue()).toBe('own');
  expect(await demo.read('adapter-facts')).toMatch(/^Rank 8/);

  await drop(cdp, join(opened.server.folder, 'tiny.gguf'));
  await page.getByTestId('progress').waitFor();
  await demo.loaded();
  expect((await demo.ask('Hello again.')).note).toContain('16 tokens');

  await page.getByRole('button', { name: 'Model:' }).click();
  const listed = page.locator('.model-item');
  await expect.poll(() => listed.count()).toBeGreaterThan(6);
  const tiny = listed.filter({ hasText: /^tiny/ });
  expect(await tiny.innerText()).toMatch(/^tiny\s+Opened here before\s+[\d.]+ [kM]B · On this device/);
  // Sizes are shown before any request.
  expect(await listed.filter({ hasText: 'Llama 3.2 1B' }).innerText()).toContain('807.7 MB');
  await page.keyboard.press('Escape');
  await demo.typeModel('models/missing.gguf');
  await page.getByTestId('load-error').waitFor();
  expect(await demo.read('load-error')).toMatch(/missing\.gguf: status 404$/);
  expect(['failure, and a model that answers', ...(await accessibilityFaults(page))]).toEqual([
    'failure, and a model that answers',
  ]);
  expect((await demo.ask('Are you still there?')).note).toContain('16 tokens'); // the open model still answers
  await demo.typeModel('models/missing.gguf');
  await page.getByTestId('load-error').waitFor();
  await page.getByRole('button', { name: 'Choose a model' }).click();
  await tiny.getByRole('button', { name: 'Use tiny' }).click();
  await page.locator('#failure').waitFor({ state: 'hidden' });
  await demo.loaded();
  expect((await demo.ask('And again.')).note).toContain('16 tokens');
});

it('shows the offer of a linked model accessibly, and never violated its Content-Security-Policy', async () => {
  await page.goto(`${opened.server.url()}?model=${encodeURIComponent('https://hub.test/owner/model.gguf')}`);
  await page.getByTestId('offer-accept').waitFor();
  await demo.send('Hello?');
  expect(await accessibilityFaults(page)).toEqual([]);
  expect(violations).toEqual([]);
});

/** Drops a file or a folder of the disk onto the page. */
async function drop(cdp: CDPSession, path: string): Promise<void> {
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await cdp.send('Input.dispatchDragEvent', { type, x: 600, y: 300, data });
  }
}
