import { useMemo, useSyncExternalStore } from 'react';
import type { EngineState, UseChunkwiseOptions } from './shared-engine.ts';
import { LOADING, SharedEngine } from './shared-engine.ts';

/**
 * An engine for this component and all others that ask for equal options: it is loaded once, survives re-renders and
 * StrictMode, and is disposed of when the last of them is gone. Other options are another engine. Files are equal when
 * they are the same object. A component that comes after a failure, when nobody is left who saw it, tries again.
 */
export function useChunkwise(options: UseChunkwiseOptions): EngineState {
  const key = keyOf(options);
  // The key stands for the options: a new object with the same values is the same engine.
  const shared = useMemo(() => sharedEngine(key, options), [key]);
  return useSyncExternalStore(shared.subscribe, shared.state, () => LOADING);
}

const engines = new Map<string, SharedEngine>();

function sharedEngine(key: string, options: UseChunkwiseOptions): SharedEngine {
  const shared = engines.get(key) ?? new SharedEngine(options);
  engines.set(key, shared);
  return shared;
}

const blobIds = new WeakMap<Blob, number>();
let nextBlobId = 1;

function keyOf(options: UseChunkwiseOptions): string {
  const byName = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(byName, (_, value: unknown) => (value instanceof Blob ? { blob: blobId(value) } : value));
}

function blobId(blob: Blob): number {
  const id = blobIds.get(blob) ?? nextBlobId++;
  blobIds.set(blob, id);
  return id;
}
