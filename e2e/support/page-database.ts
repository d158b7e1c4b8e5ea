import type { Page } from 'playwright';

/** What the page's IndexedDB holds, by key. */
export function readDatabase(page: Page, name: string, store: string): Promise<Record<string, unknown>> {
  return page.evaluate(
    async ([name, store]) => {
      const done = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(new Error(request.error?.message));
        });
      const database = await done(indexedDB.open(name));
      const values = database.transaction(store).objectStore(store);
      const [keys, all] = await Promise.all([done(values.getAllKeys()), done(values.getAll() as IDBRequest<unknown[]>)]);
      database.close();
      return Object.fromEntries(keys.map((key, i) => [key as string, all[i]]));
    },
    [name, store] as const,
  );
}

/** Writes as idb-keyval does, into a database that may not be there yet. */
export async function writeDatabase(page: Page, name: string, store: string, values: Record<string, unknown>): Promise<void> {
  await page.evaluate(
    async ([name, store, values]) => {
      const opening = indexedDB.open(name);
      opening.onupgradeneeded = () => opening.result.createObjectStore(store);
      await new Promise((resolve) => (opening.onsuccess = resolve));
      const writing = opening.result.transaction(store, 'readwrite');
      for (const [key, value] of Object.entries(values)) writing.objectStore(store).put(value, key);
      await new Promise((resolve) => (writing.oncomplete = resolve));
      opening.result.close();
    },
    [name, store, values] as const,
  );
}

export async function emptyDatabase(page: Page, name: string): Promise<void> {
  await page.evaluate((name) => {
    const deleting = indexedDB.deleteDatabase(name);
    return new Promise((resolve) => (deleting.onsuccess = () => resolve(undefined)));
  }, name);
}
