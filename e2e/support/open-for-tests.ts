import type { Browser } from 'playwright';
import { beforeAll } from 'vitest';
import { launchBrowser } from './browser.ts';
import type { DemoServer } from './demo-server.ts';

interface Opened {
  server: DemoServer;
  browser: Browser;
}

/**
 * What `serve` serves and a browser, there from before the first test of a file to after its last. On lavapipe, unless the
 * adapter matters: it keeps compiled shaders on disk, where SwiftShader compiles them anew for each engine.
 */
export function openForTests(
  serve: () => Promise<DemoServer>,
  launch = (): Promise<Browser> => launchBrowser('lavapipe'),
): Opened {
  const opened = {} as Opened;
  beforeAll(async () => {
    const server = await serve();
    const browser = await launch();
    Object.assign(opened, { server, browser });
    return async () => {
      await browser.close();
      await server.close();
    };
  });
  return opened;
}
