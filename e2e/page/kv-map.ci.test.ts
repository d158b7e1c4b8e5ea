import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DEFAULT_KV_ERROR_BUDGET } from '../../src/cache/policy.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { launchBrowser } from '../support/browser.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { openForTests } from '../support/open-for-tests.ts';

/** About twelve pages of 32 tokens. */
const PROMPT = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(7);

/** More pages than the policy needs to measure layers, and a sparse cache to measure entries. */
const LONG_PROMPT = PROMPT.repeat(2);

const opened = openForTests(serveDemo);

async function open(browser = opened.browser, model = 'tiny.gguf'): Promise<DemoPage> {
  const demo = await DemoPage.open(browser, opened.server.url(model));
  await demo.loaded();
  await demo.setMaxTokens(36);
  return demo;
}

/** The map's text: pages by form, and bytes. */
async function mapOf({ page }: DemoPage) {
  const map = page.getByTestId('kv-map');
  const legend = map.locator('[data-form]');
  const counts = await legend.evaluateAll((items) =>
    Object.fromEntries(
      items.map((item) => [
        (item as HTMLElement).dataset['form'] ?? '',
        Number((item as HTMLElement).dataset['count']),
      ]),
    ),
  );
  return {
    counts,
    bytes: Number(await map.getAttribute('data-bytes')),
    label: await map.getByRole('img').getAttribute('aria-label'),
    legend: await legend.allInnerTexts(),
  };
}

/** Colours of the map's pages in its middle row, in order, without repetitions. */
const paintedRow = ({ page }: DemoPage) =>
  page.locator('#kv-map-canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext('2d')!.getImageData(0, Math.floor(canvas.height / 2) + 1, canvas.width, 1);
    const colors = Array.from({ length: canvas.width }, (_, x) => data.slice(4 * x, 4 * x + 4).join(' ')).filter(
      (color) => !color.endsWith(' 0'),
    );
    return colors.filter((color, i) => color !== colors[i - 1]);
  });

/** The byte counts that an element shows over time. */
const bytesSeen = ({ page }: DemoPage, testId: string) =>
  page.getByTestId(testId).evaluateHandle((element: HTMLElement) => {
    const told: number[] = [];
    const look = (): void => {
      const bytes = Number(element.dataset['bytes']);
      if (bytes !== told.at(-1)) told.push(bytes);
    };
    new MutationObserver(look).observe(element, { attributeFilter: ['data-bytes'] });
    return told;
  });

const isFewer = (bytes: number, i: number, all: readonly number[]): boolean => bytes < (all[i - 1] ?? 0);

it('shows every page in 16 bits with the dense cache, fewer bytes with q4, and sparse pages with sparse', async () => {
  const seen = [];
  for (const kv of ['dense', 'q4', 'sparse']) {
    const demo = await open();
    await demo.setChoices({ 'KV cache': kv });
    const map = demo.page.getByTestId('kv-map');
    expect(await map.isVisible()).toBe(false);
    const memory = await bytesSeen(demo, 'memory-kv');
    const shown = await bytesSeen(demo, 'kv-map');
    const { note } = await demo.ask(LONG_PROMPT);
    expect((await shown.jsonValue()).some(isFewer)).toBe(kv !== 'dense');
    // It updates during prefill; slots of shrunk pages are refilled before the buffers shrink.
    expect((await memory.jsonValue()).length).toBeGreaterThan(2);
    expect(await map.isVisible()).toBe(true);
    seen.push({ ...(await mapOf(demo)), note, memory: await demo.bytes('kv'), row: await paintedRow(demo) });
    await demo.page.getByRole('button', { name: 'New chat' }).click();
    await map.waitFor({ state: 'hidden' });
    await demo.close();
  }
  const [dense, q4, sparse] = seen as [(typeof seen)[0], (typeof seen)[0], (typeof seen)[0]];
  const { f16 = 0 } = dense.counts;
  expect(f16).toBeGreaterThan(12 * 10);
  expect(dense).toMatchObject({ counts: { f16 }, label: expect.stringContaining(`${f16} in f16`) as string });
  // The first page and at most two at the end.
  expect(q4.counts['f16']).toBeLessThanOrEqual(12 * 3);
  expect(q4.counts).toEqual({ f16: q4.counts['f16'], q4: f16 - (q4.counts['f16'] ?? 0) });
  expect(q4.label).toContain(`${q4.counts['q4']} in q4`);
  expect(dense.row).toHaveLength(1);
  expect(q4.row).toEqual([dense.row[0], q4.row[1], dense.row[0]]);
  // At 4.41 bits per element with about three pages in 16 bits; buffers keep some room to grow.
  expect(q4.bytes).toBeLessThan(0.55 * dense.bytes);
  expect(q4.memory).toBeLessThan(dense.memory - 0.5 * (dense.bytes - q4.bytes));
  const { f16: whole = 0, k3v2 = 0, sparse: given = 0 } = sparse.counts;
  expect(sparse.counts).toEqual({ f16: whole, k3v2, sparse: given });
  expect(whole + k3v2 + given).toBe(f16);
  expect(given).toBeGreaterThan(0);
  expect(sparse.legend).toContain(`sparse ${given}`);
  expect(sparse.label).toContain(`${given} sparse`);
  expect(sparse.bytes).toBeLessThan(q4.bytes);
  const noted = /KV cache ([\d.]+) [kM]B/;
  expect(Number(noted.exec(q4.note)?.[1])).toBeCloseTo(q4.bytes / (q4.note.includes(' MB') ? 1e6 : 1e3), 1);
});

