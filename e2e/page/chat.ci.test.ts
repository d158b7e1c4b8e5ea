import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { longestTask, mainThreadTasks } from '../support/main-thread.ts';
import { openForTests } from '../support/open-for-tests.ts';

const LONGEST_TASK_MS = 50;

const opened = openForTests(serveDemo);

it('answers with the real model, streaming, and reuses the first turn in the second', async () => {
  const demo = await DemoPage.open(opened.browser, opened.server.url());
  await demo.loaded();
  await demo.setMaxTokens(16);
  const lengths = new Set<number>();
  const rates = new Set<string>();
  await demo.send('Write a long story about a lighthouse.');
  while (await demo.stop.isVisible()) {
    lengths.add((await demo.answers.last().locator('.text').innerText()).length);
    rates.add(await demo.read('tokens-per-second'));
    await demo.page.waitForTimeout(50);
  }
  await demo.answered();
  expect(lengths.size).toBeGreaterThan(2);
  expect(rates.size).toBeGreaterThan(2);
  expect(await demo.read('ttft')).toMatch(/^[\d.]+ m?s$/);
  expect(await demo.read('tokens-per-second')).toMatch(/^[\d.]+ tokens\/s$/);

  const { text, note } = await demo.ask('What is the capital of France? Answer in one word.');
  expect(text).toContain('Paris');
  const [, reused, prompt] = /([\d,]+) of ([\d,]+) prompt tokens reused/.exec(note) ?? [];
  expect(Number(reused)).toBeGreaterThan(20);
  expect(Number(reused)).toBeLessThan(Number(prompt));
  await demo.close();
});

describe('by the tiny model', () => {
  let demo: DemoPage;
  beforeAll(async () => {
    demo = await DemoPage.open(opened.browser, opened.server.url('tiny.gguf'));
    await demo.loaded();
  });
  afterAll(() => demo.close());
  afterEach(() => demo.page.getByRole('button', { name: 'New chat' }).click());

  it('uses memory only for its cache, and shows it', async () => {
    const fixed = () =>
      Promise.all(['weights', 'activations', 'staging', 'adapters'].map((category) => demo.bytes(category)));
    const before = await fixed();
    const kvBefore = await demo.bytes('kv');
    expect(await demo.bytes()).toBeGreaterThan(700_000);
    await demo.setMaxTokens(40);
    await demo.ask('One.');
    await demo.ask('Two.');
    await demo.page.getByRole('button', { name: 'New chat' }).click();
    expect(await demo.answers.count()).toBe(0);
    expect(await fixed()).toEqual(before);
    expect(await demo.bytes('kv')).toBeGreaterThan(kvBefore);
    expect(before.reduce((sum, part) => sum + part) + (await demo.bytes('kv'))).toBe(await demo.bytes());
  });

  it('stops within a step and keeps the text; the next question is answered', async () => {
    await demo.setMaxTokens(300);
    await demo.sendAndSee('Tell me a long story.');
    const used = () => demo.page.locator('#context-meter').getAttribute('aria-valuenow').then(Number);
    // Right after a frame, when the drawn number is that of the last token.
    const usedAtStop = await demo.stop.evaluate(async (button: HTMLButtonElement) => {
      await new Promise(requestAnimationFrame);
      await new Promise((resolve) => setTimeout(resolve));
      const drawn = Number(document.getElementById('context-meter')?.ariaValueNow);
      button.click();
      return drawn;
    });
    const stopped = await demo.answered();
    expect(stopped.note).toBe('Stopped');
    expect(stopped.text.length).toBeGreaterThan(5);
    // The worker may be ahead by the stream's window of four tokens and its current step; nothing more follows.
    const usedAfter = await used();
    expect(usedAfter - usedAtStop).toBeLessThanOrEqual(5);
    await demo.page.waitForTimeout(300);
    expect(await used()).toBe(usedAfter);
    expect(await demo.answers.last().locator('.text').innerText()).toBe(stopped.text);
    await demo.setMaxTokens(5);
    expect((await demo.ask('Go on.')).note).toContain('5 tokens');
  });

  it('has no main-thread task above 50 ms of CPU time while it answers', async () => {
    await demo.setMaxTokens(100);
    await demo.ask('Warm up.');
    const longest = await longestTask(demo.page, LONGEST_TASK_MS, async () => {
      await demo.ask('Tell me a long story.');
    });
    expect(longest).toBeLessThan(LONGEST_TASK_MS);
    // Proof that a long task would be seen. Its length is a count of steps, because the measure is CPU time: under
    // load a thread may get a seventh of the time.
    const busy = await mainThreadTasks(demo.page, async () => {
      await demo.page.evaluate(() => {
        let sum = 0;
        for (let step = 0; step < 2e8; step++) sum = (sum * 31 + step) % 65521;
        return sum;
      });
    });
    expect(busy[0]).toBeGreaterThan(LONGEST_TASK_MS);
  });
});
