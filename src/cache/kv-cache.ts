import {
  hasPages,
  hasState,
  headDimOfLayer,
  keyLayerOf,
  type ModelConfig,
  sharesKeys,
  TAIL_TOKENS,
} from '../config/model-config.ts';
import { MAX_BRANCHES, MAX_SEQUENCES } from '../config/limits.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import {
  PAGE_ENTRY_WORDS,
  PAGE_FORMS,
  pageEntry,
  type PageForm,
  SPARSE_FORM,
  sparseHead,
  UNIT_BYTES,
} from '../kernels/formats/page-forms.ts';
import { FOUND_BYTES, probeFloats, PROBES } from '../kernels/pages.ts';
import {
  type CachePage,
  type Change,
  type Copy,
  countWindowPages,
  freedPage,
  isFreed,
  hasSparse,
  type LayerLosses,
  type LayerPage,
  layerPageUnits,
  mostWindowPages,
  pagesBeforeWindow,
  type PageState,
  type PageRun,
  type SavedPage,
  type Slot,
  slidingWindowLayers,
  sparsePageUnits,
} from './cache-page.ts';
import { LayerPages } from './layer-pages.ts';
import { SparseBuffers, sparseBytes } from './sparse-buffers.ts';
import type { NewContents, Source } from './sparse-entries.ts';
import { mostRecurrentStates, type RecurrentState, RecurrentStates, recurrentUnits } from './recurrent-states.ts';

/** Words of a task: the page-table entries of a page and of its copy. */
const TASK_WORDS = 2 * PAGE_ENTRY_WORDS;
/** Most pages of a layer converted at once. */
export const TASKS_OF_LAYER = 48;

/** Regions of the page table: one of each sequence slot, then one of each branch. */
const REGIONS = MAX_SEQUENCES + MAX_BRANCHES;

export const pagesFor = (tokens: number): number => Math.ceil(tokens / PAGE_TOKENS);

/** Bytes of the results of all probes that can run at once. */
export const errorBytes = ({ numLayers, numHeads }: ModelConfig): number =>
  numLayers * TASKS_OF_LAYER * numHeads * FOUND_BYTES;

interface CacheSize {
  /** Pages of all sequences. */
  numPages: number;
  /** Most tokens of a batch; default: unlimited. */
  batchTokens?: number;
}

/** Most pages of all sequences in a sliding-window layer; sequences longest unused are evicted for running ones. */
const pagesInSight = (config: ModelConfig, { numPages, batchTokens = Infinity }: CacheSize): number =>
  Math.min(numPages, MAX_SEQUENCES * mostWindowPages(config, batchTokens));

/** Most pages of each layer, or most recurrent states. */
function layerPageCounts(config: ModelConfig, size: CacheSize): number[] {
  const inSight = pagesInSight(config, size);
  return Array.from({ length: config.numLayers }, (_, layer) => {
    if (hasState(config, layer)) return mostRecurrentStates(size.numPages);
    if (sharesKeys(config, layer)) return 0;
    return slidingWindowLayers(config).includes(layer) ? inSight : size.numPages;
  });
}

/** Most bytes of each layer's pages, or of its recurrent states with tails. */
export const layerPageBytes = (config: ModelConfig, size: CacheSize): number[] =>
  layerPageCounts(config, size).map((count, layer) => {
    const entries = PAGE_TOKENS + (hasState(config, layer) ? TAIL_TOKENS : 0);
    return count * layerPageUnits(config, layer, 'f16', entries) * UNIT_BYTES;
  });

/** Most bytes of the whole cache. */
export const cacheBytes = (config: ModelConfig, size: CacheSize): number =>
  layerPageBytes(config, size).reduce((sum, bytes) => sum + bytes, 0) +
  (config.sharedKeys?.from ?? config.numLayers) * size.numPages * REGIONS * PAGE_ENTRY_WORDS * 4 +
  config.numLayers * (TASKS_OF_LAYER * TASK_WORDS * 4 + MAX_SEQUENCES * probeBytes(config)) +
  errorBytes(config) +
  sparseBytes(config, size.numPages);

/** Consecutive tasks of one layer: `count` from `first` on. */
export interface TaskRun {
  layer: number;
  first: number;
  count: number;
}

