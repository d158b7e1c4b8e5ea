import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { longestTask } from '../support/main-thread.ts';
import { openForTests } from '../support/open-for-tests.ts';

const QUESTION = 'The sea, the sea, the sea, the sea; then 1868 lamps of Grey Skerry: who lit them?';
const TOKENS = 16;

const opened = openForTests(serveDemo);
let demo: DemoPage;
/** GPU bytes of adapters when none is loaded. */
let withoutAdapter: number;
beforeAll(async () => {
  demo = await DemoPage.open(opened.browser, opened.server.url('tiny.gguf'));
  await demo.loaded();
  // With a policy, a repeated question reuses pages that have shrunk since, so its answer may differ.
  await demo.setChoices({ 'KV cache': 'dense' });
  withoutAdapter = await demo.bytes('adapters');
  return () => demo.close();
});
beforeEach(async () => {
  await demo.setMaxTokens(TOKENS);
  await unload();
});

const adapterFile = (name: string): string => join(opened.server.adapters, 'shakespeare', name);
const PEFT = ['adapter_config.json', 'adapter_model.safetensors'];

/** The answer in a new chat. */
async function fresh(): Promise<string> {
  await demo.page.getByRole('button', { name: 'New chat' }).click();
  const { text, note } = await demo.ask(QUESTION);
  expect(note).toContain(`${TOKENS} tokens`);
  return text;
}

async function openOwn(files: Parameters<ReturnType<typeof demo.page.locator>['setInputFiles']>[0]): Promise<void> {
  await demo.page.getByTestId('adapter-select').selectOption('own');
  await demo.page.locator('#adapter-files').setInputFiles(files);
  await demo.adapterSettled();
}

async function unload(): Promise<void> {
  const button = demo.page.getByRole('button', { name: 'Unload' });
  if (await button.isVisible()) await button.click();
  await expect.poll(() => demo.bytes('adapters')).toBe(withoutAdapter);
}

it('answers with an adapter of the page, shows its ranks in the text, and equals the base model without it', async () => {
  const plain = await fresh();
  expect(await demo.page.getByTestId('rank-strip').count()).toBe(0);

  await demo.chooseAdapter('shakespeare');
  expect(await demo.page.locator('#adapter-select option:checked').innerText()).toBe(
    'Shakespeare: writes like the plays',
  );
  const facts = demo.page.getByTestId('adapter-facts');
  expect(await facts.isVisible()).toBe(false);
  await demo.page.getByRole('button', { name: 'Details of the adapter' }).click();
  expect(await facts.isVisible()).toBe(true);
  expect(await facts.innerText()).toMatch(/^Rank 8 · 84 matrices · [\d.]+ [kM]B$/);
  expect(await demo.bytes('adapters')).toBeGreaterThan(100_000);
  await demo.page.getByRole('button', { name: 'Example' }).click();
  expect(await demo.prompt.inputValue()).toMatch(/SAILOR:$/);
  expect(await fresh()).not.toBe(plain);

  const strip = demo.page.getByTestId('rank-strip');
  expect(await strip.isVisible()).toBe(false);
  await demo.openDetails();
  expect(await strip.locator('.rank-text').first().isVisible()).toBe(false);
  await strip.locator('summary').click();
  const levels = strip.locator('.rank-text .rank-token');
  await levels.first().waitFor();
  const drawn = await levels.evaluateAll((tokens) => tokens.map((token) => token.dataset['level'] ?? ''));
  expect(new Set(drawn).size).toBeGreaterThan(1);
  expect(await levels.first().getAttribute('title')).toMatch(/^Mean rank [\d.]+ \(level \d\), complexity [01]\.\d\d$/);
  const ladder = await strip.locator('.rank-legend li').allInnerTexts();
  expect(ladder.map(Number)).toEqual(ladder.map(Number).sort((a, b) => a - b));
  expect(ladder.at(-1)).toBe('8');
  const answer = (await strip.locator('.rank-text').last().innerText()).replaceAll('↵\n', '\n');
  expect(answer).toContain((await demo.answers.last().locator('.text').innerText()).slice(-5));
  const meanRank = Number(await demo.read('mean-rank'));
  expect(meanRank).toBeGreaterThanOrEqual(Number(ladder[0]));
  expect(meanRank).toBeLessThan(8);
  expect(await strip.locator('summary').innerText()).toContain(`mean ${meanRank}`);
  expect(await strip.locator('.rank-figure').count()).toBe(Number(await demo.read('chunk-count')));

  await demo.setChoices({ 'Ranks of an adapter': 'uniform' });
  await fresh();
  expect(await demo.read('mean-rank')).toBe('8');

  await demo.chooseAdapter('none');
  expect(await fresh()).toBe(plain);
  expect(await demo.page.getByTestId('mean-rank').isVisible()).toBe(false);
  await demo.chooseAdapter('shakespeare');
  await unload();
  expect(await demo.page.getByTestId('adapter-select').inputValue()).toBe('none');
  await demo.setChoices({ 'Ranks of an adapter': 'chunkwise' });
});

