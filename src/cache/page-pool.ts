import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_TOKENS, pageBytes } from '../kernels/heads.ts';

export const pagesFor = (tokens: number): number => Math.ceil(tokens / PAGE_TOKENS);

/** Bytes of the whole cache for `numPages` pages. */
export const poolBytes = (config: ModelConfig, numPages: number): number =>
  config.numLayers * numPages * pageBytes(config) + numPages * 4;

/** The pages of every layer, handed out by number: a page is the same place in each layer's buffer. */
export class PagePool {
  /** One buffer a layer: `[numPages, 2 (keys, values), numKvHeads, PAGE_TOKENS, headDim]`, f16. */
  readonly layers: readonly GPUBuffer[];
  /** Physical pages of the sequence being computed, in order; u32. */
  readonly table: GPUBuffer;
  readonly #free: number[];
  #shown: readonly number[] = [];

  constructor(
    private readonly device: Device,
    config: ModelConfig,
    readonly numPages: number,
  ) {
    const { buffers } = device;
    this.layers = Array.from({ length: config.numLayers }, (_, i) =>
      buffers.storage(`kv ${i}`, 'kv', numPages * pageBytes(config)),
    );
    this.table = buffers.storage('page table', 'kv', numPages * 4);
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

  /** Makes `pages` the sequence that the next submissions compute; writes only what changed. */
  show(pages: readonly number[]): void {
    let from = 0;
    while (from < pages.length && pages[from] === this.#shown[from]) from++;
    if (from < pages.length) {
      this.device.gpuDevice.queue.writeBuffer(this.table, from * 4, new Uint32Array(pages.slice(from)));
    }
    this.#shown = [...pages];
  }
}
