import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Plugin, preview } from 'vite';
import { serveModels } from '../../demo/shell/serve-models.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import {
  CONFIG_FILE,
  ggufAdapter,
  peftWeights,
  tinyAdapter,
  WEIGHTS_FILE,
} from '../../tests/support/models/tiny-adapter.ts';
import { BytesSource } from '../../tests/support/bytes-source.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';

const DEMO = fileURLToPath(new URL('../../demo/', import.meta.url));

export interface DemoServer {
  /**
   * URL of the page with the default model, or with `tiny.gguf`, `garbage.gguf`, `half-00001-of-00002.gguf` (part 2 is
   * missing).
   */
  url: (model?: string) => string;
  /** The folder served under /models/. */
  folder: string;
  /**
   * The folder served under /adapters/ instead of the page's own: `shakespeare/` fits `tiny.gguf`, as a PEFT folder
   * with `adapter.gguf`; the others are missing.
   */
  adapters: string;
  /** Redirect target of `models/leads-on.gguf`. */
  leadsTo: string;
  /** Bytes per second of a connection for models; Infinity at first. */
  pace: number;
  close: () => Promise<void>;
}

/** Serves the built demo, or another folder, with a tiny model, a damaged one, and the real one. */
export async function serveDemo(outDir = '../dist-demo'): Promise<DemoServer> {
  const adapters = mkdtempSync(join(tmpdir(), 'chunkwise-adapters-'));
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-models-'));
  symlinkSync(REAL_MODEL, join(folder, basename(REAL_MODEL)));
  // Deep enough to be observed during its answer.
  const tiny = tinyModel({
    architecture: 'llama',
    type: 'Q4_0',
    seed: 1,
    numLayers: 12,
    contextLength: 4096,
    neverEnds: true,
  });
  writeFileSync(join(folder, 'tiny.gguf'), tiny);
  writeFileSync(join(folder, 'half-00001-of-00002.gguf'), tiny);
  writeFileSync(join(folder, 'garbage.gguf'), 'This is not a model. '.repeat(1000));
  await writeAdapter(join(adapters, 'shakespeare'), tiny);
  const redirect: Plugin = {
    name: 'redirect',
    configurePreviewServer: ({ middlewares }) => {
      middlewares.use(
        '/models/leads-on.gguf',
        (_, response) => void response.writeHead(302, { Location: served.leadsTo }).end(),
      );
    },
  };
  const slow: Plugin = {
    name: 'slow',
    configurePreviewServer: ({ middlewares }) => {
      middlewares.use('/models', (request, response, next) => {
        if (request.method === 'HEAD') return next(); // otherwise the file would be read without being sent
        const write = response.write.bind(response) as (chunk: Uint8Array) => boolean;
        response.write = ((chunk: Uint8Array) => {
          if (served.pace === Infinity) return write(chunk);
          setTimeout(
            () => {
              if (response.destroyed) return;
              write(chunk);
              response.emit('drain');
            },
            (1000 * chunk.length) / served.pace,
          );
          return false; // wait for drain
        }) as typeof response.write;
        next();
      });
    },
  };
  const server = await preview({
    configFile: false,
    root: DEMO,
    appType: 'mpa',
    logLevel: 'warn',
    build: { outDir },
    plugins: [redirect, slow, serveModels(folder), serveModels(adapters, '/adapters')],
    preview: { port: 0, host: 'localhost', allowedHosts: true },
  });
  const address = server.resolvedUrls?.local[0] ?? '';
  const served: DemoServer = {
    url: (model) => (model === undefined ? address : `${address}?model=models/${model}`),
    folder,
    adapters,
    leadsTo: '',
    pace: Infinity,
    close: async () => {
      await server.close();
      for (const each of [folder, adapters]) rmSync(each, { recursive: true });
    },
  };
  return served;
}

/** A random adapter of `model` in both forms, strong enough to change its answers. */
export async function writeAdapter(folder: string, model: Uint8Array): Promise<void> {
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', model)]));
  const adapter = tinyAdapter(config, { seed: 3, rank: 8, gain: 2 });
  mkdirSync(folder);
  writeFileSync(join(folder, CONFIG_FILE), JSON.stringify(adapter.config));
  writeFileSync(join(folder, WEIGHTS_FILE), peftWeights(adapter));
  writeFileSync(join(folder, 'adapter.gguf'), ggufAdapter(adapter, config));
}
