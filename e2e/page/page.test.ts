import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { CDPSession, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { restOnly } from '../../tests/support/tier.ts';

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };

const opened = openForTests(serveDemo);
let demo: DemoPage;
let page: Page;
let violations: string[];
beforeAll(async () => {
  const context = await opened.browser.newContext({ viewport: WIDE });
  violations = await watchViolations(context);
  demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  page = demo.page;
  await demo.loaded();
  await demo.setMaxTokens(16);
});

/** What axe finds against the page as it is, and whether it scrolls sideways, at both widths and in both schemes. */
async function expectAccessible(state: string): Promise<void> {
  const found: string[] = [];
  for (const size of [WIDE, NARROW]) {
    await page.setViewportSize(size);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await new AxeBuilder({ page }).analyze();
      for (const { id, nodes } of violations) {
        found.push(...nodes.map(({ target }) => `${state}, ${size.width} ${colorScheme}: ${id} ${target.join(' ')}`));
      }
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (overflow > 0) found.push(`${state}: ${overflow} pixels wider than ${size.width}`);
  }
  await page.setViewportSize(WIDE);
  expect(found).toEqual([]);
}

it('is accessible in every state, and never wider than a phone', async () => {
  await expectAccessible('empty');
  await page.getByRole('button', { name: 'Settings' }).click();
  await expectAccessible('settings');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Model:' }).click();
  await page.locator('#models[open]').waitFor();
  await expectAccessible('models');
  await page.keyboard.press('Escape');
  await demo.ask('Hello.');
  await expectAccessible('chat');
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

it('is used by keyboard, and tells a screen reader of an answer once', async () => {
  const order: string[] = [];
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    order.push(await page.evaluate(() => document.activeElement?.id || (document.activeElement?.className ?? '')));
  }
  const wanted = ['open-models', 'new-chat', 'open-settings', 'conversation', 'more', 'adapter-select', 'prompt'];
  // It goes around: from the header's first to what is written in.
  const found = order.slice(order.indexOf('open-models')).filter((name) => wanted.includes(name));
  expect(found.slice(0, wanted.length)).toEqual(wanted);

  const told = await page.locator('#announcer').evaluateHandle((announcer) => {
    const texts: string[] = [];
    new MutationObserver(() => texts.push(announcer.textContent)).observe(announcer, { childList: true });
    return texts;
  });
  const { text } = await demo.ask('Speak.');
  await expect.poll(() => told.jsonValue()).toHaveLength(1);
  const words = (text: string): string => text.replace(/\s+/g, ' ').trim();
  // The announcement is what the model wrote; the page shows it as Markdown.
  expect(words((await told.jsonValue())[0] ?? '').slice(0, 3)).toBe(words(text).slice(0, 3));
  expect(
    await page
      .locator('#messages')
      .evaluate((list) => list.closest('[aria-live]') ?? list.querySelector('[aria-live]')),
  ).toBeNull();
});

restOnly(() => {
  it('shows a welcome that is longer than the screen from its top', async () => {
    await page.setViewportSize({ ...NARROW, height: 500 });
    await page.reload();
    await demo.loaded();
    const [top, room] = await page
      .locator('#scroller')
      .evaluate(({ scrollTop, scrollHeight, clientHeight }) => [scrollTop, scrollHeight - clientHeight]);
    expect(room).toBeGreaterThan(0);
    expect(top).toBe(0);
    await page.setViewportSize(WIDE);
  });
});

it('sends the sampling settings, and keeps them', async () => {
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('slider', { name: 'Min-p' }).fill('0.1');
  await page.getByLabel('Top-k').fill('7');
  await page.getByLabel('Seed').fill('42');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.reload();
  await demo.loaded();
  const sent = await demo.sentToWorkers();
  await demo.ask('Hello.');
  expect(JSON.stringify(await sent.jsonValue())).toMatch(
    /"temperature":0,"topK":7,"topP":0\.9,"minP":0\.1,.*"presencePenalty":1\.5,.*"seed":42/,
  );
});

restOnly(() => {
  it('compares with ordinary LoRA: the same prompt both ways, measured side by side, and kept', async () => {
    const compare = page.getByTestId('compare');
    expect(await compare.isVisible()).toBe(false); // without an adapter there is nothing to compare
    await demo.chooseAdapter('shakespeare');
    await demo.setMaxTokens(16);
    await compare.check();
    const prompt = 'The king is here, and all his men with him, and the drums of the town are beating. '.repeat(4);
    await compare.uncheck();
    await demo.ask(prompt); // now one way has the prompt in the cache
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
              all.map((row) => [
                row.querySelector('dt')?.textContent ?? '',
                row.querySelector('dd')?.textContent ?? '',
              ]),
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
      Speed: expect.stringMatching(/tok\/s$/) as string,
    });
    expect(ours?.['Prompt reused']).toMatch(/^0 of \d+$/);
    expect(ordinary?.['Prompt reused']).toBe(ours?.['Prompt reused']);
    expect(Number(ours?.['Mean rank'])).toBeLessThan(8);
    expect(ordinary?.['Mean rank']).toBe('8');
    const bytes = (text = ''): number => Number.parseFloat(text) * (text.endsWith(' MB') ? 1e6 : 1e3);
    expect(bytes(ours?.['KV cache'])).toBeLessThan(bytes(ordinary?.['KV cache']));
    await expectAccessible('comparison');

    await page.reload();
    await demo.loaded();
    await page.locator('#adapter-unload').waitFor();
    await page.locator('.conversation').first().click();
    expect(await read()).toEqual([ours, ordinary]);

    await demo.setChoices({ 'KV cache': 'dense', 'Ranks of an adapter': 'uniform', Speculation: 'off' });
    await page.getByRole('button', { name: 'New chat' }).click();
    expect((await demo.ask(prompt)).text).toBe(ordinary?.['text']);
  });
});

