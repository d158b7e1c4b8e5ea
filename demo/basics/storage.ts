import { createStore, del, delMany, entries, get, getMany, set, setMany, update } from 'idb-keyval';

/** Version of the stored data. Version 1 had only the settings and the adapter, in idb-keyval's own database. */
const VERSION = 2;
const VERSION_KEY = 'version';
const VERSION_1_KEYS = { settings: 'chunkwise-demo-settings', adapter: 'chunkwise-demo-adapter' };

/** Keys of localStorage. */
const LAST_PREFIX = 'chunkwise-page ';

/** `newer`: a newer version of this page wrote the data, which this one does not touch. */
export type StorageState = 'kept' | 'newer' | 'unavailable';

/** The page's data on the device, by key. Without storage everything ends with the page. */
export class PageStorage {
  /** Called when a write fails for lack of room. */
  onFull: () => void = () => undefined;

  private constructor(
    private readonly store: ReturnType<typeof createStore>,
    readonly state: StorageState,
  ) {}

  /** Converts an older version's data. */
  static async open(): Promise<PageStorage> {
    const store = createStore('chunkwise-page', 'values');
    try {
      const version = (await get<number>(VERSION_KEY, store)) ?? 0;
      if (version > VERSION) return new PageStorage(store, 'newer');
      if (version < VERSION) await migrateFrom1(store);
      return new PageStorage(store, 'kept');
    } catch {
      return new PageStorage(store, 'unavailable'); // private windows may have no storage
    }
  }

  async get<T>(key: string): Promise<T | undefined> {
    return this.state === 'kept' ? get<T>(key, this.store) : undefined;
  }

  /**
   * Values whose keys begin with `prefix`. First stores what `setAtLast` wrote as a page ended, unless what is stored
   * `isNewer`; without room for that, a key may have two values.
   */
  async all(prefix: string, isNewer: (stored: unknown, last: unknown) => boolean): Promise<unknown[]> {
    if (this.state !== 'kept') return [];
    for (const [key, text, last] of lastValues(prefix)) {
      const newest = (stored: unknown): unknown => (isNewer(stored, last) ? stored : last);
      await update(key, newest, this.store).then(
        () => removeLast(key, text),
        () => this.onFull(),
      );
    }
    const found = await entries<string, unknown>(this.store);
    const stored = found.filter(([key]) => key.startsWith(prefix)).map(([, value]) => value);
    return [...stored, ...lastValues(prefix).map(([, , last]) => last)];
  }

  /** Never throws. */
  async set(key: string, value: unknown): Promise<void> {
    if (this.state !== 'kept') return;
    const before = textOfLast(key);
    await set(key, value, this.store).then(
      () => removeLast(key, before),
      () => this.onFull(),
    );
  }

  /** Writes while the page may end: synchronously, because a browser may roll an IndexedDB write back with the page. */
  setAtLast(key: string, value: unknown): void {
    if (this.state !== 'kept') return;
    try {
      localStorage.setItem(LAST_PREFIX + key, JSON.stringify(value));
    } catch {
      // Without room for it, the latest `set` remains.
    }
  }

  /** Never throws; even a delete needs room. */
  async delete(key: string): Promise<void> {
    if (this.state !== 'kept') return;
    removeLast(key, textOfLast(key));
    await del(key, this.store).catch(() => this.onFull());
  }
}

/** Key, text and value of each `setAtLast`. */
function lastValues(prefix: string): [key: string, text: string, value: unknown][] {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(LAST_PREFIX + prefix));
    return keys.map((name) => {
      const text = localStorage.getItem(name) ?? 'null';
      return [name.slice(LAST_PREFIX.length), text, JSON.parse(text)];
    });
  } catch {
    return []; // some windows have no localStorage
  }
}

function textOfLast(key: string): string | null {
  try {
    return localStorage.getItem(LAST_PREFIX + key);
  } catch {
    return null; // some windows have no localStorage
  }
}

/** Unless another one than `text` was written since. */
function removeLast(key: string, text: string | null): void {
  if (text !== null && textOfLast(key) === text) localStorage.removeItem(LAST_PREFIX + key);
}

async function migrateFrom1(store: ReturnType<typeof createStore>): Promise<void> {
  const keys = Object.values(VERSION_1_KEYS);
  const values = await getMany<unknown>(keys);
  const moved = Object.keys(VERSION_1_KEYS).map((key, i): [string, unknown] => [key, values[i]]);
  await setMany([...moved.filter(([, value]) => value !== undefined), [VERSION_KEY, VERSION]], store);
  await delMany(keys).catch(() => undefined); // the moved entries only take room
}
