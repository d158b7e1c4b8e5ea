import type { Page } from 'playwright';

/** Content of the page's IndexedDB, by key. */
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
      const [keys, all] = await Promise.all([
        done(values.getAllKeys()),
        done(values.getAll() as IDBRequest<unknown[]>),
      ]);
      database.close();
      return Object.fromEntries(keys.map((key, i) => [key as string, all[i]]));
    },
    [name, store] as const,
  );
}

/** Writes like idb-keyval, into a database that may not exist yet. */
export async function writeDatabase(
  page: Page,
  name: string,
  store: string,
  values: Record<string, unknown>,
): Promise<void> {
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

/** Blocks other transactions on `store` until `let go` is called. */
export async function holdDatabase(page: Page, name: string, store: string): Promise<() => Promise<void>> {
  const held = await page.evaluateHandle(
    async ([name, store]) => {
      const opening = indexedDB.open(name);
      await new Promise((resolve) => (opening.onsuccess = resolve));
      const values = opening.result.transaction(store, 'readwrite').objectStore(store);
      const held = { isHeld: true };
      const goOn = (): void => {
        if (held.isHeld)
          values.count().onsuccess = goOn; // requests keep a transaction alive
        else opening.result.close();
      };
      goOn();
      return held;
    },
    [name, store] as const,
  );
  return () => held.evaluate((held) => void (held.isHeld = false));
}

export async function emptyDatabase(page: Page, name: string): Promise<void> {
  await page.evaluate((name) => {
    const deleting = indexedDB.deleteDatabase(name);
    return new Promise((resolve) => (deleting.onsuccess = () => resolve(undefined)));
  }, name);
}
