import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { BufferRange } from '../gpu/recorder.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { EntryMeasure } from '../kernels/pages.ts';
import { MEASURE_BYTES } from './cache-page.ts';

/** Most sparse pages of a layer written at once: each takes a page in f16 meanwhile. */
export const SPARSE_AT_ONCE = 8;
/** Most pages whose entries' shares are measured at once. */
export const MOST_MEASURED = 16;

/** Bytes of the sources of the sparse pages that are written at once. */
const sourceBytes = ({ numKvHeads }: ModelConfig): number => SPARSE_AT_ONCE * numKvHeads * PAGE_TOKENS * 4;

/** Bytes of a measure of all entries of `pages` pages. */
const measureBytes = ({ numLayers, numKvHeads }: ModelConfig, pages: number): number =>
  numLayers * pages * numKvHeads * PAGE_TOKENS * MEASURE_BYTES;

/** Most bytes of all sparse buffers of a cache with `pages` pages. */
export const sparseBytes = (config: ModelConfig, pages: number): number =>
  sourceBytes(config) + measureBytes(config, MOST_MEASURED) + measureBytes(config, pages);

/** A measure of the entries of pages: `[layer][page][head]`, PAGE_TOKENS each. */
export type EntryMeasures = readonly (readonly (readonly Float32Array<ArrayBuffer>[])[])[];

/** Buffers that only sparse pages need, created on first use. */
export class SparseBuffers {
  #sources: GPUBuffer | undefined;
  #shares: GPUBuffer | undefined;
  #squares: GPUBuffer | undefined;

  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
  ) {}

  /** Where the entries of the pages that are written were: u32 `[SPARSE_AT_ONCE, numKvHeads, PAGE_TOKENS]`; see gather-entries.wgsl. */
  get sources(): GPUBuffer {
    return (this.#sources ??= this.device.buffers.storage('sparse sources', 'kv', sourceBytes(this.config)));
  }

  /** Results of entry-attention: `[numLayers, pages, numKvHeads, PAGE_TOKENS]`, with room for MOST_MEASURED pages or those of `makeRoom`. */
  found(measure: EntryMeasure): GPUBuffer {
    return measure === 'share' ? this.#sharesOf() : (this.#squares ?? this.makeRoom(1));
  }

  #sharesOf(): GPUBuffer {
    const bytes = measureBytes(this.config, MOST_MEASURED);
    return (this.#shares ??= this.device.buffers.storage('entry shares', 'kv', bytes));
  }

  /** Makes room for the squares of `pages` pages. Throws if anything is recorded. */
  makeRoom(pages: number): GPUBuffer {
    const bytes = measureBytes(this.config, pages);
    const { buffers } = this.device;
    if (this.#squares && this.#squares.size >= bytes) return this.#squares;
    buffers.expectNoneRecorded('entry squares');
    if (this.#squares) buffers.destroy(this.#squares);
    return (this.#squares = buffers.storage('entry squares', 'kv', bytes));
  }

  /** Where a batch leaves the squares of `pages` pages. */
  squares(pages: number): BufferRange {
    return { buffer: this.found('square'), offset: 0, size: measureBytes(this.config, pages) };
  }

  /** The first float of a layer in `found`, after a batch that measured `pages` pages. */
  firstFound(measure: EntryMeasure, layer: number, pages: number): number {
    const most = measure === 'share' ? MOST_MEASURED : pages;
    return (layer * measureBytes(this.config, most)) / this.config.numLayers / MEASURE_BYTES;
  }

  /** The contents of `found` after a batch that measured `pages` pages. What is not a number counts as nothing. */
  measuresOf(measure: EntryMeasure, pages: number, found: Float32Array): EntryMeasures {
    const { numLayers, numKvHeads } = this.config;
    return entryMeasures({ layers: numLayers, pages, heads: numKvHeads }, (layer, page, head) => {
      const at = this.firstFound(measure, layer, pages) + (page * numKvHeads + head) * PAGE_TOKENS;
      return Float32Array.from(found.subarray(at, at + PAGE_TOKENS), (each) => (each >= 0 ? each : 0));
    });
  }
}

export const entryMeasures = (
  size: { layers: number; pages: number; heads: number },
  of: (layer: number, page: number, head: number) => Float32Array<ArrayBuffer>,
): EntryMeasures =>
  Array.from({ length: size.layers }, (_, layer) =>
    Array.from({ length: size.pages }, (__, page) =>
      Array.from({ length: size.heads }, (___, head) => of(layer, page, head)),
    ),
  );
