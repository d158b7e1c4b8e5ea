/** Events of an engine, and their listeners. */
import type { KvMap } from '../cache/kv-cache.ts';
import type { MemoryReport } from '../gpu/buffers.ts';
import type { LoadProgress } from '../session/session-options.ts';
import type { PlanEvent as PlannedEvent } from '../engine/types.ts';
import { describe, refuse } from './checks.ts';

/** One generated token, as it arrives. */
export interface TokenEvent {
  /**
   * Milliseconds since the previous token; for the first token, since the request began to run. Tokens from the same step
   * share its time equally.
   */
  ms: number;
  /** Tokens that the context now holds. */
  contextUsed: number;
  /** Id of the response. */
  id: string;
  /** With adapters: the token's rank level, the mean rank of that level, and the token's complexity. */
  level?: number | undefined;
  meanRank?: number | undefined;
  complexity?: number | undefined;
}

/** Tokens of a request whose ranks are now known. */
export interface PlanEvent extends PlannedEvent {
  /** Id of the response. */
  id: string;
}

/** How the keys and values of a request's text are stored, sent when that changes. */
export interface KvEvent extends KvMap {
  /** Id of the response. */
  id: string;
}

export interface EngineEvents {
  progress: LoadProgress;
  plan: PlanEvent;
  kv: KvEvent;
  token: TokenEvent;
  memory: MemoryReport;
  devicelost: { reason: string };
}

type Listener<E extends keyof EngineEvents> = (event: EngineEvents[E]) => void;

/** Listeners of an engine's events. */
export class Listeners {
  private readonly byEvent: { [E in keyof EngineEvents]: Set<Listener<E>> } = {
    progress: new Set(),
    plan: new Set(),
    kv: new Set(),
    token: new Set(),
    memory: new Set(),
    devicelost: new Set(),
  };

  /** Adds a listener and returns the function that removes it. Throws `bad_request` for an unknown event, or if `fn` is no function. */
  add<E extends keyof EngineEvents>(event: E, fn: Listener<E>): () => void {
    if (!Object.hasOwn(this.byEvent, event))
      refuse('event', `must be one of ${Object.keys(this.byEvent).join(', ')}, but is ${describe(event)}`);
    if (typeof fn !== 'function') refuse('listener', `must be a function, but is ${describe(fn)}`);
    // The wrapper makes each registration distinct: a function added twice is called twice and removed once.
    const listener: Listener<E> = (value) => fn(value);
    this.byEvent[event].add(listener);
    return () => void this.byEvent[event].delete(listener);
  }

  tell<E extends keyof EngineEvents>(event: E, value: EngineEvents[E]): void {
    for (const listener of this.byEvent[event]) {
      try {
        listener(value);
      } catch (error) {
        // A listener's error must not end the answer. Node has no reportError.
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}
