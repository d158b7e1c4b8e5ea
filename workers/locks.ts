/** Takes the lock of this name; resolves, when it is taken, with what gives it back. It ends with its page or worker. */
export function holdLock(locks: LockManager, name: string): Promise<() => void> {
  return new Promise((taken, failed) => {
    const hold = (): Promise<void> => new Promise((release) => taken(release));
    locks.request(name, hold).catch(failed);
  });
}

/**
 * Calls `onEnd` when a thread has ended. One that is ended from outside, or by the browser for want of memory, says nothing,
 * but the lock is free again that it took by `hold`.
 */
export async function watchThread(
  hold: (lock: string) => Promise<void>,
  onEnd: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const { locks } = globalThis.navigator as { locks?: LockManager };
  if (!locks) return; // the page is not secure: nothing runs there
  const lock = `chunkwise thread ${crypto.randomUUID()}`;
  await hold(lock);
  // A page from before its site's data were cleared and a thread from after it do not see each other's locks: nothing is known.
  const { held = [] } = await locks.query();
  if (held.some(({ name }) => name === lock)) watchLock(locks, lock, onEnd, signal);
}

/** Calls `onFree` once nobody holds the lock any more, unless `signal` aborts before. */
export function watchLock(locks: LockManager, name: string, onFree: () => void, signal?: AbortSignal): void {
  locks.request(name, signal ? { signal } : {}, onFree).catch(() => undefined); // no longer watched
}
