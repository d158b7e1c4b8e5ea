import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { CDPSession, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { PHONE as NARROW, SCREEN as WIDE } from '../support/in-sight.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { byTier, restOnly } from '../../tests/support/tier.ts';

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

/** Findings of axe, and whether the page scrolls sideways, at these widths and in both schemes. */
async function expectAccessible(state: string, sizes = [WIDE, NARROW]): Promise<void> {
  const found: string[] = [];
  for (const size of sizes) {
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

restOnly(() =>
  it('is accessible in every state, and never wider than a phone', async () => {
    await expectAccessible('empty');
    await demo.openSettings();
    await expectAccessible('settings');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Model:' }).click();
    await page.locator('#models[open]').waitFor();
    await expectAccessible('models');
    await page.keyboard.press('Escape');
    await demo.ask('Hello.');
    await demo.openDetails();
    await expectAccessible('chat');
    await page.getByRole('button', { name: 'Measurements' }).click();
    await expectAccessible('chat without measurements', [WIDE]);
    await page.getByRole('button', { name: 'Measurements' }).click();
    await expectAccessible('chat with measurements', [NARROW]);
    await page.setViewportSize(NARROW);
    await page.getByRole('button', { name: 'Chats' }).click();
    await page.getByRole('button', { name: 'Actions for Hello.' }).waitFor();
    expect(await new AxeBuilder({ page }).analyze().then((results) => results.violations.map(({ id }) => id))).toEqual(
      [],
    );
    await page.keyboard.press('Escape');
    await page.locator('#sidebar').waitFor({ state: 'hidden' });
    await page.setViewportSize(WIDE);
  }),
);

it('works by keyboard, and announces an answer to a screen reader once', async () => {
  await demo.ask('Hello.'); // fills the list with a conversation
  const order: string[] = [];
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    order.push(await page.evaluate(() => document.activeElement?.id || (document.activeElement?.className ?? '')));
  }
  const wanted = ['open-models', 'new-chat', 'open-settings', 'conversation', 'more', 'adapter-select', 'prompt'];
  // The focus order wraps: from the header's first element to the input field.
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
  // The announcement is the model's text; the page shows it as Markdown.
  expect(words((await told.jsonValue())[0] ?? '').slice(0, 3)).toBe(words(text).slice(0, 3));
  expect(
    await page
      .locator('#messages')
      .evaluate((list) => list.closest('[aria-live]') ?? list.querySelector('[aria-live]')),
  ).toBeNull();
});

restOnly(() => {
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
});

it('shows measurements beside the chat, on a phone as a line that opens, and keeps the choice; details on demand', async () => {
  const context = await opened.browser.newContext({ viewport: NARROW });
  const own = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  await own.loaded();
  await own.setMaxTokens(16);
  await own.ask('Hello.');
  const [panel, toggle] = [
    own.page.getByRole('complementary', { name: 'Measurements' }),
    own.page.getByRole('button', { name: 'Measurements' }),
  ];
  const state = async (): Promise<[boolean, string | null]> => [
    await panel.isVisible(),
    await toggle.getAttribute('aria-expanded'),
  ];
  expect(await state()).toEqual([false, 'false']);
  expect(await own.read('readouts-line')).toMatch(/^[\d.]+ tokens\/s · [\d.]+ MB$/);
  await own.page.setViewportSize(WIDE);
  await expect.poll(state).toEqual([true, 'true']);
  expect(await own.page.getByTestId('readouts-line').isVisible()).toBe(false); // nothing appears twice
  await toggle.click();
  expect(await state()).toEqual([false, 'false']);
  const measured = own.answers.last().getByText('16 tokens');
  expect(await measured.isVisible()).toBe(false);
  expect(await own.answers.last().getByText('Cut at the longest answer', { exact: true }).isVisible()).toBe(true);
  await own.openDetails();
  expect(await measured.innerText()).toMatch(/^16 tokens · first token after [\d.]+ m?s · [\d.]+ tokens\/s · /);

  const again = async (): Promise<void> => {
    await own.page.goto(opened.server.url('missing.gguf')); // the choice needs no model
    await own.page.getByTestId('load-error').waitFor();
  };
  await again();
  expect(await state()).toEqual([false, 'false']);
  await own.page.setViewportSize(NARROW);
  await toggle.click();
  await again();
  expect(await state()).toEqual([true, 'true']);
  await own.close();
});

it('is light or dark like the system or as chosen, before the page’s modules run', async () => {
  const context = await opened.browser.newContext({ colorScheme: 'dark', serviceWorkers: 'block' });
  const own = await DemoPage.openIn(context, opened.server.url('missing.gguf'));
  await own.page.getByTestId('load-error').waitFor();
  const ground = (): Promise<string> => own.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [light, dark] = ['rgb(251, 250, 248)', 'rgb(22, 22, 21)'];
  expect(await ground()).toBe(dark);
  await own.page.emulateMedia({ colorScheme: 'light' });
  await expect.poll(ground).toBe(light);
  await own.setChoices({ Theme: 'dark' });
  expect(await ground()).toBe(dark);
  await context.route('**/assets/*.js', (route) => route.abort());
  await own.page.reload();
  expect(await ground()).toBe(dark);
  await context.unroute('**/assets/*.js');
  await own.page.reload();
  await own.page.getByTestId('load-error').waitFor();
  await own.setChoices({ Theme: '' });
  expect(await ground()).toBe(light);
  await own.close();
});

it('shows common settings at once, the others under Advanced, and resets all on demand', async () => {
  const open = async (): Promise<void> => {
    await page.goto(opened.server.url('missing.gguf')); // the settings need no model
    await page.getByTestId('load-error').waitFor();
  };
  await open();
  await page.getByRole('button', { name: 'Settings' }).click();
  const seen = async (name: string): Promise<boolean> => page.getByLabel(name, { exact: true }).isVisible();
  const basic = ['System prompt', 'Temperature', 'Longest answer, in tokens', 'Theme'];
  expect(await Promise.all(basic.map(seen))).toEqual(basic.map(() => true));
  expect(await seen('Top-p')).toBe(false);
  await page.getByText('Advanced', { exact: true }).click();
  expect(await seen('Top-p')).toBe(true);
  const values = (): Promise<string[]> =>
    page
      .locator('#settings :is(input, select, textarea)')
      .evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value));
  await page.getByLabel('System prompt').fill('Be brief.');
  await page.getByRole('button', { name: 'Reset' }).click();
  const first = await values();
  expect(first[0]).toBe('Be brief.'); // the system prompt stays
  await page.getByRole('slider', { name: 'Temperature' }).fill('1.5');
  await page.getByLabel('Seed').fill('7');
  await page.getByLabel('KV cache', { exact: true }).selectOption('q4');
  await page.getByLabel('Theme').selectOption('dark');
  expect(await values()).not.toEqual(first);
  await page.getByRole('button', { name: 'Reset' }).click();
  expect(await values()).toEqual(first);
  await page.getByLabel('System prompt').fill('');
  await page.getByRole('button', { name: 'Done' }).click();
  await open();
  expect(await values()).toEqual(['', ...first.slice(1)]);
  await demo.setMaxTokens(16);
});