/** Both ways are asked the same: first a few tokens each, then what is measured, and no request goes on from what is cached. */
function expectFairness(messages: readonly unknown[], prompt: string): void {
  const requests = messages.map((message) => JSON.stringify(message)).filter((text) => text.includes(prompt.trim()));
  const sent = (field: string) => requests.map((text) => new RegExp(`"${field}":"?(\\w+)`).exec(text)?.[1]);
  expect(sent('kv')).toEqual(['policy', 'dense', 'policy', 'dense']);
  expect(sent('ranks')).toEqual(['chunkwise', 'uniform', 'chunkwise', 'uniform']);
  expect(sent('speculate')).toEqual(['true', 'false', 'true', 'false']);
  expect(sent('maxTokens')).toEqual(['8', '8', '16', '16']);
  expect(sent('recomputePrompt')).toEqual(['true', 'true', 'true', 'true']);
  expect(new Set(sent('seed')).size).toBe(1);
}

restOnly(() => {
  it('takes a dropped adapter folder and a dropped model, and opens a model by its address', async () => {
    await demo.chooseAdapter('none');
    const cdp = await page.context().newCDPSession(page);
    await drop(cdp, join(opened.server.adapters, 'shakespeare'));
    await page.locator('#adapter-unload').waitFor();
    expect(await page.getByTestId('adapter-select').inputValue()).toBe('own');
    expect(await page.getByTestId('adapter-state').innerText()).toMatch(/^Rank 8/);

    await drop(cdp, join(opened.server.folder, 'tiny.gguf'));
    await page.getByTestId('progress').waitFor();
    await demo.loaded();
    expect((await demo.ask('Hello again.')).note).toContain('16 tokens');

    await page.getByRole('button', { name: 'Model:' }).click();
    const listed = page.locator('.model-choice');
    await expect.poll(() => listed.count()).toBeGreaterThan(6);
    expect(await listed.first().innerText()).toMatch(/^tiny\s+On this device/);
    const others = (await listed.allInnerTexts()).slice(1).join('\n');
    expect(others).toContain('Llama 3.2 1B');
    expect(others).not.toMatch(/\d [MG]B/); // the hub has told of none
    await page.keyboard.press('Escape');
    await demo.typeModel('models/missing.gguf');
    await page.getByTestId('load-error').waitFor();
    expect(await demo.read('load-error')).toMatch(/missing\.gguf: status 404$/);
    expect((await demo.ask('Are you still there?')).note).toContain('16 tokens'); // the model that was there is
    await demo.typeModel('models/missing.gguf');
    await page.getByTestId('load-error').waitFor();
    await page.getByRole('button', { name: 'Choose a model' }).click();
    await listed.first().click();
    await page.locator('#failure').waitFor({ state: 'hidden' });
    await demo.loaded();
    expect((await demo.ask('And again.')).note).toContain('16 tokens');
  });
});

it('asks before it opens what a link names, in letters that show whose it is, by keyboard and on a phone too', async () => {
  await page.goto(`${opened.server.url()}?model=${encodeURIComponent('https://huggingface.со/owner/model.gguf')}`); // Cyrillic: со
  const [accept, decline] = [page.getByTestId('offer-accept'), page.getByTestId('offer-decline')];
  await accept.waitFor();
  expect(await demo.read('offer-host')).toBe('huggingface.xn--n1af');
  const focused = () => page.evaluate(() => document.activeElement?.id);
  const order = [await focused()];
  for (let i = 0; i < 2; i++) {
    await page.keyboard.press('Tab');
    order.push(await focused());
  }
  expect(order).toEqual(['offer', 'offer-accept', 'offer-decline']);
  await demo.send('Hello?');
  expect(await page.locator('.waiting').innerText()).toBe('Waiting for the model …');
  await expectAccessible('offer, and a prompt that waits');
  await page.setViewportSize(NARROW);
  for (const button of [accept, decline]) expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44);
  await page.setViewportSize(WIDE);
  await page.keyboard.press('Escape'); // the prompt, not the question
  expect(await demo.prompt.inputValue()).toBe('Hello?');
  expect(await accept.isVisible()).toBe(true);
});

it('did nothing against its Content-Security-Policy, and would have been seen to', async () => {
  expect(violations).toEqual([]);
  await page.evaluate(() => {
    const style = document.createElement('style');
    style.textContent = 'body { color: red }';
    document.body.append(style);
  });
  await expect.poll(() => violations.length).toBeGreaterThan(0);
  expect(violations.join()).toContain('style-src');
});

/** Drops a file or a folder of the disk onto the page. */
async function drop(cdp: CDPSession, path: string): Promise<void> {
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await cdp.send('Input.dispatchDragEvent', { type, x: 600, y: 300, data });
  }
}