/** The KV cache of all sequences: pages, and page tables for the kernels. */
export class KvCache {
  /** Pages by layer; a layer that shares keys has those of its source layer. */
  readonly layers: readonly LayerPages[];
  /** Page tables by layer: entries of the running sequences' pages, u32 `[REGIONS, numPages, 4]`. */
  readonly tables: readonly GPUBuffer[];
  /** Only for models with delta-net layers. */
  readonly recurrentStates: RecurrentStates | undefined;
  readonly probes: StreamProbes;
  /** Conversions to run before the next batch; see quantize-page.ts. */
  readonly tasks: GPUBuffer;
  readonly sparse: SparseBuffers;
  /** Results of probe-page: `[tasks, numHeads, FOUND_FLOATS]`. */
  readonly errors: GPUBuffer;
  readonly #shown: (readonly CachePage[])[] = Array.from({ length: REGIONS }, () => []);
  /** The layers' buffers that the tables refer to. */
  #shownIn: readonly GPUBuffer[] = [];
  #count = 0;
  /** Pages that sliding-window layers hold, of `#count`. */
  #inSight = 0;
  readonly #mostWindowPages: number;
  /** Pages of a sequence for which sliding-window layers have room, however many run; Infinity without such layers. */
  readonly windowPages: number;
  readonly numPages: number;

  constructor(
    private readonly device: Device,
    readonly config: ModelConfig,
    size: CacheSize,
  ) {
    this.numPages = size.numPages;
    this.#mostWindowPages = pagesInSight(config, size);
    this.windowPages = mostWindowPages(config, size.batchTokens ?? Infinity);
    const own = layerPageCounts(config, size).map((count, layer) =>
      sharesKeys(config, layer) ? undefined : new LayerPages(device, config, layer, count),
    );
    const source = (layer: number): number => keyLayerOf(config, layer);
    this.layers = own.map((_, layer) => own[source(layer)] as LayerPages);
    const bytes = REGIONS * size.numPages * PAGE_ENTRY_WORDS * 4;
    this.probes = new StreamProbes(device, config);
    this.tasks = device.buffers.storage('page tasks', 'kv', config.numLayers * TASKS_OF_LAYER * TASK_WORDS * 4);
    this.sparse = new SparseBuffers(device, config);
    this.errors = device.buffers.storage('page errors', 'kv', errorBytes(config));
    const tables = own.map((pages, layer) => pages && device.buffers.storage(`page table ${layer}`, 'kv', bytes));
    this.tables = own.map((_, layer) => tables[source(layer)] as GPUBuffer);
    this.recurrentStates = config.deltaNet && new RecurrentStates(device, config, this);
  }

  get freePages(): number {
    return this.numPages - this.#count;
  }

  /** Whether `pages` more pages fit, `inSight` of them in sliding-window layers. */
  hasRoom(pages: number, inSight: number): boolean {
    return pages <= this.freePages && inSight <= this.#mostWindowPages - this.#inSight;
  }

  /**
   * Restores a saved sequence: pages `[page][layer]` from position 0 on, and recurrent states after the given token counts.
   * `bytes`: concatenated contents by layer, then the shares of entries. `sparse`: pages whose entries were chosen. There must
   * be room. Throws if anything is recorded.
   */
  restore(
    saved: readonly (readonly SavedPage[])[],
    bytes: readonly Uint8Array<ArrayBuffer>[],
    states: readonly number[] = [],
    sparse: PageRun = { first: 0, count: 0 },
  ): { pages: CachePage[]; states: RecurrentState[] } {
    this.device.buffers.expectNoneRecorded('kv pages');
    if (!this.hasRoom(saved.length, countWindowPages(this.config, saved)))
      throw new Error(`no room for ${saved.length} pages`);
    const ofLayers = this.layers.map((layer, i) => {
      const own = hasState(this.config, i) ? states.map(() => ({ form: 'f16' as const, entries: PAGE_TOKENS })) : [];
      if (sharesKeys(this.config, i)) return saved.map(freedPage);
      return layer.restore([...saved.flatMap((page) => page[i] ?? []), ...own], bytes[i] as Uint8Array<ArrayBuffer>);
    });
    this.#added(saved);
    const pages = saved.map((_, page) => ({
      base: page * PAGE_TOKENS,
      layers: ofLayers.map((own) => own[page] as LayerPage),
      isSparse: page >= sparse.first && page < sparse.first + sparse.count,
    }));
    return {
      pages,
      states: states.flatMap(
        (tokens, i) =>
          this.recurrentStates?.restored(
            tokens,
            ofLayers.map((own) => own[saved.length + i] ?? freedPage()),
          ) ?? [],
      ),
    };
  }

