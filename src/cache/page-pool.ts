import { MAX_STREAMS } from '../config/max-streams.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_TOKENS, pageBytes } from '../kernels/heads.ts';

export const pagesFor = (tokens: number): number => Math.ceil(tokens / PAGE_TOKENS);

/** Bytes of the whole cache for `numPages` pages. */
export const poolBytes = (config: ModelConfig, numPages: number): number =>
  config.numLayers * numPages * pageBytes(config) + MAX_STREAMS * numPages * 4;

/** The pages of every layer, handed out by number: a page is the same place in each layer's buffer. */
export class PagePool {
  /** One buffer a layer: `[numPages, 2 (keys, values), numKvHeads, PAGE_TOKENS, headDim]`, f16. */
  readonly layers: readonly GPUBuffer[];
  /** Physical pages of the sequences being computed, in order: `[MAX_STREAMS, numPages]`, u32. */
  readonly table: GPUBuffer;
  readonly #free: number[];
  readonly #shown: (readonly number[])[] = Array.from({ length: MAX_STREAMS }, () => []);

  constructor(
    private readonly device: Device,
    config: ModelConfig,
    readonly numPages: number,
  ) {
    const { buffers } = device;
    this.layers = Array.from({ length: config.numLayers }, (_, i) =>
      buffers.storage(`kv ${i}`, 'kv', numPages * pageBytes(config)),
    );
    this.table = buffers.storage('page table', 'kv', MAX_STREAMS * numPages * 4);
    this.#free = Array.from({ length: numPages }, (_, i) => numPages - 1 - i);
  }

  get freePages(): number {
    return this.#free.length;
  }

  /** Lengthens or shortens `pages` in place to hold `tokens` tokens; false when too few pages are free. */
  resize(pages: number[], tokens: number): boolean {
    const wanted = pagesFor(tokens);
    if (wanted - pages.length > this.#free.length) return false;
    while (pages.length > wanted) this.#free.push(pages.pop() as number);
    while (pages.length < wanted) pages.push(this.#free.pop() as number);
    return true;
  }

  /** First entry of a stream slot's region of the table. */
  firstPage(slot: number): number {
    return slot * this.numPages;
  }

  /** Makes `pages` those of the sequence in `slot` for the next submissions; writes only what changed. */
  show(slot: number, pages: readonly number[]): void {
    const shown = this.#shown[slot] ?? [];
    let from = 0;
    while (from < pages.length && pages[from] === shown[from]) from++;
    if (from < pages.length) {
      const offset = (this.firstPage(slot) + from) * 4;
      this.device.gpuDevice.queue.writeBuffer(this.table, offset, new Uint32Array(pages.slice(from)));
    }
    this.#shown[slot] = [...pages];
  }
}
