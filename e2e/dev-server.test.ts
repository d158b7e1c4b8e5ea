import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createServer } from 'vite';
import { launchBrowser } from './browser.ts';
import { DemoPage } from './demo-page.ts';

it('serves the page from its sources, as npm start does', async () => {
  const root = fileURLToPath(new URL('../demo/', import.meta.url));
  const server = await createServer({ root, configFile: `${root}vite.config.ts`, server: { port: 0, strictPort: false } });
  const browser = await launchBrowser('lavapipe');
  try {
    await server.listen();
    const demo = await DemoPage.open(browser, server.resolvedUrls?.local[0] ?? '');
    await demo.loaded();
    await demo.setMaxTokens(4);
    expect((await demo.ask('Hello.')).text).not.toBe('');
  } finally {
    await browser.close();
    await server.close();
  }
});