  /** Copies f16 pages; undefined without room. Throws if anything is recorded. */
  copyOf(pages: readonly CachePage[]): CachePage[] | undefined {
    this.device.buffers.expectNoneRecorded('kv pages');
    const states = pages.map(({ layers }) => layers);
    if (!this.hasRoom(pages.length, countWindowPages(this.config, states))) return undefined;
    const ofLayers = this.layers.map((layer, i) =>
      hasPages(this.config, i) ? layer.copyOf(pages.map(({ layers }) => layers[i] as LayerPage)) : pages.map(freedPage),
    );
    this.#added(states);
    return pages.map((each, page) => ({ ...each, layers: ofLayers.map((copies) => copies[page] as LayerPage) }));
  }

  /** Grows or shrinks `pages` in place to hold `tokens` tokens; false without room. */
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
        layers: this.layers.map((layer, i) => (hasPages(this.config, i) ? layer.add('f16') : freedPage())),
      };
      pages.push(page);
      this.#added([page.layers]);
    }
    return true;
  }

  /** Evicts `count` pages from `first` on; later pages move up. Throws if anything is recorded. */
  drop(pages: CachePage[], first: number, count: number): void {
    this.device.buffers.expectNoneRecorded('kv pages');
    for (const page of pages.splice(first, count)) this.#remove(page);
    for (let i = first; i < pages.length; i++) pages[i] = { ...(pages[i] as CachePage), base: i * PAGE_TOKENS };
  }

  /** Frees pages of sliding-window layers that no token after the first `tokens` sees. Throws if anything is recorded. */
  freeBeforeWindow(pages: CachePage[], tokens: number): void {
    const all = slidingWindowLayers(this.config);
    // Earlier pages were freed as the text grew.
    for (let i = Math.min(pagesBeforeWindow(this.config, tokens), pages.length) - 1; i >= 0; i--) {
      const page = pages[i] as CachePage;
      const own = all.filter((layer) => !isFreed(page.layers[layer] as LayerPage));
      if (own.length === 0) return;
      this.device.buffers.expectNoneRecorded('kv pages');
      for (const layer of own) this.layers[layer]?.remove(page.layers[layer] as LayerPage);
      this.#inSight--;
      pages[i] = { ...page, layers: page.layers.map((each, layer) => (own.includes(layer) ? freedPage() : each)) };
    }
  }

  /** First table entry of a region. */
  firstPage(region: number): number {
    return region * this.numPages;
  }

  /** Writes the page tables of the sequence in a region for the next submissions; only changed entries. */
  show(region: number, pages: readonly CachePage[]): void {
    this.#forgetMoved();
    const shown = this.#shown[region] ?? [];
    let from = 0;
    while (from < pages.length && pages[from] === shown[from]) from++;
    this.#shown[region] = [...pages];
    if (from === pages.length) return;
    const offset = (this.firstPage(region) + from) * PAGE_ENTRY_WORDS * 4;
    this.tables.forEach((table, layer) => {
      if (!hasPages(this.config, layer)) return;
      const entries = pages.slice(from).flatMap(({ base, layers }) => {
        return entryOf(layers[layer] as LayerPage, base);
      });
      this.device.gpuDevice.queue.writeBuffer(table, offset, Uint32Array.from(entries));
    });
  }

  /** Frees spare memory. Throws if anything is recorded. */
  shrink(): void {
    this.device.buffers.expectNoneRecorded('kv pages');
    for (const layer of this.layers) layer.shrink();
  }

  /** Most copies written at once. */
  get mostCopies(): number {
    return this.layers.length * TASKS_OF_LAYER;
  }

  /** Allocates copies of pages, ordered by layer. Throws if anything is recorded. */
  copies(pages: readonly CachePage[], changes: readonly Change[]): Copy[] {
    this.device.buffers.expectNoneRecorded('kv pages');
    const inOrder = [...changes].sort((a, b) => a.layer - b.layer);
    return inOrder.map((change) => {
      const from = pages[change.page]?.layers[change.layer];
      const to = this.layers[change.layer]?.add(change.form);
      if (!from || !to) throw new Error(`no page ${change.page} of layer ${change.layer}`);
      return { ...change, from, to };
    });
  }

  /** Writes tasks, each a page of one layer in two forms. */
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

  /** Writes tasks of a layer's pages and their shadows; returns their number. */
  writeShadows(pages: readonly CachePage[], layer: number): number {
    const tasks = pages.flatMap(({ layers }, page) => {
      const from = layers[layer];
      return from?.shadow ? [{ page, from, to: from.shadow }] : [];
    });
    this.#writeTasks(pages, tasks);
    return tasks.length;
  }

  /** Writes the tasks of copies, from task `first` on; returns the runs of tasks by layer. */
  writeTasks(pages: readonly CachePage[], copies: readonly Copy[], first = 0): TaskRun[] {
    this.#writeTasks(pages, copies, first);
    const runs: TaskRun[] = [];
    copies.forEach(({ layer }, i) => {
      const last = runs.at(-1);
      if (last?.layer === layer) last.count++;
      else runs.push({ layer, first: first + i, count: 1 });
    });
    return runs;
  }

  /** Replaces a page by its copy. `shadows`: keeps the f16 page as the copy's shadow. */
  accept(
    pages: CachePage[],
    { page: at, layer, from, to }: Pick<Copy, 'page' | 'layer' | 'from' | 'to'>,
    shadows: boolean,
  ): void {
    const page = pages[at];
    if (!page) throw new Error(`no page ${at}`);
    const { shadow, ...bare } = from;
    const kept = shadows ? (shadow ?? from) : undefined;
    const slots = to.slots ?? from.slots;
    const squares = to.form === 'sparse' ? to.squares : from.squares;
    const now = {
      ...{ ...to, ...(slots && { slots }), ...(squares && { squares }), ...(kept && { shadow: kept }) },
    };
    const wasSparse = hasSparse(page.layers);
    pages[at] = { ...page, layers: page.layers.with(layer, now) };
    if (!wasSparse && to.form === 'sparse') this.#count--;
    if (kept !== from) this.layers[layer]?.remove(bare);
  }

  /**
   * Adds sparse pages of a layer, at most SPARSE_AT_ONCE, none of them empty, and writes the tasks that fill them: `scratch` are the pages in f16
   * that these take. `region` shows the sequence. Throws if anything is recorded.
   */
  sparsePages(
    pages: readonly CachePage[],
    layer: number,
    contents: readonly NewContents[],
    region: number,
  ): { made: LayerPage[]; scratch: LayerPage[] } {
    this.device.buffers.expectNoneRecorded('kv pages');
    const own = this.layers[layer] as LayerPages;
    const shape = { numKvHeads: this.config.numKvHeads, headDim: headDimOfLayer(this.config, layer) };
    const made = contents.map(({ page, heads }) => {
      const slots = heads.map((entries, head) => entries && slotOf(pages, { layer, head, page }, entries));
      const most = Math.max(...slots.map((slot) => slot?.shares.length ?? 0));
      const units = sparsePageUnits(this.config, layer, slots.filter((slot) => slot !== undefined).length);
      const squares = heads.map((entries) => entries && Float32Array.from(entries, (own) => own.square));
      return { ...own.add('sparse', most, units), slots, squares };
    });
    const scratch = contents.map(() => own.add('f16'));
    this.show(region, pages); // adding pages may have moved the others
    const { queue } = this.device.gpuDevice;
    made.forEach(({ place, slots }) => {
      const heads = slots.map((slot) => slot && { entries: slot.shares.length, from: slot.from });
      queue.writeBuffer(own.buffer, place.offset * UNIT_BYTES, sparseHead(shape, heads));
    });
    const tasks = contents.map(({ page }, i) => ({
      page,
      from: scratch[i] as LayerPage,
      to: made[i] as LayerPage,
    }));
    this.#writeTasks(pages, tasks);
    const sources = contents.flatMap(({ heads }) => heads.flatMap((entries) => this.#sourcesOf(region, entries)));
    queue.writeBuffer(this.sparse.sources, 0, Uint32Array.from(sources));
    return { made, scratch };
  }

  /** Adds a page of which a layer keeps no entry of any of its heads. */
  emptyPage(layer: number, heads: number): LayerPage {
    const page = (this.layers[layer] as LayerPages).add('sparse', 0, 0);
    return { ...page, slots: Array.from({ length: heads }, () => undefined) };
  }

  /** The last entry stands for those that are missing: they must not widen the ranges of the quants. */
  #sourcesOf(region: number, entries: readonly Source[] = []): number[] {
    return Array.from({ length: PAGE_TOKENS }, (_, i) => {
      const { page = 0, entry = 0 } = entries[Math.min(i, entries.length - 1)] ?? {};
      return (this.firstPage(region) + page) * PAGE_TOKENS + entry;
    });
  }

  reject({ layer, to }: Copy): void {
    this.layers[layer]?.remove(to);
  }

  /** Forgets written tables if a layer's buffer was replaced, since its pages moved. */
  #forgetMoved(): void {
    if (this.layers.every(({ buffer }, layer) => buffer === this.#shownIn[layer])) return;
    this.#shownIn = this.layers.map(({ buffer }) => buffer);
    this.#shown.fill([]);
  }

  #added(pages: readonly (readonly PageState[])[]): void {
    this.#count += pages.filter((layers) => !hasSparse(layers)).length;
    this.#inSight += countWindowPages(this.config, pages);
  }

  #remove({ layers }: CachePage): void {
    layers.forEach((page, layer) => {
      if (!isFreed(page)) this.layers[layer]?.remove(page);
    });
    if (!hasSparse(layers)) this.#count--;
    this.#inSight -= countWindowPages(this.config, [layers]);
  }
}

