/** Takes the lock of this name and resolves with the function that releases it. The lock also ends with its page or worker. */
export function holdLock(locks: LockManager, name: string): Promise<() => void> {
  return new Promise((taken, failed) => {
    const hold = (): Promise<void> => new Promise((release) => taken(release));
    locks.request(name, hold).catch(failed);
  });
}

/**
 * Calls `onEnd` when a thread ends. A thread that the browser ends, for lack of memory or otherwise, sends nothing, but the
 * lock that it took through `hold` becomes free.
 */
export async function watchThread(
  hold: (lock: string) => Promise<void>,
  onEnd: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const { locks } = globalThis.navigator as { locks?: LockManager };
  if (!locks) return; // insecure pages have no locks, and no engine runs there
  const lock = `chunkwise thread ${crypto.randomUUID()}`;
  await hold(lock);
  // When the site's data are cleared, the page and a newer thread stop seeing each other's locks; the end is then unknown.
  const { held = [] } = await locks.query();
  if (held.some(({ name }) => name === lock)) watchLock(locks, lock, onEnd, signal);
}

/** Calls `onFree` once the lock is free, unless `signal` aborts before. */
export function watchLock(locks: LockManager, name: string, onFree: () => void, signal?: AbortSignal): void {
  locks.request(name, signal ? { signal } : {}, onFree).catch(() => undefined); // no longer watched
}
