import type { Page } from 'playwright';
import type * as Chunkwise from '../src/api/index.ts';
import type { DemoServer } from './demo-server.ts';
import { serveDemo } from './demo-server.ts';

declare global {
  var loading: Promise<Chunkwise.Engine>;
  var engine: Chunkwise.Engine;
  var chunkwise: typeof Chunkwise;
}

/** Serves the built package (npm run build) beside the models. */
export const servePackage = (): Promise<DemoServer> => serveDemo('../dist');

/** Opens a bare page with the package in `globalThis.chunkwise`. */
export async function importPackage(page: Page, server: DemoServer): Promise<void> {
  await page.goto(`${server.url()}index.js`); // any document of this origin will do
  await page.addScriptTag({ type: 'module', content: "import * as chunkwise from '/index.js'; globalThis.chunkwise = chunkwise;" });
  await page.waitForFunction(() => 'chunkwise' in globalThis);
}

/** Opens a bare page anew, with an engine of the tiny model in `globalThis.engine`. */
export async function visit(page: Page, server: DemoServer): Promise<void> {
  await page.goto(`${server.url()}index.js`); // any document of this origin will do
  const content = `
    import { createEngine } from '/index.js';
    globalThis.loading = createEngine({ model: 'models/tiny.gguf', contextLength: 1024, queueLimit: 1 });`;
  await page.addScriptTag({ type: 'module', content });
  await page.waitForFunction(() => 'loading' in globalThis);
  await page.evaluate(async () => {
    globalThis.engine = await globalThis.loading;
  });
}
