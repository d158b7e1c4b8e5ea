import { join } from 'node:path';
import { build } from 'vite';
import type { DemoServer } from './demo-server.ts';
import { serveDemo } from './demo-server.ts';

/** Builds the app in the folder beside this file and serves it with the models. */
export async function serveApp(name: string): Promise<DemoServer> {
  const outDir = join(import.meta.dirname, '../../.cache/e2e', name);
  await build({
    root: join(import.meta.dirname, '..', name),
    configFile: false,
    base: './',
    build: { outDir, emptyOutDir: true },
    worker: { format: 'es' },
    logLevel: 'warn',
  });
  return serveDemo(outDir);
}
