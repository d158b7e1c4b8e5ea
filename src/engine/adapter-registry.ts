import type { ArenaAdapter } from '../adapters/arena/adapter-arena.ts';
import type { AdapterModules } from '../adapters/formats/adapter-file.ts';
import type { AdapterLadder } from '../adapters/ladder/adapter-ladder.ts';
import { levelRanks, ranksByRule } from '../adapters/ladder/ladder-levels.ts';
import type { LevelRule } from '../chunking/chunk-plan.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type LoadedLora, loadLora } from '../models/load-lora.ts';
import { type AdapterMix, NO_ADAPTERS } from '../session/adapter-mix.ts';
import type { Session } from '../session/session.ts';
import { type ActiveUse, invokedAt } from './activation.ts';
import type { AdapterInfo, AdapterUse } from './types.ts';

interface Entry {
  ladder: AdapterLadder;
  /** Its modules as in the file, for the plain form. */
  plain: AdapterModules | undefined;
  info: AdapterInfo;
  /** Of an activated adapter: the tokens that it begins with. */
  invocation: readonly number[] | undefined;
  /** On the session it was last used in. */
  loaded: OnDevice | undefined;
  /** Its upload, which requests that begin together share. */
  loading?: { session: Session; done: Promise<OnDevice> } | undefined;
  /** Requests that run or wait with it. */
  uses: number;
}

interface OnDevice {
  session: Session;
  adapter?: ArenaAdapter;
  lora?: LoadedLora;
}

/** The adapters of an engine, by name. They outlive a lost device: the next use uploads them again. */
export class AdapterRegistry {
  readonly #entries = new Map<string, Entry>();

  /** `form`: how adapters are computed; the plain one is the reference of the other. */
  constructor(private readonly form: 'fused' | 'unfused') {}

