import type { Page } from 'playwright';
import { createServer } from 'vite';
import { type AdapterKind, launchBrowser } from '../browser.ts';
import type { EnginePage } from './main.ts';

/** A model that is open in a page of a real browser; calls run there. */
export interface OpenBrowser extends Omit<EnginePage, 'open'> {
  device: string;
  close(): Promise<void>;
}

/** `model`: its path from the repository's root. */
export async function openInBrowser(kind: AdapterKind, model: string): Promise<OpenBrowser> {
  const server = await createServer({ configFile: false, server: { port: 0 }, logLevel: 'error' });
  await server.listen();
  const browser = await launchBrowser(kind);
  const page: Page = await browser.newPage();
  const root = server.resolvedUrls?.local[0] ?? '';
  await page.goto(`${root}e2e/support/engine-page/index.html`);
  await page.waitForFunction(() => 'enginePage' in window);
  const name = await page.evaluate((url) => window.enginePage.open(url), `${root}${model}`);
  return {
    device: `${name} in Chromium ${browser.version()}`,
    adapt: (folder) => page.evaluate((url) => window.enginePage.adapt(url), `${root}${folder}`),
    decode: (context, steps, ranks) =>
      page.evaluate(([c, s, r]) => window.enginePage.decode(c, s, r), [context, steps, ranks] as const),
    prefill: (context, repeats) =>
      page.evaluate(([c, r]) => window.enginePage.prefill(c, r), [context, repeats] as const),
    kernels: (context) => page.evaluate((c) => window.enginePage.kernels(c), context),
    greedy: (prompt, count) => page.evaluate(([p, c]) => window.enginePage.greedy(p, c), [prompt, count] as const),
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
