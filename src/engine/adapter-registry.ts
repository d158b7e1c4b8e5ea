import type { AdapterModules } from '../adapters/adapter-file.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type LoadedLora, loadLora } from '../models/load-lora.ts';
import { type AdapterMix, NO_ADAPTERS } from './adapter-mix.ts';
import type { Session } from './session.ts';
import type { AdapterInfo, AdapterUse } from './types.ts';

interface Entry {
  /** Never used again, so that a name loaded anew is another adapter. */
  id: number;
  adapter: AdapterModules;
  info: AdapterInfo;
  /** On the session it was last used in. */
  loaded: { session: Session; lora: LoadedLora } | undefined;
  /** Requests that run or wait with it. */
  uses: number;
}

/** The adapters of an engine, by name. They outlive a lost device: the next use uploads them again. */
export class AdapterRegistry {
  readonly #entries = new Map<string, Entry>();
  #nextId = 1;

  list(): AdapterInfo[] {
    return [...this.#entries.values()].map(({ info }) => info);
  }

  /** Uploads an adapter. Errors: `bad_request` when the name is taken. */
  async load(session: Session, name: string, adapter: AdapterModules): Promise<AdapterInfo> {
    if (this.#entries.has(name)) {
      throw new ChunkwiseError('bad_request', { field: 'name', reason: `an adapter ${name} is loaded already` });
    }
    const { modules, warnings } = adapter;
    const rank = Math.max(0, ...modules.map((module) => module.rank));
    const info = { name, rank, modules: modules.length, bytes: 0, warnings };
    const entry: Entry = { id: this.#nextId++, adapter, info, loaded: undefined, uses: 0 };
    this.#entries.set(name, entry);
    try {
      info.bytes = (await this.#onDevice(entry, session)).bytes;
    } catch (error) {
      this.#entries.delete(name);
      throw error;
    }
    return info;
  }

  /** Frees an adapter. Errors: `bad_request` when there is none of that name, or a request uses it. */
  unload(name: string): void {
    const entry = this.#find(name);
    if (entry.uses > 0) {
      const reason = `${name} is in use by ${entry.uses} requests`;
      throw new ChunkwiseError('bad_request', { field: 'name', reason });
    }
    this.#entries.delete(name);
    if (entry.loaded?.session.device.lost() === undefined) entry.loaded?.lora.destroy();
  }

  /** Keeps adapters from being unloaded until the returned function is called. Errors: `bad_request`. */
  hold(uses: readonly AdapterUse[]): () => void {
    const entries = uses.map(({ name }) => this.#find(name));
    for (const entry of entries) entry.uses++;
    return () => {
      for (const entry of entries) entry.uses--;
    };
  }

  /** The adapters as `session` takes them. Errors: `bad_request`. */
  async mix(session: Session, uses: readonly AdapterUse[]): Promise<AdapterMix> {
    if (uses.length === 0) return NO_ADAPTERS;
    const loras = [];
    for (const { name, scale } of uses) {
      const { layers } = await this.#onDevice(this.#find(name), session);
      loras.push({ layers, scale });
    }
    const key = uses.map(({ name, scale }) => `${this.#find(name).id}×${scale}`).join('+');
    return { loras, key };
  }

  #find(name: string): Entry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    const known = [...this.#entries.keys()].join(', ') || 'none';
    const reason = `no adapter is loaded as ${JSON.stringify(name)}; these are: ${known}`;
    throw new ChunkwiseError('bad_request', { field: 'adapter', reason });
  }

  async #onDevice(entry: Entry, session: Session): Promise<LoadedLora> {
    if (entry.loaded?.session !== session) {
      const lora = await loadLora(session.device, session.transformer, entry.adapter.modules);
      entry.loaded = { session, lora };
    }
    return entry.loaded.lora;
  }
}
