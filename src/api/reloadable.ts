import { abortError } from '../errors/abort-error.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Listeners } from './listeners.ts';
import type { Engine } from './types.ts';

/** An engine with its one model, or with the server that stands in for it. */
export type LoadedEngine = Omit<Engine, 'on' | 'reload' | typeof Symbol.asyncDispose>;

/** Checks what `reload` was given; `load` then loads it, and ends that where its signal aborts. */
export type Reopen = (...given: Parameters<Engine['reload']>) => (signal: AbortSignal) => Promise<LoadedEngine>;

/** An engine whose model another may take the place of. `loaded` is the first, and answers what the engine is asked. */
export function reloadable(loaded: LoadedEngine, listeners: Listeners, reopen: Reopen): Engine {
  let loading = new AbortController();
  let isDisposed = false;
  const disposed = (): ChunkwiseError => new ChunkwiseError('disposed', { reason: 'the engine was disposed' });
  const dispose = async (): Promise<void> => {
    isDisposed = true;
    loading.abort(disposed());
    await loaded.dispose();
  };
  return {
    get model() {
      return loaded.model;
    },
    get contextLength() {
      return loaded.contextLength;
    },
    get device() {
      return loaded.device;
    },
    get answeredBy() {
      return loaded.answeredBy;
    },
    get chat() {
      return loaded.chat;
    },
    get completions() {
      return loaded.completions;
    },
    get embeddings() {
      return loaded.embeddings;
    },
    get decisions() {
      return loaded.decisions;
    },
    get adapters() {
      return loaded.adapters;
    },
    get cache() {
      return loaded.cache;
    },
    rerank: (...asked) => loaded.rerank(...asked),
    fetch: (...asked) => loaded.fetch(...asked),
    saveCache: (...asked) => loaded.saveCache(...asked),
    loadCache: (...asked) => loaded.loadCache(...asked),
    memory: () => loaded.memory(),
    measureDevice: (...asked) => loaded.measureDevice(...asked),
    countTokens: (...asked) => loaded.countTokens(...asked),
    on: (event, fn) => listeners.add(event, fn),

    async reload(...given) {
      if (isDisposed) throw disposed();
      const load = reopen(...given);
      loading.abort(new Error('another model is loaded in its place'));
      const { signal } = (loading = new AbortController());
      // The next one needs its memory.
      await loaded.dispose();
      const next = await load(signal);
      if (signal.aborted) {
        await next.dispose();
        throw abortError(signal, 'the loading');
      }
      loaded = next;
    },

    dispose,
    // Not every browser has it.
    ...(Symbol.asyncDispose && { [Symbol.asyncDispose]: dispose }),
  };
}
