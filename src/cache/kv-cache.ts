import { TAIL_TOKENS } from '../config/delta-net.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import { hasPages, hasState, keyLayerOf, type ModelConfig, sharesKeys } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { PAGE_ENTRY_WORDS, pageEntry, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { FOUND_BYTES } from '../kernels/probe-page.ts';
import {
  type CachePage,
  type Change,
  type Copy,
  givenBack,
  isGivenBack,
  type LayerPage,
  type PageState,
} from './cache-page.ts';
import { LayerPages } from './layer-pages.ts';
import { probeBytes, StreamProbes } from './stream-probes.ts';
import { mostStates, type TextState, TextStates } from './text-states.ts';
import { countInSight, layerPageUnits, mostInSight, pagesBehind, shortSighted } from './windows.ts';

/** Of a page to write in another form: its entry in the page table, and its copy's. */
const TASK_WORDS = 2 * PAGE_ENTRY_WORDS;
/** Pages of one layer that are written anew at once, at most. */
export const TASKS_OF_LAYER = 48;

export const pagesFor = (tokens: number): number => Math.ceil(tokens / PAGE_TOKENS);

/** Of the errors of every trial at once. */
export const errorBytes = ({ numLayers, numHeads }: ModelConfig): number =>
  numLayers * TASKS_OF_LAYER * numHeads * FOUND_BYTES;

export interface CacheSize {
  /** Of all sequences. */
  numPages: number;
  /** Most tokens of a sequence that are computed at once; default: all. */
  batchTokens?: number;
}

/** Most pages that short-sighted layers have of all sequences: those longest unused make way for those being computed. */
const pagesInSight = (config: ModelConfig, { numPages, batchTokens = Infinity }: CacheSize): number =>
  Math.min(numPages, MAX_STREAMS * mostInSight(config, batchTokens));

/** Most pages of each layer; where it has states in their place, most of these. */
function layerPageCounts(config: ModelConfig, size: CacheSize): number[] {
  const inSight = pagesInSight(config, size);
  return Array.from({ length: config.numLayers }, (_, layer) => {
    if (hasState(config, layer)) return mostStates(size.numPages);
    if (sharesKeys(config, layer)) return 0;
    return shortSighted(config).includes(layer) ? inSight : size.numPages;
  });
}

/** Most bytes of the pages of each layer, or of its states, with tails. */
export const layerPageBytes = (config: ModelConfig, size: CacheSize): number[] =>
  layerPageCounts(config, size).map((count, layer) => {
    const entries = PAGE_TOKENS + (hasState(config, layer) ? TAIL_TOKENS : 0);
    return count * layerPageUnits(config, layer, 'f16', entries) * UNIT_BYTES;
  });

/** Most bytes of the whole cache. */
export const cacheBytes = (config: ModelConfig, size: CacheSize): number =>
  layerPageBytes(config, size).reduce((sum, bytes) => sum + bytes, 0) +
  (config.sharedKeys?.from ?? config.numLayers) * size.numPages * MAX_STREAMS * PAGE_ENTRY_WORDS * 4 +
  config.numLayers * (TASKS_OF_LAYER * TASK_WORDS * 4 + MAX_STREAMS * probeBytes(config)) +
  errorBytes(config);

/** Tasks of one layer and one kernel, `count` from `first` on. */
export interface TaskRun {
  layer: number;
  /** To sparse pages; else to quantized ones. */
  condenses: boolean;
  first: number;
  count: number;
}

/** Keys and values of every sequence: pages, and the tables by which kernels find them. */
export class KvCache {
  /** Of each layer; of one that shares keys those of the layer that it shares them with. */
  readonly layers: readonly LayerPages[];
  /** Of each layer: entries of the pages of the sequences being computed, in order: `[MAX_STREAMS, numPages, 4]`, u32. */
  readonly tables: readonly GPUBuffer[];
  readonly states: TextStates;
  readonly probes: StreamProbes;
  /** Copies to write before the next batch; see quantize-page.ts. */
  readonly tasks: GPUBuffer;
  /** What probe-page finds: `[tasks, numHeads, FOUND_FLOATS]`. */
  readonly errors: GPUBuffer;
  readonly #shown: (readonly CachePage[])[] = Array.from({ length: MAX_STREAMS }, () => []);
  /** The layers' buffers, as they were shown. */
  #shownIn: readonly GPUBuffer[] = [];
  #count = 0;
  /** Of these, those that short-sighted layers have. */
  #inSight = 0;
  readonly #mostInSight: number;
  readonly numPages: number;

  constructor(
    private readonly device: Device,
    readonly config: ModelConfig,
    size: CacheSize,
  ) {
    this.numPages = size.numPages;
    this.#mostInSight = pagesInSight(config, size);
    const own = layerPageCounts(config, size).map((count, layer) =>
      sharesKeys(config, layer) ? undefined : new LayerPages(device, config, layer, count),
    );
    const source = (layer: number): number => keyLayerOf(config, layer);
    this.layers = own.map((_, layer) => own[source(layer)] as LayerPages);
    const bytes = MAX_STREAMS * size.numPages * PAGE_ENTRY_WORDS * 4;
    this.probes = new StreamProbes(device, config);
    this.tasks = device.buffers.storage('page tasks', 'kv', config.numLayers * TASKS_OF_LAYER * TASK_WORDS * 4);
    this.errors = device.buffers.storage('page errors', 'kv', errorBytes(config));
    const tables = own.map((pages, layer) => pages && device.buffers.storage(`page table ${layer}`, 'kv', bytes));
    this.tables = own.map((_, layer) => tables[source(layer)] as GPUBuffer);
    this.states = new TextStates(device, config, this);
  }