const entryOf = ({ place, form, entries }: LayerPage, base: number): number[] =>
  pageEntry(place.offset, form, entries, base);

/** The slot of a head's new entries in a page; `base`: of the page that the first was in. */
function slotOf(
  pages: readonly CachePage[],
  to: { layer: number; head: number; page: number },
  entries: readonly Source[],
): Slot {
  const source = pages[entries[0]?.page ?? 0];
  const base = (source?.base ?? 0) + (source?.layers[to.layer]?.slots?.[to.head]?.from ?? 0);
  return { from: base - (pages[to.page]?.base ?? 0), shares: Float32Array.from(entries, ({ share }) => share) };
}

/** Bytes of a sequence slot's probes in one layer. */
export const probeBytes = ({ numHeads, headDim }: Pick<ModelConfig, 'numHeads' | 'headDim'>): number =>
  PROBES * numHeads * probeFloats(headDim) * 4;

/** The latest queries of each sequence slot and their attention outputs, by layer; see probe-page.ts. */
export class StreamProbes {
  #buffers: GPUBuffer[];
  #streams = 1;

  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
  ) {
    this.#buffers = this.#create();
  }

  /** The current buffer; `use` may replace it. */
  buffer(layer: number): GPUBuffer {
    return this.#buffers[layer] as GPUBuffer;
  }

  /** Makes room for a sequence slot. Nothing may be recorded. */
  use(slot: number): void {
    if (slot < this.#streams) return;
    this.device.buffers.expectNoneRecorded('probes');
    const former = this.#buffers;
    const encoder = this.device.gpuDevice.createCommandEncoder();
    this.#streams = slot + 1;
    this.#buffers = this.#create();
    former.forEach((buffer, layer) => encoder.copyBufferToBuffer(buffer, 0, this.buffer(layer), 0, buffer.size));
    this.device.gpuDevice.queue.submit([encoder.finish()]);
    for (const buffer of former) this.device.buffers.destroy(buffer);
  }

  #create(): GPUBuffer[] {
    const bytes = this.#streams * probeBytes(this.config);
    return Array.from({ length: this.config.numLayers }, (_, layer) =>
      this.device.buffers.storage(`probes ${layer}`, 'kv', bytes),
    );
  }
}

