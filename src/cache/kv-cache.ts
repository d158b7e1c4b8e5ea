import { MAX_STREAMS } from '../config/max-streams.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_TOKENS, pageBytes } from '../kernels/heads.ts';
import { PAGE_ENTRY_WORDS, PAGE_FORMS, pageEntry } from '../kernels/page-forms.ts';
import { PROBES, probeFloats } from '../kernels/probe-page.ts';
import { type LayerPage, LayerPages } from './layer-pages.ts';
import type { Change } from './policy.ts';

/** Of a page to write in another form. */
const TASK_WORDS = 4;

export const pagesFor = (tokens: number): number => Math.ceil(tokens / PAGE_TOKENS);

const probeBytes = ({ numHeads, headDim }: ModelConfig): number => MAX_STREAMS * PROBES * numHeads * probeFloats(headDim) * 4;

/** Most bytes of the whole cache for `numPages` pages. */
export const cacheBytes = (config: ModelConfig, numPages: number): number =>
  config.numLayers * (numPages * (pageBytes(config) + (MAX_STREAMS * PAGE_ENTRY_WORDS + TASK_WORDS) * 4) + probeBytes(config));

/** Consecutive tokens of a sequence: in each layer a page of its own form. */
export interface CachePage {
  /** Position of its first token. */
  readonly base: number;
  readonly layers: readonly LayerPage[];
}

/** Tasks of one layer, `count` from `first` on. */
export interface TaskRun {
  layer: number;
  first: number;
  count: number;
}

/** Keys and values of every sequence: pages, and the tables by which kernels find them. */
export class KvCache {
  readonly layers: readonly LayerPages[];
  /** Of each layer: entries of the pages of the sequences being computed, in order: `[MAX_STREAMS, numPages, 4]`, u32. */
  readonly tables: readonly GPUBuffer[];
  /** Of each layer: what each stream's latest queries were and found; see probe-page.ts. */
  readonly probes: readonly GPUBuffer[];
  /** Pages to write in another form before the next batch; see quantize-page.ts. */
  readonly tasks: GPUBuffer;
  readonly #shown: (readonly CachePage[])[] = Array.from({ length: MAX_STREAMS }, () => []);
  #count = 0;

  /** `onMoved`: a layer has another buffer. */
  constructor(
    private readonly device: Device,
    config: ModelConfig,
    readonly numPages: number,
    onMoved: (layer: number) => void,
  ) {
    this.layers = Array.from({ length: config.numLayers }, (_, layer) => {
      const moved = (): void => {
        this.#shown.fill([]);
        onMoved(layer);
      };
      return new LayerPages(device, config, layer, numPages, moved);
    });
    const bytes = MAX_STREAMS * numPages * PAGE_ENTRY_WORDS * 4;
    this.probes = this.layers.map((_, layer) => device.buffers.storage(`probes ${layer}`, 'kv', probeBytes(config)));
    this.tasks = device.buffers.storage('page tasks', 'kv', config.numLayers * numPages * TASK_WORDS * 4);
    this.tables = this.layers.map((_, layer) => device.buffers.storage(`page table ${layer}`, 'kv', bytes));
  }

  get freePages(): number {
    return this.numPages - this.#count;
  }

  /** Lengthens or shortens `pages` in place to hold `tokens` tokens; false when too few pages are free. */
  resize(pages: CachePage[], tokens: number): boolean {
    const wanted = pagesFor(tokens);
    if (wanted - pages.length > this.freePages) return false;
    for (const layer of this.layers) layer.reserve(wanted - pages.length);
    while (pages.length > wanted) this.#remove(pages.pop() as CachePage);
    while (pages.length < wanted) {
      pages.push({ base: pages.length * PAGE_TOKENS, layers: this.layers.map((layer) => layer.add('f16')) });
      this.#count++;
    }
    return true;
  }

  /** First entry of a stream slot's region of the tables. */
  firstPage(slot: number): number {
    return slot * this.numPages;
  }

  /** Makes `pages` those of the sequence in `slot` for the next submissions; writes only what changed. */
  show(slot: number, pages: readonly CachePage[]): void {
    const shown = this.#shown[slot] ?? [];
    let from = 0;
    while (from < pages.length && pages[from] === shown[from]) from++;
    this.#shown[slot] = [...pages];
    if (from === pages.length) return;
    const offset = (this.firstPage(slot) + from) * PAGE_ENTRY_WORDS * 4;
    this.tables.forEach((table, layer) => {
      const entries = pages.slice(from).flatMap(({ base, layers }) => {
        const { place, form, entries } = layers[layer] as LayerPage;
        return pageEntry(place.offset, form, entries, base);
      });
      this.device.gpuDevice.queue.writeBuffer(table, offset, Uint32Array.from(entries));
    });
  }

  /**
   * Gives pages of sequences other forms: writes the tasks, and returns those that each layer is to run before the next
   * batch. Nothing may be recorded.
   */
  change(wanted: readonly { pages: CachePage[]; changes: readonly Change[] }[]): TaskRun[] {
    for (const layer of this.layers) layer.shrink();
    const moves = wanted.flatMap(({ pages, changes }) => changes.map((change) => this.#replace(pages, change)));
    if (moves.length === 0) return [];
    const byLayer = this.layers.map((_, layer) => moves.filter((move) => move.layer === layer));
    const ordered = byLayer.flat();
    // Only now are all places known: any of them may have made its layer's pages move.
    const words = ordered.flatMap(({ from, to }) => [from.place.offset, to.place.offset, PAGE_FORMS.indexOf(to.form), 0]);
    this.device.gpuDevice.queue.writeBuffer(this.tasks, 0, Uint32Array.from(words));
    for (const { layer, from } of moves) this.layers[layer]?.remove(from);
    let first = 0;
    return byLayer.flatMap(({ length: count }, layer) => {
      first += count;
      return count > 0 ? [{ layer, first: first - count, count }] : [];
    });
  }

  /** The former page stays until it is read. */
  #replace(pages: CachePage[], { page: at, layer, form }: Change) {
    const page = pages[at];
    const from = page?.layers[layer];
    const to = this.layers[layer]?.add(form);
    if (!page || !from || !to) throw new Error(`no page ${at} of layer ${layer}`);
    pages[at] = { ...page, layers: page.layers.with(layer, to) };
    return { layer, from, to };
  }

  #remove({ layers }: CachePage): void {
    layers.forEach((page, layer) => this.layers[layer]?.remove(page));
    this.#count--;
  }
}
