import type { Page } from 'playwright';

declare global {
  /** Writes of this thread so far, and the first write without room. */
  var storageWrites: number;
  var storageFullAt: number;
}

/** Code for a page or a worker: from its `at`th write on (counted from 1) IndexedDB and the Cache API have no room. */
export const fullFrom = (at: number): string => `(${limitStorage.toString()})(${at});`;

/** Writes of all workers of a page that ran `fullFrom` first. */
export async function writesInWorkers(page: Page): Promise<number> {
  const counts = await Promise.all(page.workers().map((worker) => worker.evaluate(() => globalThis.storageWrites)));
  return counts.reduce((sum, each) => sum + each, 0);
}

function limitStorage(at: number): void {
  Object.assign(globalThis, { storageWrites: 0, storageFullAt: at });
  const isFull = (): boolean => ++globalThis.storageWrites >= globalThis.storageFullAt;
  const noRoom = (): DOMException => new DOMException('no room', 'QuotaExceededError');
  const ended = new WeakSet<IDBTransaction>();
  /** The write fails, and the browser reports that asynchronously. */
  const end = (transaction: IDBTransaction, told: IDBRequest | undefined): void => {
    if (ended.has(transaction)) return;
    ended.add(transaction);
    Object.defineProperty(told ?? transaction, 'error', { get: noRoom });
    queueMicrotask(() => transaction.abort());
  };

  /** Replaces a method; the replacement receives the original. */
  const replace = <Self, Result>(
    prototype: object,
    name: string,
    method: (self: Self, before: () => Result) => Result,
  ): void => {
    const before = Reflect.get(prototype, name) as (...args: unknown[]) => Result;
    Reflect.set(prototype, name, function (this: Self, ...args: unknown[]) {
      return method(this, () => Reflect.apply(before, this, args));
    });
  };
  const opening = new WeakMap<IDBDatabase, IDBOpenDBRequest>();
  replace<IDBFactory, IDBOpenDBRequest>(IDBFactory.prototype, 'open', (_, open) => {
    const request = open();
    request.addEventListener('upgradeneeded', () => opening.set(request.result, request));
    return request;
  });
  replace<IDBDatabase, IDBObjectStore>(IDBDatabase.prototype, 'createObjectStore', (database, create) => {
    const store = create();
    if (isFull()) end(store.transaction, opening.get(database));
    return store;
  });
  for (const name of ['put', 'delete']) {
    replace<IDBObjectStore, IDBRequest>(IDBObjectStore.prototype, name, (store, write) => {
      const request = write();
      if (isFull()) end(store.transaction, undefined);
      return request;
    });
  }
  replace<Cache, Promise<void>>(Cache.prototype, 'put', (_, put) => (isFull() ? Promise.reject(noRoom()) : put()));
}
