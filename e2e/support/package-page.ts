import type { JSHandle, Page } from 'playwright';
import type * as Chunkwise from '../../src/api/index.ts';
import type { DemoServer } from './demo-server.ts';
import { serveDemo } from './demo-server.ts';

declare global {
  var loading: Promise<Chunkwise.Engine>;
  var engine: Chunkwise.Engine;
  var chunkwise: typeof Chunkwise;
}

/** Serves the built package (npm run build) with the models. */
export const servePackage = (): Promise<DemoServer> => serveDemo('../dist');

/** Opens a bare page with the package in `globalThis.chunkwise`. */
export async function importPackage(page: Page, server: DemoServer): Promise<void> {
  await page.goto(`${server.url()}index.js`); // any document of this origin will do
  await page.addScriptTag({
    type: 'module',
    content: "import * as chunkwise from '/index.js'; globalThis.chunkwise = chunkwise;",
  });
  await page.waitForFunction(() => 'chunkwise' in globalThis);
}

/** Reopens a bare page with an engine of the tiny model in `globalThis.engine`. */
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

interface ModelToLoad {
  model: string | JSHandle<(File | FileSystemFileHandle)[]>;
  hub?: Chunkwise.HubOptions;
}

/** Loads a model into `globalThis.engine`, generates a few tokens, and returns the progress events. */
export function loadModel(page: Page, options: ModelToLoad): Promise<{ phases: string[]; text: string | undefined }> {
  return page.evaluate(async (options) => {
    const phases: string[] = [];
    const onProgress = ({ phase }: Chunkwise.LoadProgress): void =>
      void (phases.at(-1) === phase || phases.push(phase));
    globalThis.engine = await globalThis.chunkwise.createEngine({ ...options, contextLength: 128, onProgress });
    const answer = await globalThis.engine.completions.create({ prompt: 'One two', max_tokens: 6, temperature: 0 });
    return { phases, text: answer.choices[0]?.text };
  }, options);
}

/**
 * Loads a model up to its upload, which begins when it is stored and verified, or up to the compilation after it.
 * Rejects on an earlier failure.
 */
export function loadUntil(page: Page, end: 'upload' | 'compile', options: ModelToLoad): Promise<void> {
  return page.evaluate(
    async ([end, options]) => {
      const control = new AbortController();
      const onProgress = ({ phase }: Chunkwise.LoadProgress): void => {
        if (phase === end || phase === 'compile') control.abort();
      };
      const loading = globalThis.chunkwise.createEngine({
        ...options,
        contextLength: 128,
        onProgress,
        signal: control.signal,
      });
      await loading.catch((error: unknown) => {
        if (!control.signal.aborted) throw error;
      });
    },
    [end, options] as const,
  );
}

/** Stored models reported by `globalThis.engine`. */
export const stored = (page: Page): Promise<{ list: Chunkwise.StoredEntry[]; size: number }> =>
  page.evaluate(async () => ({
    list: await globalThis.engine.cache.list(),
    size: await globalThis.engine.cache.size(),
  }));

/** Deletes a stored model; returns the error code if there is none. */
export const deleteStored = (page: Page, name: string): Promise<string | undefined> =>
  page.evaluate(
    (name) =>
      globalThis.engine.cache.delete(name).then(
        () => undefined,
        ({ code }: Chunkwise.ChunkwiseError) => code,
      ),
    name,
  );