  get freePages(): number {
    return this.numPages - this.#count;
  }

  /** Whether so many pages more can be had, of which short-sighted layers have so many. */
  hasRoom(pages: number, inSight: number): boolean {
    return pages <= this.freePages && inSight <= this.#mostInSight - this.#inSight;
  }

  /**
   * Pages of a sequence as they were saved, `[page][layer]`, from position 0 on; `bytes`: of each layer's, one behind
   * another, and states behind so many of its tokens each. There must be room for them. Throws where anything is recorded.
   */
  restore(
    saved: readonly (readonly PageState[])[],
    bytes: readonly Uint8Array<ArrayBuffer>[],
    states: readonly number[] = [],
  ): { pages: CachePage[]; states: TextState[] } {
    this.device.buffers.expectNoneRecorded('kv pages');
    if (!this.hasRoom(saved.length, countInSight(this.config, saved)))
      throw new Error(`no room for ${saved.length} pages`);
    const ofLayers = this.layers.map((layer, i) => {
      const own = hasState(this.config, i)
        ? states.map(() => ({ form: 'f16' as const, entries: PAGE_TOKENS, mass: 0 }))
        : [];
      if (sharesKeys(this.config, i)) return saved.map(givenBack);
      return layer.restore([...saved.flatMap((page) => page[i] ?? []), ...own], bytes[i] as Uint8Array<ArrayBuffer>);
    });
    this.#added(saved);
    const pages = saved.map((_, page) => ({
      base: page * PAGE_TOKENS,
      layers: ofLayers.map((own) => own[page] as LayerPage),
    }));
    return {
      pages,
      states: states.map((tokens, i) =>
        this.states.restored(
          tokens,
          ofLayers.map((own) => own[saved.length + i] ?? givenBack()),
        ),
      ),
    };
  }

  /** Copies of pages in f16, where there is room for them; else undefined. Throws where anything is recorded. */
  copyOf(pages: readonly CachePage[]): CachePage[] | undefined {
    this.device.buffers.expectNoneRecorded('kv pages');
    const states = pages.map(({ layers }) => layers);
    if (!this.hasRoom(pages.length, countInSight(this.config, states))) return undefined;
    const ofLayers = this.layers.map((layer, i) =>
      hasPages(this.config, i) ? layer.copyOf(pages.map(({ layers }) => layers[i] as LayerPage)) : pages.map(givenBack),
    );
    this.#added(states);
    return pages.map(({ base }, page) => ({ base, layers: ofLayers.map((copies) => copies[page] as LayerPage) }));
  }

  /** Lengthens or shortens `pages` in place to hold `tokens` tokens; false where there is no room. */
  resize(pages: CachePage[], tokens: number): boolean {
    const wanted = pagesFor(tokens);
    if (!this.hasRoom(wanted - pages.length, wanted - pages.length)) return false;
    this.layers.forEach((layer, i) => {
      if (hasPages(this.config, i)) layer.reserve(wanted - pages.length);
    });
    while (pages.length > wanted) this.#remove(pages.pop() as CachePage);
    while (pages.length < wanted) {
      const page = {
        base: pages.length * PAGE_TOKENS,
        layers: this.layers.map((layer, i) => (hasPages(this.config, i) ? layer.add('f16') : givenBack())),
      };
      pages.push(page);
      this.#added([page.layers]);
    }
    return true;
  }

  /** Gives up `count` pages from the `first` on; those behind them take their places. Throws where anything is recorded. */
  drop(pages: CachePage[], first: number, count: number): void {
    this.device.buffers.expectNoneRecorded('kv pages');
    for (const page of pages.splice(first, count)) this.#remove(page);
    for (let i = first; i < pages.length; i++) pages[i] = { ...(pages[i] as CachePage), base: i * PAGE_TOKENS };
  }

  /** Short-sighted layers give back what no token behind the first `tokens` sees. Throws where anything is recorded. */
  giveBackBehind(pages: CachePage[], tokens: number): void {
    const all = shortSighted(this.config);
    // Those before were given back as the text grew.
    for (let i = Math.min(pagesBehind(this.config, tokens), pages.length) - 1; i >= 0; i--) {
      const page = pages[i] as CachePage;
      const own = all.filter((layer) => !isGivenBack(page.layers[layer] as LayerPage));
      if (own.length === 0) return;
      this.device.buffers.expectNoneRecorded('kv pages');
      for (const layer of own) this.layers[layer]?.remove(page.layers[layer] as LayerPage);
      this.#inSight--;
      pages[i] = { ...page, layers: page.layers.map((each, layer) => (own.includes(layer) ? givenBack() : each)) };
    }
  }

