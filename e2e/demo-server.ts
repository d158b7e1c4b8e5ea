import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { preview } from 'vite';
import { serveModels } from '../demo/serve-models.ts';
import { tinyModel } from '../tests/weights/tiny-model.ts';
import { REAL_MODEL } from '../tests/weights/real-model.ts';

const DEMO = fileURLToPath(new URL('../demo/', import.meta.url));

export interface DemoServer {
  /** The page with the default model, or `tiny.gguf`, `garbage.gguf`, `half-00001-of-00002.gguf` (part 2 is missing). */
  url: (model?: string) => string;
  /** The folder served under /models/. */
  folder: string;
  close: () => Promise<void>;
}

/** Serves the built demo, or another folder beside it, with a tiny model, a damaged one, and the real one. */
export async function serveDemo(outDir = '../dist-demo'): Promise<DemoServer> {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-models-'));
  symlinkSync(REAL_MODEL, join(folder, basename(REAL_MODEL)));
  // Deep enough to be watched while it answers; with this seed its greedy answers do not end by themselves.
  const tiny = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, numLayers: 12, contextLength: 4096 });
  writeFileSync(join(folder, 'tiny.gguf'), tiny);
  writeFileSync(join(folder, 'half-00001-of-00002.gguf'), tiny);
  writeFileSync(join(folder, 'garbage.gguf'), 'This is not a model. '.repeat(1000));
  const server = await preview({
    configFile: false,
    root: DEMO,
    appType: 'mpa',
    logLevel: 'warn',
    build: { outDir },
    plugins: [serveModels(folder)],
    preview: { port: 0, host: 'localhost', allowedHosts: true },
  });
  const address = server.resolvedUrls?.local[0] ?? '';
  return {
    url: (model) => (model === undefined ? address : `${address}?model=models/${model}`),
    folder,
    close: async () => {
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}
