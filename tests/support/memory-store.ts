import type { CacheStore } from '../../src/cache/saved-cache.ts';

/** Keeps saved caches in memory, in `files`, where tests can damage them. */
export class MemoryStore implements CacheStore {
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();

  async get(name: string): Promise<ArrayBuffer | undefined> {
    return this.files.get(name)?.slice().buffer;
  }

  async put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.files.set(name, bytes.slice());
  }

  async delete(name: string): Promise<void> {
    this.files.delete(name);
  }

  async list(): Promise<{ name: string; bytes: number }[]> {
    return [...this.files].map(([name, { length }]) => ({ name, bytes: length }));
  }
}