it('answers with a model that supports only 16 bits, and refuses other forms', async () => {
  const keeps = tinyModel({
    architecture: 'gemma4',
    type: 'Q4_0',
    seed: 1,
    numLayers: 6,
    hiddenSize: 64,
    intermediateSize: 96,
    headDim: 32,
    contextLength: 4096,
    neverEnds: true,
  });
  writeFileSync(join(opened.server.folder, 'keeps.gguf'), keeps);
  const demo = await open(opened.browser, 'keeps.gguf');
  expect((await demo.ask(PROMPT)).note).toMatch(/^Cut at the longest answer · 36 tokens/);
  const { counts } = await mapOf(demo);
  expect(counts).toEqual({ f16: counts['f16'] });
  await demo.setChoices({ 'KV cache': 'q4' });
  await demo.send(PROMPT);
  expect(await demo.read('message-error')).toContain('keeps keys and values in f16');
  await demo.close();
});

it('follows the error budget on SwiftShader too: none shrinks at 0, more with larger budgets', async () => {
  const shallow = tinyModel({
    architecture: 'llama',
    type: 'Q4_0',
    seed: 1,
    numLayers: 4,
    contextLength: 4096,
    neverEnds: true,
  });
  writeFileSync(join(opened.server.folder, 'shallow.gguf'), shallow);
  const own = await launchBrowser('swiftshader');
  onTestFinished(() => own.close());
  const demo = await open(own, 'shallow.gguf');
  const bytes: number[] = [];
  for (const budget of [0, 0.05, 4]) {
    await demo.setSlider('Error budget of the cache', budget);
    const steps = await bytesSeen(demo, 'kv-map');
    await demo.ask(LONG_PROMPT);
    const told = await steps.jsonValue();
    expect(told.length).toBeGreaterThan(3);
    // It shrinks visibly, and is not just small at the end.
    expect(told.some(isFewer)).toBe(budget > 0);
    const map = await mapOf(demo);
    expect(Object.keys(map.counts).length > 1).toBe(budget > 0);
    bytes.push(map.bytes);
    await demo.page.getByRole('button', { name: 'New chat' }).click();
  }
  expect(bytes).toEqual([...bytes].sort((a, b) => b - a));
  expect(bytes[1]).toBeLessThan(bytes[0] ?? 0);
  expect(bytes[2]).toBeLessThan(0.9 * (bytes[1] ?? 0));
  await demo.close();
});

it('sends the budgets with the request, and keeps them across visits', async () => {
  const demo = await open();
  const asked = async () => {
    const sent = await demo.sentToWorkers();
    await demo.ask('Hello.');
    const call = JSON.stringify(await sent.jsonValue());
    return Object.fromEntries(
      [...call.matchAll(/"(kv\w*)":("\w+"|[\d.]+)/g)].map(([, name, value]) => [
        name,
        JSON.parse(value ?? '') as unknown,
      ]),
    ) as Record<string, unknown>;
  };
  expect(await asked()).toEqual({ kv: 'policy', kvErrorBudget: DEFAULT_KV_ERROR_BUDGET });
  await demo.setSlider('Error budget of the cache', 0.25);
  await demo.setSlider('Memory budget of the cache', 7);
  await demo.setChoices({ 'If both cannot hold': 'memory' });
  const budgets = { kv: 'policy', kvErrorBudget: 0.25, kvMemoryBudget: 7_000_000, kvPriority: 'memory' };
  expect(await asked()).toEqual(budgets);
  await demo.page.reload();
  await demo.loaded();
  expect(await asked()).toEqual(budgets);
  await demo.setChoices({ 'KV cache': 'sparse' });
  expect(await asked()).toEqual({ kv: 'sparse', kvMemoryBudget: 7_000_000 });
  // Of the budgets, it has that of memory alone.
  await demo.openSettings();
  for (const name of ['Error budget of the cache', 'Memory budget of the cache'])
    expect(await demo.page.getByLabel(name, { exact: true }).isVisible()).toBe(name.startsWith('Memory'));
  expect(await demo.page.getByLabel('If both cannot hold', { exact: true }).isVisible()).toBe(false);
  await demo.page.getByRole('button', { name: 'Done' }).click();
  await demo.setChoices({ 'KV cache': 'q8' });
  expect(await asked()).toEqual({ kv: 'q8' });
  await demo.close();
});