it('draws ranks while it answers without a main-thread task above 50 ms of CPU time', async () => {
  await demo.chooseAdapter('shakespeare');
  await demo.setMaxTokens(150);
  const prompt = QUESTION.repeat(7); // more tokens than are drawn in one frame
  const longest = await longestTask(demo.page, 50, async () => {
    await demo.page.getByRole('button', { name: 'New chat' }).click();
    await demo.send(prompt);
    await demo.openDetails();
    await demo.page.getByTestId('rank-strip').locator('summary').click();
    await demo.answered();
  });
  expect(longest).toBeLessThan(50);
  expect(await demo.page.locator('.rank-text').first().locator('.rank-token').count()).toBeGreaterThan(250);
  expect(await demo.page.locator('.rank-text').last().locator('.rank-token').count()).toBeGreaterThan(100);
});

it('keeps the choice across visits', async () => {
  await demo.chooseAdapter('shakespeare');
  await demo.page.reload();
  await demo.loaded();
  await demo.page.locator('#adapter-unload').waitFor();
  expect(await demo.page.getByTestId('adapter-select').inputValue()).toBe('shakespeare');
});

it('loads the user’s own adapter: two PEFT files, a GGUF LoRA, an address, a dropped file; at scale 0 it changes nothing', async () => {
  const plain = await fresh();
  const bytes: number[] = [];
  const texts: string[] = [];
  const note = async (): Promise<void> => {
    await demo.page.locator('#adapter-unload').waitFor();
    bytes.push(await demo.bytes('adapters'));
    texts.push(await fresh());
  };
  await openOwn(PEFT.map(adapterFile));
  await note();
  await openOwn(adapterFile('adapter.gguf'));
  await note();
  await demo.page.locator('#adapter-url').fill('adapters/shakespeare');
  await demo.page.getByRole('button', { name: 'Load', exact: true }).click();
  await demo.adapterSettled();
  await note();
  const gguf = readFileSync(adapterFile('adapter.gguf')).toString('base64');
  const dataTransfer = await demo.page.evaluateHandle((base64) => {
    const dropped = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    dropped.items.add(new File([bytes], 'adapter.gguf'));
    return dropped;
  }, gguf);
  await demo.page.dispatchEvent('#prompt', 'drop', { dataTransfer });
  await demo.adapterSettled();
  await note();
  // Each replaced the previous one, and all are the same adapter.
  expect(new Set(bytes).size).toBe(1);
  expect(new Set(texts).size).toBe(1);
  expect(texts[0]).not.toBe(plain);
  await demo.setSlider('Scale of an adapter', 0);
  expect(await fresh()).toBe(plain);
});

it('names the file and the reason when an adapter is refused, and still answers without it', async () => {
  const refusals: string[] = [];
  const [total, weights] = [await demo.bytes(), readFileSync(adapterFile('adapter_model.safetensors'))];
  const file = (name: string, buffer: Buffer) => ({ name, mimeType: 'application/octet-stream', buffer });
  const config = file('adapter_config.json', readFileSync(adapterFile('adapter_config.json')));
  const refused = async (): Promise<void> => void refusals.push(await demo.read('adapter-error'));

  await openOwn([config, file('broken.safetensors', weights.subarray(0, weights.length / 2))]);
  await refused();
  await openOwn([config]);
  await refused();
  await demo.chooseAdapter('wikitext'); // the server lacks this folder
  await refused();
  expect(refusals[0]).toContain('This file is not an adapter that can be read.');
  expect(refusals[0]).toMatch(/bad_file – broken\.safetensors: /);
  expect(refusals[1]).toMatch(/bad_request – adapter_config\.json: adapter_model\.safetensors is missing/);
  expect(refusals[2]).toContain('The adapter could not be downloaded.');
  expect(refusals[2]).toMatch(/network – .*adapters\/wikitext\/\S+: status 404/);
  expect(await demo.bytes()).toBe(total);
  await fresh();
  expect(await demo.page.getByTestId('rank-strip').count()).toBe(0);
});