  list(): AdapterInfo[] {
    return [...this.#entries.values()].map(({ info }) => info);
  }

  /** Uploads an adapter. Errors: `bad_request` when the name is taken. */
  async load(session: Session, name: string, adapter: AdapterModules, ladder: AdapterLadder): Promise<AdapterInfo> {
    if (this.#entries.has(name)) {
      throw new ChunkwiseError('bad_request', { field: 'name', reason: `an adapter ${name} is loaded already` });
    }
    const { modules, warnings } = ladder;
    const rank = Math.max(0, ...modules.map((module) => module.rank));
    const spectra = modules.map((module) => ({
      ...{ name: module.name, rank: module.rank },
      singularValues: [...module.singularValues],
    }));
    const { decisionTemperatures } = adapter;
    const invocation = adapter.invocation?.tokens;
    const info = {
      name,
      rank,
      modules: modules.length,
      bytes: 0,
      warnings,
      spectra,
      ...(invocation && { invocationTokens: invocation }),
      ...(decisionTemperatures && { decisionTemperatures }),
    };
    const plain = this.form === 'unfused' ? adapter : undefined;
    const entry: Entry = { ladder, plain, info, invocation, loaded: undefined, uses: 1 }; // it is not unloaded while it is loaded
    this.#entries.set(name, entry);
    try {
      await this.#onDevice(entry, session);
    } catch (error) {
      this.#entries.delete(name);
      throw error;
    }
    entry.uses--;
    return info;
  }

  /** Frees an adapter. Errors: `bad_request` when there is none of that name, or a request uses it. */
  unload(name: string): void {
    const entry = this.#find(name, 'name');
    if (entry.uses > 0) {
      const reason = `${name} is in use by ${entry.uses} requests`;
      throw new ChunkwiseError('bad_request', { field: 'name', reason });
    }
    this.#entries.delete(name);
    const { session, adapter, lora } = entry.loaded ?? {};
    if (!session || session.device.lost() !== undefined) return;
    lora?.destroy();
    if (adapter) session.transformer.arena.remove(adapter);
  }

  /** Keeps adapters from being unloaded until the returned function is called. Errors: `bad_request`. */
  hold(uses: readonly AdapterUse[]): () => void {
    const entries = uses.map(({ name }) => this.#find(name));
    for (const entry of entries) entry.uses++;
    return () => {
      for (const entry of entries) entry.uses--;
    };
  }

  /** The adapters that a text takes: activated ones from where their tokens last begin, where it has these; others from its beginning. */
  active(uses: readonly AdapterUse[], tokens: readonly number[]): ActiveUse[] {
    return uses.flatMap((use) => {
      const { invocation } = this.#find(use.name);
      const from = invocation ? invokedAt(tokens, invocation) : 0;
      return from === undefined ? [] : { ...use, from };
    });
  }

  /** Of activated adapters by name, from where a text takes them; undefined where there are none. */
  invokedAt(uses: readonly AdapterUse[], active: readonly ActiveUse[]): Record<string, number | null> | undefined {
    const activated = uses.filter(({ name }) => this.#find(name).invocation);
    if (activated.length === 0) return undefined;
    return Object.fromEntries(
      activated.map(({ name }) => [name, active.find((use) => use.name === name)?.from ?? null]),
    );
  }

  /** Stands for these adapters by content, and scales: the same in another visit, whatever they are called. */
  key(uses: readonly AdapterUse[]): string {
    return uses.map(({ name, scale }) => `${this.#find(name).ladder.contentHash}×${scale}`).join('+');
  }

  /** Mean rank of each level over all linears of the adapters. Errors: `bad_request`. */
  ladder(uses: readonly AdapterUse[], rule: LevelRule | null): number[] {
    const all = uses.map(({ name }) => {
      const { modules } = this.#find(name).ladder;
      return { modules: modules.length, meanRanks: ranksByRule(modules, rule).meanRanks };
    });
    const modules = all.reduce((sum, each) => sum + each.modules, 0);
    const sumOf = (level: number) => all.reduce((sum, each) => sum + each.modules * (each.meanRanks[level] ?? 0), 0);
    return (all[0]?.meanRanks ?? []).map((_, level) => sumOf(level) / Math.max(1, modules));
  }

  /** The adapters as `session` takes them, with the default levels. Errors: `bad_request`. */
  async mix(session: Session, uses: readonly (AdapterUse & Partial<ActiveUse>)[], table = ''): Promise<AdapterMix> {
    if (uses.length === 0) return NO_ADAPTERS;
    const loras = [];
    const adapters = [];
    for (const { name, scale, from } of uses) {
      const { lora, adapter } = await this.#onDevice(this.#find(name), session);
      if (lora) loras.push({ layers: lora.layers, scale });
      if (adapter) adapters.push({ adapter, table, scale, from });
    }
    return { loras, adapters, key: this.key(uses) };
  }

  /**
   * The same with levels by `rule`, which hold until `release` is called. Errors: those of `mix`; `over_limit` where the
   * device has no room for all that these levels have of the adapters.
   */
  async mixByRule(session: Session, uses: readonly ActiveUse[], rule: LevelRule | null) {
    const table = rule ? JSON.stringify(rule) : '';
    const mix = await this.mix(session, uses, table);
    const {
      device,
      transformer: { arena },
    } = session;
    const before = arena.buffersIfAny;
    const held: ArenaAdapter[] = [];
    const release = (): void => {
      for (const adapter of held.splice(0)) arena.release(adapter, table);
    };
    try {
      for (const [i, { adapter }] of mix.adapters.entries()) {
        const bytes = device.buffers.report().adapters;
        arena.hold(adapter, table, () => ranksByRule(adapter.modules, rule).ranks);
        held.push(adapter);
        this.#find(uses[i]!.name).info.bytes += device.buffers.report().adapters - bytes;
      }
      if (arena.buffersIfAny !== before) await session.bindAdapters();
    } catch (error) {
      release();
      throw error;
    }
    return { mix, release };
  }

  #find(name: string, field = 'adapter'): Entry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    const known = [...this.#entries.keys()].join(', ') || 'none';
    const reason = `no adapter is loaded as ${JSON.stringify(name)}; these are: ${known}`;
    throw new ChunkwiseError('bad_request', { field, reason });
  }

  async #onDevice(entry: Entry, session: Session): Promise<OnDevice> {
    if (entry.loaded?.session === session) return entry.loaded;
    if (entry.loading?.session !== session) entry.loading = { session, done: this.#upload(entry, session) };
    try {
      return (entry.loaded = await entry.loading.done);
    } finally {
      entry.loading = undefined;
    }
  }

  async #upload({ plain, ladder, info }: Entry, session: Session): Promise<OnDevice> {
    const { device, transformer, recorder } = session;
    const before = device.buffers.report().adapters;
    const tellBytes = (): void => void (info.bytes = device.buffers.report().adapters - before);
    if (plain) {
      const lora = await loadLora(device, recorder, transformer, plain.modules);
      tellBytes();
      try {
        await session.checkPlainAdapters();
      } catch (error) {
        if (device.lost() === undefined) lora.destroy();
        throw error;
      }
      return { session, lora };
    }
    const adapter = transformer.arena.add(ladder.modules, levelRanks(ladder.modules).ranks);
    tellBytes();
    try {
      await session.bindAdapters();
      await session.checkAdapters();
    } catch (error) {
      if (device.lost() === undefined) transformer.arena.remove(adapter); // else all is made anew
      throw error;
    }
    return { session, adapter };
  }
}