  /** First entry of a stream slot's region of the tables. */
  firstPage(slot: number): number {
    return slot * this.numPages;
  }

  /** Makes `pages` those of the sequence in `slot` for the next submissions; writes only what changed. */
  show(slot: number, pages: readonly CachePage[]): void {
    this.#forgetMoved();
    const shown = this.#shown[slot] ?? [];
    let from = 0;
    while (from < pages.length && pages[from] === shown[from]) from++;
    this.#shown[slot] = [...pages];
    if (from === pages.length) return;
    const offset = (this.firstPage(slot) + from) * PAGE_ENTRY_WORDS * 4;
    this.tables.forEach((table, layer) => {
      if (!hasPages(this.config, layer)) return;
      const entries = pages.slice(from).flatMap(({ base, layers }) => {
        return entryOf(layers[layer] as LayerPage, base);
      });
      this.device.gpuDevice.queue.writeBuffer(table, offset, Uint32Array.from(entries));
    });
  }

  /** Gives memory back that few pages use. Throws where anything is recorded. */
  shrink(): void {
    this.device.buffers.expectNoneRecorded('kv pages');
    for (const layer of this.layers) layer.shrink();
  }

  /** As many copies as can be written at once. */
  get mostCopies(): number {
    return this.layers.length * TASKS_OF_LAYER;
  }

  /** Makes room for copies of pages, by layer. Throws where anything is recorded. */
  copies(pages: readonly CachePage[], changes: readonly Change[]): Copy[] {
    this.device.buffers.expectNoneRecorded('kv pages');
    const inOrder = [...changes].sort(
      (a, b) => a.layer - b.layer || Number(a.form === 'sparse') - Number(b.form === 'sparse'),
    );
    return inOrder.map((change) => {
      const from = pages[change.page]?.layers[change.layer];
      const to = this.layers[change.layer]?.add(change.form, change.entries);
      if (!from || !to) throw new Error(`no page ${change.page} of layer ${change.layer}`);
      return { ...change, from, to };
    });
  }

  /** Writes tasks: of pages of one layer in two forms each. */
  #writeTasks(
    pages: readonly CachePage[],
    tasks: readonly { page: number; from: LayerPage; to: LayerPage }[],
    first = 0,
  ): void {
    const words = tasks.flatMap(({ page, from, to }) =>
      [from, to].flatMap((each) => entryOf(each, pages[page]?.base ?? 0)),
    );
    this.device.gpuDevice.queue.writeBuffer(this.tasks, first * TASK_WORDS * 4, Uint32Array.from(words));
  }

  /** Writes as tasks the pages of a layer that have a shadow, and that; returns how many. */
  writeShadows(pages: readonly CachePage[], layer: number): number {
    const tasks = pages.flatMap(({ layers }, page) => {
      const from = layers[layer];
      return from?.shadow ? [{ page, from, to: from.shadow }] : [];
    });
    this.#writeTasks(pages, tasks);
    return tasks.length;
  }

  /** Writes the tasks of copies, from the `first` one on; returns those that each layer is to run before the next batch. */
  writeTasks(pages: readonly CachePage[], copies: readonly Copy[], first = 0): TaskRun[] {
    this.#writeTasks(pages, copies, first);
    const runs: TaskRun[] = [];
    copies.forEach(({ layer, form }, i) => {
      const last = runs.at(-1);
      const condenses = form === 'sparse';
      if (last?.layer === layer && last.condenses === condenses) last.count++;
      else runs.push({ layer, condenses, first: first + i, count: 1 });
    });
    return runs;
  }

  /** The copy takes its page's place. `shadows`: what the page was in f16 is kept behind it. */
  accept(pages: CachePage[], { page: at, layer, from, to }: Copy, shadows: boolean): void {
    const page = pages[at];
    if (!page) throw new Error(`no page ${at}`);
    const { shadow, ...bare } = from;
    const kept = shadows ? (shadow ?? from) : undefined;
    pages[at] = { ...page, layers: page.layers.with(layer, { ...to, mass: from.mass, ...(kept && { shadow: kept }) }) };
    if (kept !== from) this.layers[layer]?.remove(bare);
  }

  reject({ layer, to }: Copy): void {
    this.layers[layer]?.remove(to);
  }

  /** Pages that lie in another buffer than when they were shown have other entries. */
  #forgetMoved(): void {
    if (this.layers.every(({ buffer }, layer) => buffer === this.#shownIn[layer])) return;
    this.#shownIn = this.layers.map(({ buffer }) => buffer);
    this.#shown.fill([]);
  }

  #added(pages: readonly (readonly PageState[])[]): void {
    this.#count += pages.length;
    this.#inSight += countInSight(this.config, pages);
  }

  #remove({ layers }: CachePage): void {
    layers.forEach((page, layer) => {
      if (!isGivenBack(page)) this.layers[layer]?.remove(page);
    });
    this.#count--;
    this.#inSight -= countInSight(this.config, [layers]);
  }
}

const entryOf = ({ place, form, entries }: LayerPage, base: number): number[] =>
  pageEntry(place.offset, form, entries, base);