/** Forms and sizes of a sequence's KV cache. */
export interface KvReport {
  /** Pages by form, counted per layer; pages freed by sliding-window layers are not counted. */
  pages: Record<PageForm, number>;
  bytes: Record<PageForm, number>;
  /** Peak bytes of the text's pages during the request, without those of the text that the model repeats for sparse pages. */
  peakBytes: number;
  /**
   * Estimated relative L2 error of each layer's attention output due to its pages' forms; forms that were not probed count as
   * 0, and so do evicted entries. Sparse pages count as k3v2.
   */
  layerErrors: number[];
  /** Measured error of the latest queries over all pages at once; only with `kvShadow`. */
  shadowErrors?: number[];
  /** Tokens whose entries heads evicted, counted per layer, as a mean over its heads. */
  mergedTokens: number;
  /** Tokens evicted from all layers because the text exceeded its context or memory budget. */
  droppedTokens: number;
  /** The memory budget changed or evicted pages, or entries of them, regardless of the error budget. */
  memoryOverrode: boolean;
  /** The request wanted smaller forms, but this device computes them wrong, so all pages stay in f16. */
  formsRefused: boolean;
}

/** The part of a sequence that the report reads. */
interface CachedText {
  pages: readonly CachePage[];
  dropped: number;
  memoryOverrode: boolean;
  peakKvBytes: number;
  probed: LayerLosses;
}

