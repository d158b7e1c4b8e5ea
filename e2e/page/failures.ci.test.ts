import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright';
import { beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM_FOLDER } from '../../tools/setup/system.ts';
import { encoderFolder, encoderGguf } from '../../tests/support/models/encoder-folder.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { GpuKiller, launchMany } from '../support/gpu-killer.ts';
import { outOfSightAnywhere, PHONE } from '../support/in-sight.ts';
import { openForTests } from '../support/open-for-tests.ts';

/** Texts and buttons of a failure. */
const FAILURE = '#failure, #failure-title, #failure-advice, #failure-current, #failure button, #failure label';
/** A model of an unsupported architecture. */
const OTHER_KIND = 'other-kind.gguf';

const opened = openForTests(serveDemo);
const fileOf = (name: string): string => join(opened.server.folder, name);
beforeAll(() => {
  const metadata = { 'general.architecture': 'mamba' };
  writeFileSync(fileOf(OTHER_KIND), tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, metadata }));
});

const titleOf = ({ page }: DemoPage): Promise<string> => page.locator('#failure-title').innerText();

/** The page's failure when it cannot load the model; all of it must be in sight. */
async function failureOf(demo: DemoPage): Promise<{ title: string; detail: string }> {
  await demo.page.getByTestId('load-error').waitFor();
  expect(await demo.page.getByTestId('send').isDisabled()).toBe(true);
  expect(await outOfSightAnywhere(demo.page, FAILURE)).toEqual([]);
  return { title: await titleOf(demo), detail: await demo.read('load-error') };
}

describe('a model that cannot be loaded', () => {
  it.each([
    ['missing.gguf', 'The model was not found', /^network – .*missing\.gguf: status 404$/],
    ['half-00001-of-00002.gguf', 'The model was not found', /^network – .*half-00002-of-\d+\.gguf: status 404$/],
    ['garbage.gguf', 'This file is not a model', /^bad_file – .*garbage\.gguf: magic: not a GGUF/],
  ])('%s', async (model, title, detail) => {
    const demo = await DemoPage.open(opened.browser, opened.server.url(model));
    const failure = await failureOf(demo);
    expect(failure.title).toBe(title);
    expect(failure.detail).toMatch(detail);
    await demo.close();
  });
});

it('shows the progress of loading in sight, even before the page’s modules run', async () => {
  const context = await opened.browser.newContext({ viewport: PHONE, serviceWorkers: 'block' });
  await context.route('**/assets/*.js', (route) => route.abort());
  const demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  const { page } = demo;
  const loading = '#loading, #loading-title, #progress';
  expect(await page.locator('#loading').innerText()).toBe('Starting');
  expect(await outOfSightAnywhere(page, loading)).toEqual([]);
  await context.unroute('**/assets/*.js');
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  await context.route('**/models/tiny.gguf', async (route) => {
    await held;
    await route.continue();
  });
  await page.reload();
  await page.getByText('Checking the model').waitFor();
  expect(await outOfSightAnywhere(page, loading)).toEqual([]);
  letGo();
  await demo.loaded();
  await context.close();
});

it('opens a file after a failure, and keeps it when the next one fails or is an encoder, and names the failure', async () => {
  const [encoder] = await encoderGguf(encoderFolder());
  writeFileSync(fileOf('encoder.gguf'), await encoder!.read(0, encoder!.size));
  const demo = await DemoPage.open(opened.browser, opened.server.url('missing.gguf'));
  const { page } = demo;
  await page.locator('#failure').waitFor();
  // A file from disk gets the page going.
  await page.getByLabel('Open a GGUF file').setInputFiles(fileOf('tiny.gguf'));
  await page.locator('#failure').waitFor({ state: 'hidden' });
  await demo.loaded();
  await demo.setMaxTokens(3);
  const answersStill = async (title: string): Promise<void> => {
    await page.getByText(title, { exact: true }).waitFor();
    expect(await demo.read('failure-current')).toBe('tiny still answers.');
    expect(await outOfSightAnywhere(page, FAILURE)).toEqual([]);
    expect((await demo.ask('Are you still there?')).note).toContain('3 tokens');
    expect(await page.locator('#failure').isVisible()).toBe(false);
  };
  await demo.openFiles(fileOf('garbage.gguf'));
  await answersStill('This file is not a model');
  for (const file of [OTHER_KIND, 'encoder.gguf']) {
    await demo.openFiles(fileOf(file));
    await answersStill('This kind of model is not supported');
  }
  await demo.typeModel('models/missing.gguf');
  await answersStill('The model was not found');
  await demo.typeModel('models/pytorch_model.bin');
  await answersStill('This type of file is not supported');
  await demo.typeModel('https://');
  await answersStill('This is not the address of a model');

  await demo.openFiles(fileOf('garbage.gguf'));
  await page.getByRole('button', { name: 'Dismiss', exact: true }).click();
  expect(await page.locator('#failure').isVisible()).toBe(false);
  expect(await page.locator('#model').innerText()).toBe('tiny');
  await demo.close();
});

