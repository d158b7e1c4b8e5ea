import { createEngine } from '../api/create-engine.ts';
import type { Engine, EngineOptions, LoadProgress } from '../api/types.ts';
import type { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Of `createEngine`, but for what the hook does itself. Options that are equal share one engine. */
export type UseChunkwiseOptions = Omit<EngineOptions, 'onProgress' | 'signal'>;

/** An engine from its loading to its end. `progress`: how far the loading is. `error`: why it failed. */
export type EngineState =
  | { status: 'loading'; engine?: undefined; progress?: LoadProgress; error?: undefined }
  | { status: 'ready'; engine: Engine; progress?: undefined; error?: undefined }
  | { status: 'failed'; engine?: undefined; progress?: undefined; error: ChunkwiseError | Error };

export const LOADING: EngineState = { status: 'loading' };

/** One engine for all components that ask for it: loaded for the first, disposed of after the last. */
export class SharedEngine {
  #state = LOADING;
  readonly #listeners = new Set<() => void>();
  #loading: AbortController | undefined;

  constructor(private readonly options: UseChunkwiseOptions) {}

  readonly state = (): EngineState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    if (this.#loading === undefined) void this.#load((this.#loading = new AbortController()));
    return () => {
      this.#listeners.delete(listener);
      // In a StrictMode, and where one component replaces another, the next one comes before this task is over.
      setTimeout(() => this.#endUnlessUsed());
    };
  };

  async #load({ signal }: AbortController): Promise<void> {
    try {
      const onProgress = (progress: LoadProgress): void => this.#become({ status: 'loading', progress }, signal);
      const engine = await createEngine({ ...this.options, onProgress, signal });
      signal.addEventListener('abort', () => void engine.dispose());
      if (signal.aborted) await engine.dispose();
      this.#become({ status: 'ready', engine }, signal);
    } catch (error) {
      this.#become({ status: 'failed', error: asError(error) }, signal);
    }
  }

  #become(state: EngineState, signal: AbortSignal): void {
    if (signal.aborted) return; // nobody is there to see it, or another loading has begun
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }

  #endUnlessUsed(): void {
    if (this.#listeners.size > 0) return;
    this.#loading?.abort();
    this.#loading = undefined;
    this.#state = LOADING;
  }
}

/** What was thrown, which need not be an error. */
export const asError = (thrown: unknown): ChunkwiseError | Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
