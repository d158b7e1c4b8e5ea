import type { Availability, Engine, EngineOptions } from '../api/engine-types.ts';
import { unlessAborted } from '../errors/chunkwise-error.ts';
import type { LoadProgress } from '../session/session-options.ts';

/** What the package's main module exports. */
export interface Runtime {
  createEngine(options: EngineOptions): Promise<Engine>;
  availability(options: Partial<EngineOptions>): Promise<Availability>;
}

/** An engine that is loaded when a model that runs on it is first called, or by `load`. */
export class LazyEngine {
  /** The model as the options name it; `model` for files. */
  readonly model: string;
  #loading: Promise<Engine> | undefined;
  readonly #listeners = new Set<(progress: LoadProgress) => void>();

  /** `runtime`: the module `chunkwise`, or its two functions. */
  constructor(
    private readonly runtime: Runtime,
    private readonly options: EngineOptions,
  ) {
    this.model = typeof options.model === 'string' ? options.model : 'model';
  }

  /** Whether the model can run here, and how much would be downloaded first. */
  availability(): Promise<Availability> {
    return this.runtime.availability(this.options);
  }

  /** Loads the engine, once. A failed load is tried again by the next call. Errors: those of `createEngine`. */
  async load(onProgress?: (progress: LoadProgress) => void): Promise<Engine> {
    if (onProgress) this.#listeners.add(onProgress);
    const loading = (this.#loading ??= this.#load());
    try {
      return await loading;
    } catch (error) {
      if (this.#loading === loading) this.#loading = undefined; // another load may have begun after `dispose`
      throw error;
    } finally {
      if (onProgress) this.#listeners.delete(onProgress);
    }
  }

  /** Unloads the engine; the next call loads it again. */
  async dispose(): Promise<void> {
    const loading = this.#loading;
    this.#loading = undefined;
    await (await loading?.catch(() => undefined))?.dispose();
  }

  #load(): Promise<Engine> {
    const { onProgress } = this.options;
    return this.runtime.createEngine({
      ...this.options,
      onProgress: (progress) => {
        onProgress?.(progress);
        for (const listener of this.#listeners) listener(progress);
      },
    });
  }
}

/** The engine that a call runs on. Errors: `aborted`, and those of `createEngine`. */
export async function engineOf<E extends object>(engine: E | LazyEngine, signal: AbortSignal | undefined): Promise<E> {
  return engine instanceof LazyEngine ? ((await unlessAborted(engine.load(), signal)) as unknown as E) : engine;
}

/** The fields that all models of the SDK have. */
export const modelFields = (engine: { readonly model: string }) => ({
  specificationVersion: 'v4' as const,
  provider: 'chunkwise',
  get modelId() {
    return engine.model;
  },
});