export function kvReport(
  { pages, dropped, memoryOverrode, peakKvBytes: peakBytes, probed }: CachedText,
  formsRefused: boolean,
): KvReport {
  const zeros = (): Record<PageForm, number> =>
    Object.fromEntries(PAGE_FORMS.map((form) => [form, 0])) as Record<PageForm, number>;
  const counts = (pages[0]?.layers ?? []).map(() => new Map<PageForm, number>());
  const report: KvReport = {
    ...{ pages: zeros(), bytes: zeros(), peakBytes, layerErrors: [] as number[] },
    ...{ mergedTokens: 0, droppedTokens: dropped, memoryOverrode, formsRefused },
  };
  for (const { layers } of pages) {
    layers.forEach((page, layer) => {
      if (isFreed(page)) return;
      const { form, place } = page;
      report.pages[form]++;
      report.bytes[form] += place.units * UNIT_BYTES;
      report.mergedTokens += PAGE_TOKENS - entriesOf(page);
      const coded = form === 'sparse' ? SPARSE_FORM : form;
      if (coded !== 'f16') counts[layer]?.set(coded, (counts[layer].get(coded) ?? 0) + 1);
    });
  }
  report.mergedTokens = Math.round(report.mergedTokens);
  report.layerErrors = counts.map((ofForms, layer) =>
    probed.errorOf(layer, new Map([...ofForms].map(([form, count]) => [form, count / pages.length]))),
  );
  return report;
}

/** Entries of a page, as a mean over its heads. */
const entriesOf = ({ form, entries, slots = [] }: LayerPage): number =>
  form === 'sparse'
    ? slots.reduce((sum, slot) => sum + (slot?.shares.length ?? 0), 0) / Math.max(1, slots.length)
    : entries;

/** Bytes of all pages in all layers, and of recurrent states. */
export const kvBytes = (pages: readonly CachePage[], states: readonly RecurrentState[] = []): number =>
  (pages.reduce((sum, { layers }) => sum + layers.reduce((units, { place }) => units + place.units, 0), 0) +
    recurrentUnits(states)) *
  UNIT_BYTES;

/** Whether all pages are in f16 in all layers. */
export const allHalf = (pages: readonly CachePage[]): boolean =>
  pages.every(({ layers }) => layers.every(({ form }) => form === 'f16'));

/** The form of each page of a text, by layer. */
export interface KvMap {
  layers: number;
  pages: number;
  /** `[layers, pages]`: indices of `PAGE_FORMS`. */
  forms: Uint8Array;
  /** `[layers, pages]`: entries of the page, as a mean over its heads: all, 0 if the layer freed it, and those of other pages' tokens too if it is sparse. */
  entries: Uint8Array;
  /** Bytes of all pages. */
  bytes: number;
  /** The request wanted smaller forms, but this device computes them wrong, so all pages stay in f16. */
  formsRefused: boolean;
}

export function kvMap(pages: readonly CachePage[], formsRefused = false): KvMap {
  const layers = pages[0]?.layers.length ?? 0;
  const forms = new Uint8Array(layers * pages.length);
  const entries = new Uint8Array(layers * pages.length);
  pages.forEach((page, column) => {
    page.layers.forEach((each, layer) => {
      const at = layer * pages.length + column;
      forms[at] = PAGE_FORMS.indexOf(each.form);
      entries[at] = Math.round(entriesOf(each));
    });
  });
  return { layers, pages: pages.length, forms, entries, bytes: kvBytes(pages), formsRefused };
}

/** Calls `onKv` whenever the forms of a sequence's pages have changed. */
export class KvWatch {
  #told: readonly CachePage[] = [];
  #toldRefused = false;

  constructor(private readonly onKv: (map: KvMap) => void) {}

  look(pages: readonly CachePage[], formsRefused = false): void {
    // Changed pages are new objects.
    const isKnown = pages.length === this.#told.length && pages.every((page, i) => page === this.#told[i]);
    if (isKnown && formsRefused === this.#toldRefused) return;
    this.#told = [...pages];
    this.#toldRefused = formsRefused;
    this.onKv(kvMap(pages, formsRefused));
  }
}