it('reopens the previous model when the next one fails and there was no room for both', async () => {
  const context = await opened.browser.newContext();
  await context.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, 'deviceMemory', { value: 0.001 }); // GiB
  });
  const demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
  const { page } = demo;
  await demo.loaded();
  await demo.setMaxTokens(3000);
  await demo.sendAndSee('Tell me a long story.');
  await demo.openFiles(fileOf('garbage.gguf'));
  await page.getByText('This file is not a model', { exact: true }).waitFor();
  expect((await demo.answered()).note).toBe('Stopped');
  await demo.setMaxTokens(3);
  await demo.send('Are you there again?'); // it waits if necessary
  expect(await demo.answers.count()).toBe(2);
  expect((await demo.answered()).note).toContain('3 tokens');
  await demo.openFiles(fileOf('garbage.gguf'));
  await page.getByText('tiny answers again.').waitFor();
  expect(await titleOf(demo)).toBe('This file is not a model');
  expect(await outOfSightAnywhere(page, FAILURE)).toEqual([]);
  await context.close();
});

it('opens a model after the previous one ends if the GPU is lost with both', async () => {
  const own = await launchMany();
  const killer = await GpuKiller.start(own);
  try {
    const context = await own.newContext();
    await killer.prepare(context);
    const demo = await DemoPage.openIn(context, opened.server.url('tiny.gguf'));
    const { page } = demo;
    await demo.loaded();
    await demo.setMaxTokens(3);
    await page.evaluate(() => (globalThis.armedAtStart = { call: 'createBuffer', count: 8 }));
    killer.before = () => page.evaluate(() => (globalThis.armedAtStart = undefined));
    writeFileSync(fileOf('second.gguf'), tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 2, neverEnds: true }));
    await demo.openFiles(fileOf('second.gguf'));
    await demo.loaded();
    expect(killer.kills).toBe(1);
    expect(await page.locator('#model').innerText()).toBe('second');
    expect((await demo.ask('Are you there?')).note).toContain('3 tokens');
  } finally {
    await own.close();
    await killer.close();
  }
});

it('says what is missing and what to do without a GPU or without permission to use it', async () => {
  const plain = await chromium.launch({
    executablePath: join(CHROMIUM_FOLDER, 'chromium'),
    args: [
      '--no-sandbox',
      '--no-first-run',
      '--disable-gpu',
      '--disable-blink-features=WebGPU',
      '--host-resolver-rules=MAP insecure.test localhost',
    ],
  });
  try {
    const url = opened.server.url('tiny.gguf');
    const without = await DemoPage.open(plain, url);
    const failure = await failureOf(without);
    expect(failure.title).toBe('The browser finds no GPU here');
    expect(await without.page.locator('#failure-advice').innerText()).toContain('Switch on hardware acceleration');
    expect(failure.detail).toMatch(/^no_webgpu – /);
    // No other model would help, and no example can be sent.
    for (const name of ['Choose a model', 'Open a GGUF file', 'Explain how rainbows form, in three sentences.'])
      expect(await without.page.getByText(name, { exact: true }).isVisible()).toBe(false);
    const insecure = await failureOf(await DemoPage.open(plain, url.replace('localhost', 'insecure.test')));
    expect(insecure.title).toBe('WebGPU is missing because this page is not secure');
    expect(insecure.detail).toBe('no_webgpu – WebGPU needs a secure page: https, or localhost');
  } finally {
    await plain.close();
  }
});
