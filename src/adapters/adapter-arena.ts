import { MAX_LEVELS, MAX_SEQUENCES } from '../config/limits.ts';
import { megabytes } from '../util/values.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { DIRECTORY_UNITS, lowStride, ROW_UNITS, ROWS_START, UNIT_BYTES } from '../kernels/lora-layout.ts';
import type { LadderModule } from './rank-ladder.ts';
import { LINEAR_NAMES } from '../architectures/linears.ts';

/** Ranks `[level][module]`; at most MAX_LEVELS levels. */
type LevelTable = readonly (readonly number[])[];

/** An adapter in the arena. */
export interface ArenaAdapter {
  readonly modules: readonly LadderModule[];
  /** Components of each module on the GPU, up to its own rank: the highest rank of the levels in use. */
  rank: number;
  /** Level tables in use, by key: one per sequence slot, and the default. */
  readonly tables: { key: string; ranks: LevelTable; users: number }[];
}

/** Offset of an adapter's modules in units, and the components stored of each. */
interface Place {
  start: number;
  rank: number;
}

/** GPU buffers of the adapters. */
export interface ArenaBuffers {
  lora: GPUBuffer;
  /** A · input of the linears after a norm, and of those that add to the residual stream. */
  lowNormed: GPUBuffer;
  lowResidual: GPUBuffer;
  /** Per sequence slot: components read, and linears that read them. */
  counters: GPUBuffer;
}

const TABLES = 1 + MAX_SEQUENCES;

/**
 * The factors of all loaded adapters in one buffer (layout: lora-layout.ts), so that any mix of them runs with the same bind
 * groups. Adding, growing or removing an adapter creates a new buffer of the right size.
 */
export class AdapterArena {
  readonly counters: GPUBuffer;
  /** Buffers of the loaded adapters; undefined without any. */
  buffersIfAny: ArenaBuffers | undefined;
  #adapters: ArenaAdapter[] = [];
  #places = new Map<ArenaAdapter, Place>();
  #directory = 0;

  constructor(
    private readonly device: Device,
    private readonly numLayers: number,
    private readonly batchTokens: number,
    /** Most linears of a layer that share an input. */
    private readonly sideBySide = 3,
  ) {
    this.counters = device.buffers.storage('lora counters', 'activations', MAX_SEQUENCES * 8);
  }

  /** Buffers of the loaded adapters; throws an Error without any. */
  get buffers(): ArenaBuffers {
    if (!this.buffersIfAny) throw new Error('no adapters');
    return this.buffersIfAny;
  }

  /** Highest rank on the GPU, of all adapters. */
  get rank(): number {
    return Math.max(0, ...this.#adapters.map(({ rank }) => rank));
  }

  get lowStride(): number {
    return lowStride(this.rank);
  }

  /** Uploads an adapter's factors up to the highest rank of these levels. Errors: `over_limit` if all adapters exceed one buffer. */
  add(modules: readonly LadderModule[], ranks: LevelTable): ArenaAdapter {
    const adapter: ArenaAdapter = { modules, rank: highestOf(ranks), tables: [{ key: '', ranks, users: 0 }] };
    this.#rebuild([...this.#adapters, adapter]);
    return adapter;
  }

  /** Frees an adapter that no request uses. */
  remove(adapter: ArenaAdapter): void {
    this.#rebuild(this.#adapters.filter((other) => other !== adapter));
  }

  /**
   * Starts a use of an adapter with the ranks that `key` identifies, until `release`. Uploads missing components, which then
   * stay. Errors: `over_limit`, as in `add`.
   */
  hold(adapter: ArenaAdapter, key: string, ranks: () => LevelTable): void {
    const { tables } = adapter;
    let table = tables.find((known) => known.key === key);
    if (!table) {
      const free = tables.length < TABLES ? tables.length : tables.findIndex(({ users }, i) => i > 0 && users === 0);
      table = { key, ranks: ranks(), users: 0 };
      if (table.ranks.length > MAX_LEVELS) throw new Error(`${table.ranks.length} levels`);
      const rank = highestOf(table.ranks);
      if (rank > adapter.rank) this.#rebuild(this.#adapters, { adapter, rank });
      tables[free] = table;
      this.#writeTable(adapter, free);
    }
    table.users++;
  }

  release(adapter: ArenaAdapter, key: string): void {
    const table = adapter.tables.find((known) => known.key === key);
    if (table) table.users--;
  }

  /** Number that identifies an adapter with the level table of `key` in rows; 0: no adapter. */
  number(adapter: ArenaAdapter, key: string): number {
    const table = Math.max(
      0,
      adapter.tables.findIndex((known) => known.key === key),
    );
    return 1 + this.#adapters.indexOf(adapter) * TABLES + table;
  }

  /** Offset of a layer's directory. */
  directoryOf(layer: number): number {
    return this.#directory + layer * this.#layerUnits(this.#adapters.length);
  }

  /** Uploads the rows of the next submission. */
  writeRows(rows: Uint32Array<ArrayBuffer>): void {
    this.device.gpuDevice.queue.writeBuffer(this.buffers.lora, ROWS_START * UNIT_BYTES, rows);
  }

  /** Byte offset in `lora` of the row of a sequence slot's next token. */
  static streamRow(slot: number): number {
    return slot * ROW_UNITS * UNIT_BYTES;
  }

  #layerUnits(adapters: number): number {
    return (1 + adapters * TABLES) * LINEAR_NAMES.length * DIRECTORY_UNITS;
  }

