import { describe, refuse } from './checks.ts';
import type { EngineEvents } from './types.ts';

type Listener<E extends keyof EngineEvents> = (event: EngineEvents[E]) => void;

/** Who listens to an engine's events. */
export class Listeners {
  private readonly byEvent: { [E in keyof EngineEvents]: Set<Listener<E>> } = {
    progress: new Set(),
    plan: new Set(),
    kv: new Set(),
    token: new Set(),
    memory: new Set(),
    devicelost: new Set(),
  };

  /** Returns the function that removes `fn` again. Throws `bad_request` for an event that there is not, or no function. */
  add<E extends keyof EngineEvents>(event: E, fn: Listener<E>): () => void {
    if (!Object.hasOwn(this.byEvent, event))
      refuse('event', `must be one of ${Object.keys(this.byEvent).join(', ')}, but is ${describe(event)}`);
    if (typeof fn !== 'function') refuse('listener', `must be a function, but is ${describe(fn)}`);
    // A wrapper, so that a function added twice is called twice and removed once.
    const listener: Listener<E> = (value) => fn(value);
    this.byEvent[event].add(listener);
    return () => void this.byEvent[event].delete(listener);
  }

  tell<E extends keyof EngineEvents>(event: E, value: EngineEvents[E]): void {
    for (const listener of this.byEvent[event]) {
      try {
        listener(value);
      } catch (error) {
        // A listener's mistake must not end the answer it listens to. Node has no such function.
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}
