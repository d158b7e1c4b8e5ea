import type { Page } from 'playwright';

declare global {
  /** Writes of this thread so far, and the first of them for which there is no room. */
  var storageWrites: number;
  var storageFullAt: number;
}

/** Code for a page or a worker: from its `at`th write on there is no room in IndexedDB and in the Cache API. The first is 1. */
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
  /** What it has written is not done; the browser says so once the caller has gone on. */
  const end = (transaction: IDBTransaction, told: IDBTransaction | IDBRequest | undefined): void => {
    if (ended.has(transaction)) return;
    ended.add(transaction);
    Object.defineProperty(told ?? transaction, 'error', { get: noRoom });
    queueMicrotask(() => transaction.abort());
  };

  const opening = new WeakMap<IDBDatabase, IDBOpenDBRequest>();
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (this: IDBFactory, ...args: Parameters<typeof open>) {
    const request = Reflect.apply(open, this, args) as IDBOpenDBRequest;
    request.addEventListener('upgradeneeded', () => opening.set(request.result, request));
    return request;
  };
  const { createObjectStore } = IDBDatabase.prototype;
  IDBDatabase.prototype.createObjectStore = function (this: IDBDatabase, ...args: Parameters<typeof createObjectStore>) {
    const store = Reflect.apply(createObjectStore, this, args) as IDBObjectStore;
    if (isFull()) end(store.transaction, opening.get(this));
    return store;
  };
  for (const name of ['put', 'delete'] as const) {
    const write = Reflect.get(IDBObjectStore.prototype, name) as (...args: unknown[]) => IDBRequest;
    Reflect.set(IDBObjectStore.prototype, name, function (this: IDBObjectStore, ...args: unknown[]) {
      const request = Reflect.apply(write, this, args);
      if (isFull()) end(this.transaction, undefined);
      return request;
    });
  }
  const put = Reflect.get(Cache.prototype, 'put') as Cache['put'];
  Cache.prototype.put = async function (this: Cache, ...args: Parameters<typeof put>) {
    if (isFull()) throw noRoom();
    return Reflect.apply(put, this, args) as Promise<void>;
  };
}
