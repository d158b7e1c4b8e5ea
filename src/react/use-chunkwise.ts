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

const ids = new WeakMap<object, number>();
let nextId = 1;

function keyOf(options: UseChunkwiseOptions): string {
  const byName = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(byName, (_, value: unknown) => (isPlain(value) ? value : { id: idOf(value) }));
}

/** What has no other identity than its values: neither a file, nor a handle of one, nor a function. */
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