it('sends the sampling settings, and keeps them', async () => {
  await demo.openSettings();
  await page.getByRole('slider', { name: 'Min-p' }).fill('0.1');
  await page.getByLabel('Top-k').fill('7');
  await page.getByLabel('Seed').fill('42');
  await page.getByRole('button', { name: 'Done' }).click();
  await page.goto(opened.server.url('tiny.gguf'));
  await demo.loaded();
  const sent = await demo.sentToWorkers();
  await demo.ask('Hello.');
  const text = JSON.stringify(await sent.jsonValue());
  const sampling = ['"temperature":0,', '"topK":7', '"topP":0.9', '"minP":0.1', '"presencePenalty":1.5', '"seed":42'];
  for (const field of sampling) expect(text).toContain(field);
});

restOnly(() => {
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

restOnly(() => {
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
    await expectAccessible('failure, and a model that answers');
    expect((await demo.ask('Are you still there?')).note).toContain('16 tokens'); // the open model still answers
    await demo.typeModel('models/missing.gguf');
    await page.getByTestId('load-error').waitFor();
    await page.getByRole('button', { name: 'Choose a model' }).click();
    await tiny.getByRole('button', { name: 'Use tiny' }).click();
    await page.locator('#failure').waitFor({ state: 'hidden' });
    await demo.loaded();
    expect((await demo.ask('And again.')).note).toContain('16 tokens');
  });
});

it('asks before it opens a linked model, with the host in Punycode, by keyboard and on a phone too', async () => {
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
  await expectAccessible('offer, and a prompt that waits', [...byTier([NARROW], [WIDE, NARROW])]);
  await page.setViewportSize(NARROW);
  for (const button of [accept, decline]) expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44);
  await page.setViewportSize(WIDE);
  await page.keyboard.press('Escape'); // closes the prompt, not the question
  expect(await demo.prompt.inputValue()).toBe('Hello?');
  expect(await accept.isVisible()).toBe(true);
});

it('never violated its Content-Security-Policy, and violations would be seen', async () => {
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
