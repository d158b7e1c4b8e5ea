import type { Browser } from 'playwright';
import { beforeAll } from 'vitest';
import { launchBrowser } from './browser.ts';
import type { DemoServer } from './demo-server.ts';

interface Opened {
  server: DemoServer;
  browser: Browser;
}

/**
 * A server and a browser that exist from before a file's first test to after its last. On lavapipe by default, which
 * caches compiled shaders on disk; SwiftShader recompiles them for each engine.
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
