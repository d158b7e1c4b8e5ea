import { createStore, del, delMany, entries, get, getMany, promisifyRequest, set, setMany } from 'idb-keyval';

/** Of what is stored: 1 had the settings and the adapter alone, in idb-keyval's own database. */
const VERSION = 2;
const VERSION_KEY = 'version';
const VERSION_1_KEYS = { settings: 'chunkwise-demo-settings', adapter: 'chunkwise-demo-adapter' };

/** `newer`: a newer version of this page has written there, which this one leaves alone. */
export type StorageState = 'kept' | 'newer' | 'unavailable';

/** What the page keeps on the device, by key. Where it can keep nothing, everything lasts as long as the page. */
export class PageStorage {
  /** Called when something could not be written, for want of room. */
  onFull: () => void = () => undefined;

  private constructor(
    private readonly store: ReturnType<typeof createStore>,
    readonly state: StorageState,
  ) {}

  /** Brings what an older version has stored into today's form. */
  static async open(): Promise<PageStorage> {
    const store = createStore('chunkwise-page', 'values');
    try {
      const version = (await get<number>(VERSION_KEY, store)) ?? 0;
      if (version > VERSION) return new PageStorage(store, 'newer');
      if (version < VERSION) await migrateFrom1(store);
      return new PageStorage(store, 'kept');
    } catch {
      return new PageStorage(store, 'unavailable'); // a private window may have no storage
    }
  }

  async get<T>(key: string): Promise<T | undefined> {
    return this.state === 'kept' ? get<T>(key, this.store) : undefined;
  }

  /** Values whose keys begin with `prefix`. */
  async all(prefix: string): Promise<unknown[]> {
    if (this.state !== 'kept') return [];
    const found = await entries<string, unknown>(this.store);
    return found.filter(([key]) => key.startsWith(prefix)).map(([, value]) => value);
  }

  /** Never throws. */
  async set(key: string, value: unknown): Promise<void> {
    if (this.state === 'kept') await set(key, value, this.store).catch(() => this.onFull());
  }

  /** The same where the page may end now: what is written is not taken back with it. */
  async setAtLast(key: string, value: unknown): Promise<void> {
    if (this.state !== 'kept') return;
    const written = this.store('readwrite', (values) => {
      values.put(value, key);
      values.transaction.commit();
      return promisifyRequest(values.transaction);
    });
    await written.catch(() => this.onFull());
  }

  /** Never throws: deleting takes room too. */
  async delete(key: string): Promise<void> {
    if (this.state === 'kept') await del(key, this.store).catch(() => this.onFull());
  }
}

async function migrateFrom1(store: ReturnType<typeof createStore>): Promise<void> {
  const keys = Object.values(VERSION_1_KEYS);
  const values = await getMany<unknown>(keys);
  const moved = Object.keys(VERSION_1_KEYS).map((key, i): [string, unknown] => [key, values[i]]);
  await setMany([...moved.filter(([, value]) => value !== undefined), [VERSION_KEY, VERSION]], store);
  await delMany(keys).catch(() => undefined); // what was moved only takes room there
}
