import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { beforeAll, describe } from 'vitest';
import { scriptedToolChat } from '../../tests/support/models/scripted-model.ts';
import { serveBuilt } from './app-server.ts';
import type { DemoServer } from './demo-server.ts';
import { openForTests } from './open-for-tests.ts';

/** Builds a page with the clients and serves it with the models; `scripted.gguf` is one of them. */
export async function serveClients(): Promise<DemoServer> {
  const root = fileURLToPath(new URL('../clients', import.meta.url));
  const server = await serveBuilt({
    root,
    publicDir: false,
    build: {
      target: 'es2022',
      chunkSizeWarningLimit: Infinity,
      rollupOptions: {
        input: { index: join(root, 'index.html'), sw: join(root, 'sw.ts'), 'bare-sw': join(root, 'bare-sw.ts') },
        output: { entryFileNames: '[name].js' },
      },
    },
  });
  writeFileSync(join(server.folder, 'scripted.gguf'), scriptedToolChat());
  return server;
}

/** Opens the page under control of the service worker. */
export async function openClients(page: Page, server: DemoServer): Promise<void> {
  await page.goto(server.url());
  await page.waitForFunction(() => 'clients' in globalThis && navigator.serviceWorker.controller !== null);
}

/** Loads an engine into the page. */
export async function holdEngine(page: Page, model: string): Promise<void> {
  await page.evaluate(async (file) => {
    globalThis.held = await globalThis.clients.createEngine({
      model: `models/${file}`,
      contextLength: 1024,
      queueLimit: 0,
    });
  }, model);
}

/** Provides the page's engine to the service worker. */
export const provideEngine = (page: Page): Promise<void> =>
  page.evaluate(async () => void (await globalThis.clients.provideEngine(globalThis.held)));

const WAYS = ['engine.fetch', 'service worker'] as const;
type Way = (typeof WAYS)[number];

/**
 * Connects the page's clients to an engine: its own through `engine.fetch`, or another page's through the service
 * worker.
 */
export async function reachEngine(page: Page, way: Way): Promise<void> {
  await page.evaluate((through) => {
    const { OpenAI } = globalThis.clients;
    const engine = globalThis.held as typeof globalThis.held | undefined;
    globalThis.reach =
      through === 'engine.fetch' && engine
        ? { baseURL: 'http://anywhere.invalid/some/path/v1', fetch: (input, init) => engine.fetch(input, init) }
        : { baseURL: `${location.origin}/v1`, fetch: (input, init) => fetch(input, init) };
    globalThis.openai = new OpenAI({
      apiKey: 'none',
      dangerouslyAllowBrowser: true,
      maxRetries: 0,
      ...globalThis.reach,
    });
  }, way);
}

interface ClientPages {
  server: DemoServer;
  /** Page with an engine. */
  holder: Page;
  /** Page without an engine. */
  other: Page;
}

/** Opens two pages with the clients before a file's tests. */
export function openPages(): ClientPages {
  const opened = openForTests(serveClients);
  const pages = {} as ClientPages;
  beforeAll(async () => {
    const context = await opened.browser.newContext();
    pages.server = opened.server;
    for (const name of ['holder', 'other'] as const) {
      pages[name] = await context.newPage();
      await openClients(pages[name], pages.server);
    }
  });
  return pages;
}

/** Runs the same tests for both ways to the engine that `load` opens; `asking` is the page of the clients. */
export function describeWays(
  pages: ClientPages,
  load: (holder: Page) => Promise<void>,
  tests: (asking: () => Page, way: Way) => void,
): void {
  describe.each(WAYS)('through %s', (way) => {
    const asking = (): Page => (way === 'engine.fetch' ? pages.holder : pages.other);
    beforeAll(async () => {
      await (way === 'engine.fetch' ? load : provideEngine)(pages.holder);
      await reachEngine(asking(), way);
    });
    tests(asking, way);
  });
}
