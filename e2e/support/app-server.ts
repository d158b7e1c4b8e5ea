import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type InlineConfig } from 'vite';
import type { DemoServer } from './demo-server.ts';
import { serveDemo } from './demo-server.ts';

/** Builds the app in the folder beside this file and serves it with the models. */
export const serveApp = (name: string): Promise<DemoServer> =>
  serveBuilt({ root: join(import.meta.dirname, '..', name), base: './' });

/**
 * Builds pages and serves them with the models. They have a folder of their own, since another process may build them at
 * the same time.
 */
export async function serveBuilt(config: InlineConfig): Promise<DemoServer> {
  const outDir = mkdtempSync(join(tmpdir(), 'chunkwise-pages-'));
  await build({
    ...config,
    configFile: false,
    build: { ...config.build, outDir },
    worker: { format: 'es' },
    logLevel: 'warn',
  });
  const server = await serveDemo(outDir);
  const { close } = server;
  server.close = async () => {
    await close();
    rmSync(outDir, { recursive: true });
  };
  return server;
}
