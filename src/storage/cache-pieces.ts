import type { FileNote, PieceStore } from '../downloads/piece-store.ts';

const CACHE = 'chunkwise-models';
/** No request goes there; keys of the Cache API must be URLs. */
const ORIGIN = 'https://chunkwise.invalid/';

/** A file's pieces as responses in the Cache API, for browsers without a private file system. */
export class CachePieces implements PieceStore {
  readonly pieces = new Map<number, string>();
  note: FileNote | undefined;
  isVerified = false;

  private constructor(
    private readonly cache: Cache,
    private readonly root: string,
  ) {}

  /** Throws if the browser has no cache either. */
  static async open(name: string): Promise<CachePieces> {
    const store = new CachePieces(await caches.open(CACHE), `${ORIGIN}${name}/`);
    store.note = (await (await store.cache.match(store.#key('note')))?.json()) as FileNote | undefined;
    for (const key of await store.#keys()) {
      const [index = '', sha256] = key.slice(store.root.length).split('/');
      if (index === 'verified') store.isVerified = true;
      else if (sha256 !== undefined) store.pieces.set(Number(index), sha256);
    }
    return store;
  }

  /** Names of all files with stored pieces. */
  static async names(): Promise<string[]> {
    const keys = await (await caches.open(CACHE)).keys();
    return [...new Set(keys.map(({ url }) => url.slice(ORIGIN.length).split('/')[0] ?? ''))];
  }

  async begin(note: FileNote): Promise<void> {
    for (const key of await this.#keys()) await this.cache.delete(key);
    this.pieces.clear();
    this.isVerified = false;
    this.note = note;
    await this.cache.put(this.#key('note'), new Response(JSON.stringify(note)));
  }

  async put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
    const before = this.pieces.get(index);
    await this.cache.put(this.#key(`${index}/${sha256}`), new Response(bytes));
    if (before !== undefined && before !== sha256) await this.cache.delete(this.#key(`${index}/${before}`));
    this.pieces.set(index, sha256);
  }

  async get(index: number): Promise<Uint8Array<ArrayBuffer>> {
    const answer = await this.#answer(index);
    return answer ? new Uint8Array(await answer.arrayBuffer()) : new Uint8Array();
  }

  async setVerified(): Promise<void> {
    await this.cache.put(this.#key('verified'), new Response(''));
    this.isVerified = true;
  }

  /** The blob's parts stay on disk until they are read. */
  async blob(): Promise<Blob> {
    const parts: Blob[] = [];
    for (let i = 0; i < this.pieces.size; i++) parts.push((await (await this.#answer(i))?.blob()) ?? new Blob());
    return new Blob(parts);
  }

  async remove(): Promise<void> {
    for (const key of await this.#keys()) await this.cache.delete(key);
  }

  close(): void {}

  async #answer(index: number): Promise<Response | undefined> {
    return this.cache.match(this.#key(`${index}/${this.pieces.get(index) ?? ''}`));
  }

  async #keys(): Promise<string[]> {
    return (await this.cache.keys()).map(({ url }) => url).filter((url) => url.startsWith(this.root));
  }

  #key(rest: string): string {
    return this.root + rest;
  }
}
