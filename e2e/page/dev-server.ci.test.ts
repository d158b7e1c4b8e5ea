import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createServer } from 'vite';
import { launchBrowser } from '../support/browser.ts';
import { DemoPage } from '../support/demo-page.ts';
import { tinyPdf } from '../support/tiny-pdf.ts';

it('serves the page from its sources, as npm start does, and finds all dependencies before the first visit', async () => {
  const root = fileURLToPath(new URL('../../demo/', import.meta.url));
  const cacheDir = mkdtempSync(join(tmpdir(), 'chunkwise-vite-'));
  const server = await createServer({
    root,
    configFile: `${root}vite.config.ts`,
    cacheDir,
    server: { port: 0, strictPort: false },
  });
  const browser = await launchBrowser('lavapipe');
  try {
    await server.listen();
    const optimizer = server.environments.client.depsOptimizer;
    await optimizer?.scanProcessing;
    const known = (): string[] =>
      Object.keys({ ...optimizer?.metadata.optimized, ...optimizer?.metadata.discovered }).sort();
    const scanned = known();
    const demo = await DemoPage.open(browser, server.resolvedUrls?.local[0] ?? '');
    await demo.loaded();
    await demo.setMaxTokens(4);
    expect((await demo.ask('Hello.')).text).not.toBe('');
    await demo.page.locator('#open-desk').click();
    const pdf = { name: 'one.pdf', mimeType: 'application/pdf', buffer: tinyPdf([['One page.']]) };
    await demo.page.locator('.desk input[type=file]').setInputFiles(pdf);
    await demo.page.locator('.desk-facts').getByText('2 words, 1 passage, 1 page').waitFor();
    // A dependency found late makes Vite reload the page, which loses the visitor's work.
    expect(scanned).toContain('@noble/hashes/sha2.js');
    expect(known()).toEqual(scanned);
  } finally {
    await browser.close();
    await server.close();
    rmSync(cacheDir, { recursive: true });
  }
});
