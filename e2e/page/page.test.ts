import type { Page } from 'playwright';
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
  const context = await opened.browser.newContext({ viewport: WIDE });
  violations = await watchViolations(context);
  demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  page = demo.page;
  await demo.loaded();
  await demo.setMaxTokens(16);
});

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
  expect(await accessibilityFaults(page, [NARROW])).toEqual([]);
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
