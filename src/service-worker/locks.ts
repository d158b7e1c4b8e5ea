/** Takes the lock of this name; resolves, when it is taken, with what gives it back. It ends with its page or worker. */
export function holdLock(locks: LockManager, name: string): Promise<() => void> {
  return new Promise((taken, failed) => {
    const hold = (): Promise<void> => new Promise((release) => taken(release));
    locks.request(name, hold).catch(failed);
  });
}

/** Calls `onFree` once nobody holds the lock any more, unless `signal` aborts before. */
export function watchLock(locks: LockManager, name: string, onFree: () => void, signal?: AbortSignal): void {
  locks.request(name, signal ? { signal } : {}, onFree).catch(() => undefined); // no longer watched
}
