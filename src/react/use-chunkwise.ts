import { createEngine } from '../api/browser.ts';
import type { Engine, EngineOptions } from '../api/engine-types.ts';
import type { LoadProgress } from '../session/session-options.ts';
import type { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { useMemo, useSyncExternalStore } from 'react';

/** Options of `createEngine` without those that the hook sets itself. Equal options share one engine. */
export type UseChunkwiseOptions = Omit<EngineOptions, 'onProgress' | 'signal'>;

/** State of an engine. `progress`: of loading. `error`: why loading failed. */
export type EngineState =
  | { status: 'loading'; engine?: undefined; progress?: LoadProgress; error?: undefined }
  | { status: 'ready'; engine: Engine; progress?: undefined; error?: undefined }
  | { status: 'failed'; engine?: undefined; progress?: undefined; error: ChunkwiseError | Error };

const LOADING: EngineState = { status: 'loading' };

/** One engine for all components that ask for it: loaded for the first, disposed after the last. */
class SharedEngine {
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
      // In StrictMode, and when one component replaces another, the next listener subscribes before this timeout.
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
    if (signal.aborted) return; // no component is left, or another loading has begun
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

/** Wraps a thrown value that is no Error. */
export const asError = (thrown: unknown): ChunkwiseError | Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });

/**
 * Returns an engine that all components with equal options share: it is loaded once, survives re-renders and StrictMode, and is
 * disposed when the last of them unmounts. Different options load another engine. Files are equal if they are the same object.
 * After a failure, loading is tried again once all components that saw the failure have unmounted.
 */
export function useChunkwise(options: UseChunkwiseOptions): EngineState {
  const key = keyOf(options);
  // A new options object with equal values has the same key, and so the same engine.
  const shared = useMemo(() => sharedEngine(key, options), [key]);
  return useSyncExternalStore(shared.subscribe, shared.state, () => LOADING);
}

const engines = new Map<string, SharedEngine>();

function sharedEngine(key: string, options: UseChunkwiseOptions): SharedEngine {
  const shared = engines.get(key) ?? new SharedEngine(options);
  engines.set(key, shared);
  return shared;
}

const ids = new WeakMap<object, number>();
let nextId = 1;

function keyOf(options: UseChunkwiseOptions): string {
  const byName = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(byName, (_, value: unknown) => (isPlain(value) ? value : { id: idOf(value) }));
}

/** Whether a value is compared by content: no file, file handle or function. */
function isPlain(value: unknown): boolean {
  if (typeof value === 'function') return false;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  return Object.getPrototypeOf(value) === Object.prototype;
}

function idOf(value: unknown): number {
  const object = value as object;
  const id = ids.get(object) ?? nextId++;
  ids.set(object, id);
  return id;
}
