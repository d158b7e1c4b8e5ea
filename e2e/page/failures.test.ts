import { join } from 'node:path';
import { chromium } from 'playwright';
import { describe, expect, it } from 'vitest';
import { CHROMIUM_FOLDER } from '../../tools/setup/system.ts';
import { launchBrowser } from '../support/browser.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { openForTests } from '../support/open-for-tests.ts';

const opened = openForTests(serveDemo);

/** What the page says when it cannot load the model. */
async function failureOf(demo: DemoPage): Promise<{ title: string; detail: string }> {
  await demo.page.getByTestId('load-error').waitFor();
  expect(await demo.page.getByTestId('send').isDisabled()).toBe(true);
  return { title: await demo.page.locator('#failure-title').innerText(), detail: await demo.read('load-error') };
}

describe('a model that cannot be loaded', () => {
  it.each([
    ['missing.gguf', 'The model could not be downloaded', /^network – .*missing\.gguf: status 404$/],
    [
      'half-00001-of-00002.gguf',
      'The model could not be downloaded',
      /^network – .*half-00002-of-\d+\.gguf: status 404$/,
    ],
    ['garbage.gguf', 'This file is not a model that can be read', /^bad_file – .*garbage\.gguf: magic: not a GGUF/],
  ])('%s', async (model, title, detail) => {
    const demo = await DemoPage.open(opened.browser, opened.server.url(model));
    const failure = await failureOf(demo);
    expect(failure.title).toBe(title);
    expect(failure.detail).toMatch(detail);
    // A file from the disk gets the page going.
    await demo.page.getByLabel('Open a GGUF file').setInputFiles(join(opened.server.folder, 'tiny.gguf'));
    await demo.page.locator('#failure').waitFor({ state: 'hidden' });
    await demo.loaded();
    await demo.setMaxTokens(3);
    expect((await demo.ask('Hello')).note).toContain('3 tokens');
    await demo.close();
  });
});

it('says so when the browser has no WebGPU, or the page may not use it', async () => {
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
    const demo = await failureOf(await DemoPage.open(plain, url));
    expect(demo.title).toBe('This browser has no WebGPU here');
    expect(demo.detail).toMatch(/^no_webgpu – /);
    const insecure = await failureOf(await DemoPage.open(plain, url.replace('localhost', 'insecure.test')));
    expect(insecure.detail).toBe('no_webgpu – WebGPU needs a secure page: https, or localhost');
  } finally {
    await plain.close();
  }
});

it('tells of a lost device in the middle of an answer, and answers the next question', async () => {
  const own = await launchBrowser('lavapipe'); // a browser takes two crashes of its GPU process at most
  try {
    const demo = await DemoPage.open(own, opened.server.url('tiny.gguf'));
    await demo.loaded();
    await demo.setMaxTokens(400);
    await demo.sendAndSee('Tell me a long story.');
    const session = await own.newBrowserCDPSession();
    await session.send('Browser.crashGpuProcess').catch(() => undefined); // its answer may be lost with the process
    const error = demo.page.getByTestId('message-error');
    await error.waitFor();
    expect(await error.innerText()).toContain('The GPU stopped working');
    expect(await error.innerText()).toContain('device_lost – ');
    expect((await demo.answers.last().locator('.text').textContent())?.length).toBeGreaterThan(5);
    await demo.setMaxTokens(4);
    expect((await demo.ask('Go on.')).note).toContain('4 tokens');
  } finally {
    await own.close();
  }
});