  /** `grown`: an adapter to store with a higher rank. */
  #rebuild(adapters: ArenaAdapter[], grown?: { adapter: ArenaAdapter; rank: number }): void {
    const { buffers, gpuDevice, limits } = this.device;
    buffers.expectNoneRecorded('adapters');
    const old = this.buffersIfAny;
    const oldPlaces = this.#places;
    const directory = ROWS_START + this.batchTokens * adapters.length * ROW_UNITS;
    let end = directory + this.numLayers * this.#layerUnits(adapters.length);
    const places = new Map<ArenaAdapter, Place>();
    for (const adapter of adapters) {
      const rank = grown?.adapter === adapter ? grown.rank : adapter.rank;
      places.set(adapter, { start: end, rank });
      end += factorUnits(adapter.modules, rank);
    }
    const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
    if (end * UNIT_BYTES > most) {
      const reason = `all adapters together need ${megabytes(end * UNIT_BYTES)}, but a buffer holds ${megabytes(most, Math.floor)} on this device`;
      throw new ChunkwiseError('over_limit', { field: 'adapters', reason });
    }
    if (grown) grown.adapter.rank = grown.rank;
    this.#adapters = adapters;
    this.#places = places;
    this.#directory = directory;
    if (adapters.length === 0) {
      this.buffersIfAny = undefined;
    } else {
      const low = this.batchTokens * adapters.length * this.lowStride * 4;
      this.buffersIfAny = {
        lora: buffers.storage('adapters', 'adapters', end * UNIT_BYTES),
        lowNormed: buffers.storage('low normed', 'adapters', this.sideBySide * low),
        lowResidual: buffers.storage('low residual', 'adapters', low),
        counters: this.counters,
      };
      const { lora } = this.buffersIfAny;
      const encoder = gpuDevice.createCommandEncoder();
      if (old) encoder.copyBufferToBuffer(old.lora, 0, lora, 0, ROWS_START * UNIT_BYTES);
      for (const [adapter, { start, rank }] of places) {
        const from = oldPlaces.get(adapter);
        const size = factorUnits(adapter.modules, rank) * UNIT_BYTES;
        if (old && from?.rank === rank) {
          encoder.copyBufferToBuffer(old.lora, from.start * UNIT_BYTES, lora, start * UNIT_BYTES, size);
        } else {
          this.#writeFactors(adapter.modules, start, rank);
        }
        adapter.tables.forEach((_, i) => this.#writeTable(adapter, i));
      }
      gpuDevice.queue.submit([encoder.finish()]);
    }
    if (old) for (const buffer of [old.lora, old.lowNormed, old.lowResidual]) buffers.destroy(buffer);
  }

  #writeFactors(modules: readonly LadderModule[], start: number, most: number): void {
    let at = start;
    for (const module of modules) {
      const rank = Math.min(module.rank, most);
      this.#write(at, module.a.slice(0, rank * module.inFeatures));
      at += unitsOf(rank, module.inFeatures);
      this.#write(at, module.bTransposed.slice(0, rank * module.outFeatures));
      at += unitsOf(rank, module.outFeatures);
    }
  }

  /** Writes an adapter's `index`th entry of every layer's directory: offsets of its factors, and their ranks by level. */
  #writeTable(adapter: ArenaAdapter, index: number): void {
    const { ranks } = adapter.tables[index] ?? { ranks: [] };
    const entry = 1 + this.#adapters.indexOf(adapter) * TABLES + index;
    const words = LINEAR_NAMES.length * DIRECTORY_UNITS * 2;
    const layers = Array.from({ length: this.numLayers }, () => new Uint32Array(words));
    let at = this.#places.get(adapter)?.start ?? 0;
    adapter.modules.forEach(({ layer, linear, rank, inFeatures, outFeatures }, module) => {
      const components = Math.min(rank, adapter.rank);
      const b = at + unitsOf(components, inFeatures);
      const levels = Array.from({ length: MAX_LEVELS }, (_, level) => (ranks[level] ?? ranks.at(-1))?.[module] ?? 0);
      const packed = [0, 2, 4].map((level) => (levels[level] ?? 0) | ((levels[level + 1] ?? 0) << 16));
      layers[layer]?.set([at, b, ...packed], LINEAR_NAMES.indexOf(linear) * DIRECTORY_UNITS * 2);
      at = b + unitsOf(components, outFeatures);
    });
    layers.forEach((table, layer) => {
      this.#write(this.directoryOf(layer) + entry * LINEAR_NAMES.length * DIRECTORY_UNITS, table);
    });
  }

  #write(unit: number, data: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): void {
    if (this.buffersIfAny && data.length > 0)
      this.device.gpuDevice.queue.writeBuffer(this.buffersIfAny.lora, unit * UNIT_BYTES, data);
  }
}

const unitsOf = (rank: number, features: number): number => (rank * features * 2) / UNIT_BYTES;

const factorUnits = (modules: readonly LadderModule[], most: number): number =>
  modules.reduce(
    (sum, { rank, inFeatures, outFeatures }) => sum + unitsOf(Math.min(rank, most), inFeatures + outFeatures),
    0,
  );

const highestOf = (ranks: LevelTable): number => Math.max(0, ...ranks.flat());
