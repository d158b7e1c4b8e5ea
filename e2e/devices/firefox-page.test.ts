import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sirv from 'sirv';
import { expect, it } from 'vitest';
import { closeServer } from '../../tests/support/close-server.ts';
import { scriptedModel } from '../../tests/support/models/scripted-model.ts';
import { launchFirefox } from '../support/firefox.ts';

/** The scripted model's prompt. */
const TEMPLATE = '{{ messages[-1].content }}';

it('reopens the page without its server and answers', async () => {
  const root = mkdtempSync(join(tmpdir(), 'chunkwise-firefox-'));
  cpSync(fileURLToPath(new URL('../../dist-demo/', import.meta.url)), root, { recursive: true });
  mkdirSync(join(root, 'models'), { recursive: true });
  writeFileSync(join(root, 'models/scripted.gguf'), scriptedModel({ '!': ['Good day,', ' sea.'] }, TEMPLATE));
  const serve = sirv(root, { dev: true });
  const host = createServer((request, response) => serve(request, response));
  await new Promise<void>((resolve) => host.listen(0, 'localhost', resolve));
  const firefox = await launchFirefox();
  const demo = await firefox.newPage();
  demo.setDefaultTimeout(180_000); // the page autotunes first, which compiles every candidate
  /** The page keeps the prompt until its model is open. */
  const ask = async (prompt: string): Promise<string | undefined> => {
    await demo.waitForSelector('#prompt');
    await demo.type('#prompt', prompt);
    await demo.keyboard.press('Enter');
    const answered = await demo.waitForFunction(
      (prompt) => {
        const said = [...document.querySelectorAll<HTMLElement>('[data-testid=message]')].slice(-2);
        const [question, answer] = said.map((message) => message.querySelector<HTMLElement>('.text')?.innerText);
        return question === prompt && said[1]?.ariaBusy !== 'true' && answer;
      },
      {},
      prompt,
    );
    return (await answered.jsonValue()) || undefined;
  };
  try {
    await demo.goto(`http://localhost:${(host.address() as AddressInfo).port}/?model=models/scripted.gguf`);
    expect(await ask('Hello!')).toBe('Good day, sea.');
    await demo.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await closeServer(host);
    await demo.reload();
    await demo.waitForSelector('#offline-badge:not([hidden])');
    expect(await ask('Again!')).toBe('Good day, sea.');
  } finally {
    await firefox.close();
    host.close();
    rmSync(root, { recursive: true });
  }
});
