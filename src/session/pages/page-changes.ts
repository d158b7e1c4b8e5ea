import {
  type CachePage,
  type Change,
  type Copy,
  type FormLoss,
  freedPage,
  type LayerPage,
  layerPageUnits,
  pagesBeforeWindow,
  type PageProbe,
  type PageRun,
  slidingWindowLayers,
  sparsePageUnits,
} from '../../cache/cache-page.ts';
import { errorBytes, pagesFor, TASKS_OF_LAYER } from '../../cache/kv-cache.ts';
import {
  type CachePolicy,
  type CacheView,
  DENSE,
  type Eviction,
  pagesBeyondContext,
  type Probe,
} from '../../cache/policy.ts';
import { type EntryMeasures, SPARSE_AT_ONCE } from '../../cache/sparse-buffers.ts';
import { chooseEntries, type NewContents } from '../../cache/sparse-entries.ts';
import { hasPages, type ModelConfig } from '../../config/model-config.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { Device } from '../../gpu/device.ts';
import { Readback, readOnce, type Recorder } from '../../gpu/recorder.ts';
import { PAGE_TOKENS, pageBytes } from '../../kernels/heads.ts';
import { pageUnits, type QuantizedForm, UNIT_BYTES } from '../../kernels/formats/page-forms.ts';
import { FOUND_BYTES, PROBES, sumOverHeads } from '../../kernels/pages.ts';
import { MAX_SEQUENCES } from '../../config/limits.ts';
import type { ProbedQueries, PageForms } from '../../layers/attention.ts';
import type { Transformer } from '../../models/transformer.ts';
import type { Sequence } from '../sequence.ts';
import { type EntryShares, sharesByAge } from './entry-shares.ts';

/** Least tokens from an entry to the queries whose squared shares count: nearer ones do not tell what far ones will need. */
const LEAST_DISTANCE = 128;
/** So many queries weigh as much as all before them. */
const REMEMBERED_QUERIES = 32;

/** Decode steps from a probe to its effect: its result has arrived by then, however sequences are interleaved. */
const STEPS_TO_RESULT = 2;

/**
 * Computed tokens of a text, and tokens that come next. The sequence may have one token more, if a step waits for
 * another prompt, or fewer, if sampled tokens are not read.
 */
interface Span {
  computed: number;
  upcoming: number;
}

/** Changes the forms of cache pages as the policies of their sequences ask. */
export class PageChanges {
  /** See residual-shares.ts; empty if the context is too short for policies. */
  residualShares: readonly number[] = [];
  /** Set once the session is complete. */
  entryShares: EntryShares | undefined;
  /** Resolves once the kernels of sparse pages are compiled and checked. Set with it. */
  prepareSparse: () => Promise<unknown> = () => Promise.resolve();
  /**
   * Whether the device computes other page forms right, as far as is known; if it does not, all pages stay in f16.
   */
  areRight = true;
  /** The same for sparse pages. */
  areSparseRight = true;
  readonly #readback: Readback;
  /** The state that each sequence's policy was asked about last. */
  readonly #asked = new WeakMap<Sequence, string>();
  /** Bytes of a page in f16, in all layers with pages. */
  readonly #nextBytes: number;
  /** Layers whose pages can change form. */
  readonly #changingLayers: readonly number[];

  constructor(
    device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
    private readonly contextLength: number,
  ) {
    const { config } = transformer;
    this.#readback = new Readback(device, 'page errors', errorBytes(config), MAX_SEQUENCES);
    const others = slidingWindowLayers(config);
    this.#changingLayers = [...transformer.layers.keys()].filter((layer) => !others.includes(layer));
    this.#nextBytes = transformer.layers.reduce(
      (sum, _, layer) => sum + (hasPages(config, layer) ? layerPageUnits(config, layer) * UNIT_BYTES : 0),
      0,
    );
  }

  /** Whether pages stay in f16 against their policy, because the device computes other forms wrong. */
  isRefused(policy: CachePolicy): boolean {
    if (policy.key === DENSE.key) return false;
    const needsSparse = policy.measures !== undefined && policy.unmeasured === undefined;
    return !this.areRight || (needsSparse && !this.areSparseRight);
  }

  /** Whether a text of `length` tokens may have sparse pages. */
  mayBeSparse(sequence: Sequence, length: number): boolean {
    const policy = this.#policyOf(sequence);
    const view = this.#view(sequence, { computed: sequence.tokens.length, upcoming: 0 });
    return policy.measures !== undefined && Math.min(length, this.contextLength) >= (policy.sparseFrom?.(view) ?? 0);
  }

  /** The policy that decides about a sequence. */
  #policyOf({ policy }: Sequence): CachePolicy {
    const canMeasure = this.areSparseRight && this.entryShares?.isPossible === true;
    return canMeasure ? policy : (policy.unmeasured ?? policy);
  }

  /**
   * Refuses other page forms in models whose layers share keys: no layer can probe a page that others read. Errors:
   * `unsupported`.
   */
  check({ key }: CachePolicy): void {
    const { architecture, perLayerInputs } = this.transformer.config;
    if (key === DENSE.key || perLayerInputs === undefined) return;
    const reason = `a ${architecture} model keeps keys and values in f16, and does not go on past its context; dense is supported`;
    throw new ChunkwiseError('unsupported', { field: 'kv', reason });
  }

  /**
   * Before a batch of positions `from` to `to`: probes copies in other forms, changes pages, and evicts pages; submits all
   * of that. Nothing may be recorded. If it probes, resolves when the result is known. Throws `context_overflow`, and
   * what `check` throws.
   */
  settle(sequence: Sequence, from: number, to: number): Promise<void> | undefined {
    const { policy } = sequence;
    this.check(policy);
    const span = { computed: from, upcoming: to - from };
    this.#conclude(sequence, from);
    this.transformer.cache.freeBeforeWindow(sequence.pages, sequence.placeOf(from));
    // A dense text changes nothing. Most tokens fill no page, and the policy would return the same again.
    const mayChange = !this.isRefused(policy) && policy.key !== DENSE.key && !sequence.measuring;
    const isNews = mayChange && this.#isNews(sequence, span);
    // Probes run before pages change.
    const probing = isNews ? this.#probe(sequence, span) : undefined;
    if (isNews) this.#change(sequence, span);
    this.#evict(sequence, span);
    this.transformer.cache.shrink();
    return probing;
  }

  /** Measures the entries that the policy wants to know before the first page that begins at or after position `from`. Errors: those of `measure`. */
  async measureForNextPage(sequence: Sequence, from: number, signal?: AbortSignal): Promise<void> {
    const begins = from + pagesFor(sequence.placeOf(from)) * PAGE_TOKENS - sequence.placeOf(from);
    await this.measure(sequence, begins, begins + 1, signal);
  }

  /** The same before a batch of positions `from` to `to`. Errors: `aborted`, `device_lost`. */
  async measure(sequence: Sequence, from: number, to: number, signal?: AbortSignal): Promise<void> {
    const span = { computed: from, upcoming: to - from };
    const wanted = (): PageRun | undefined =>
      this.isRefused(sequence.policy) || sequence.measuring
        ? undefined
        : this.#policyOf(sequence).measures?.(this.#view(sequence, span));
    for (let run = wanted(); run; run = wanted()) {
      const measuring = (sequence.measuring = new AbortController());
      try {
        await this.prepareSparse();
        if (!this.areSparseRight) continue; // another policy decides
        const shares = await this.entryShares?.measure(
          sequence,
          run,
          signal ? AbortSignal.any([measuring.signal, signal]) : measuring.signal,
        );
        if (!measuring.signal.aborted) this.#note(sequence.pages, run, shares);
        sequence.measurements++;
      } catch (error) {
        if (!measuring.signal.aborted) throw error;
        return;
      } finally {
        sequence.measuring = undefined;
      }
      if (measuring.signal.aborted) return;
    }
  }

  /** Notes the shares of measured pages. */
  #note(pages: CachePage[], run: PageRun, shares = sharesByAge(this.transformer.config, run)): void {
    this.#noteLayers(pages, run, (own, layer, page) => {
      return { ...own, slots: (shares[layer]?.[page] ?? []).map((each) => ({ from: 0, shares: each })) };
    });
  }

  /** Replaces what is known of some pages in the layers whose pages can change. `page` counts from `first`. */
  #noteLayers(
    pages: CachePage[],
    { first, count }: PageRun,
    noted: (own: LayerPage, layer: number, page: number) => LayerPage,
  ): void {
    for (let i = 0; i < count; i++) {
      const page = pages[first + i] as CachePage;
      const layers = page.layers.map((own, layer) =>
        this.#changingLayers.includes(layer) ? noted(own, layer, i) : own,
      );
      pages[first + i] = { ...page, layers };
    }
  }

  /** Pages whose entries' squared shares are measured in a batch from `from` on, if the text may be sparse. */
  squaredPages(sequence: Sequence, from: number): PageRun | undefined {
    if (sequence.branch) return undefined;
    const first = sequence.keptPages;
    const count = Math.floor((sequence.placeOf(from) - LEAST_DISTANCE) / PAGE_TOKENS) - first;
    return count > 0 ? { first, count } : undefined;
  }

  /** Adds the squared shares that `queries` queries of a batch gave these pages' entries to their means, unless a page has changed since. */
  noteSquares(
    { pages }: Sequence,
    { first, pages: measured }: { first: number; pages: readonly CachePage[] },
    found: EntryMeasures,
    queries: number,
  ): void {
    const isSame = (i: number): boolean => pages[first + i] === measured[i];
    this.#noteLayers(pages, { first, count: measured.length }, (own, layer, page) => {
      if (!isSame(page)) return own;
      if (own.entries === 0) return own;
      const former = own.squares;
      const weight = former ? queries / (queries + REMEMBERED_QUERIES) : 1;
      const squares = (found[layer]?.[page] ?? []).map((sums, head) => {
        const entries = own.slots ? own.slots[head]?.shares.length : own.entries;
        if (entries === undefined) return undefined;
        return sums.subarray(0, entries).map((sum, i) => {
          const before = former?.[head]?.[i] ?? 0;
          return before + weight * (sum / queries - before);
        });
      });
      return { ...own, squares };
    });
  }

  /** Most tokens of a batch of a prompt. */
  batchTokens(sequence: Sequence): number {
    if (this.isRefused(sequence.policy)) return Infinity;
    const view = this.#view(sequence, { computed: sequence.tokens.length, upcoming: 0 });
    return this.#policyOf(sequence).batchTokens?.(view) ?? Infinity;
  }

  /**
   * Most tokens of a batch from `from` on with the same result as batches of one token: after the first no page
   * changes form or is evicted, and no probe starts.
   */
  tokensAtOnce(sequence: Sequence, from: number): number {
    const { policy, probing } = sequence;
    if (policy.key === DENSE.key) return Infinity;
    const place = sequence.placeOf(from);
    const span = { computed: from, upcoming: 1 };
    const isNews = this.areRight && this.#stateOf(sequence, span) !== this.#asked.get(sequence);
    const mayFind = isNews && this.#toProbe(sequence, span) !== undefined;
    return probing || sequence.measuring || mayFind
      ? 1
      : Math.max(1, Math.min(PAGE_TOKENS - (place % PAGE_TOKENS), this.contextLength - place));
  }

  /** Whether a page was filled, a probe ended or may begin, or entries were measured, since the policy was asked. */
  #isNews(sequence: Sequence, span: Span): boolean {
    const state = this.#stateOf(sequence, span);
    const isNews = this.#asked.get(sequence) !== state;
    this.#asked.set(sequence, state);
    return isNews;
  }

  #stateOf(sequence: Sequence, { computed, upcoming }: Span): string {
    // Held tokens would not do: eviction may bring the same number back.
    return [
      Math.floor(computed / PAGE_TOKENS),
      pagesFor(computed + upcoming),
      latestQueries(sequence, computed).queries > 0,
      sequence.probing === undefined,
      sequence.measurements,
    ].join();
  }

  /** Changes pages to the forms that the policy sets. */
  #change(sequence: Sequence, span: Span): void {
    const { pages } = sequence;
    const policy = this.#policyOf(sequence);
    const { cache } = this.transformer;
    const view = this.#view(sequence, span);
    const sparse = policy.sparse?.(view);
    const changes = this.#mayChange(policy.changes?.(view)).filter(
      ({ page }) => !sparse || page < sparse.first || page >= sparse.first + sparse.count,
    );
    if (sparse?.forced || changes.some(({ forced }) => forced)) {
      sequence.memoryOverrode = true;
      sequence.probing = undefined;
    }
    // Each round writes the changes that fit.
    while (changes.length > 0) {
      const copies = cache.copies(pages, changes.splice(0, cache.mostCopies));
      this.#write(sequence, copies);
      this.recorder.submit(); // the next round overwrites the tasks
      for (const copy of copies) cache.accept(pages, copy, sequence.shadows);
    }
    if (sparse) this.#evictEntries(sequence, sparse);
  }

  /** Evicts entries of measured pages, so that the others fit into `bytes`. */
  #evictEntries(sequence: Sequence, { first, count, bytes }: Eviction): void {
    const { cache, config } = this.transformer;
    const headBytes = (layer: number): number => sparsePageUnits(config, layer, 1) * UNIT_BYTES;
    const { pages } = sequence;
    const measured = { pages, first, end: first + count, layers: this.#changingLayers, headBytes };
    for (const [layer, contents] of chooseEntries(measured, bytes)) {
      const isEmpty = ({ heads }: NewContents): boolean => heads.every((entries) => entries === undefined);
      const filled = contents.filter((each) => !isEmpty(each));
      // All of a layer's pages are read before any is freed.
      const made = new Map<number, LayerPage>();
      for (let at = 0; at < filled.length; at += SPARSE_AT_ONCE) {
        const part = filled.slice(at, at + SPARSE_AT_ONCE);
        const { made: own, scratch } = cache.sparsePages(pages, layer, part, sequence.region);
        this.transformer.layers[layer]?.mixer.pageForms?.gather(this.recorder, part.length);
        this.recorder.submit();
        for (const page of scratch) cache.layers[layer]?.remove(page);
        part.forEach(({ page }, i) => made.set(page, own[i] as LayerPage));
      }
      for (const { page, heads } of contents) {
        const from = pages[page]?.layers[layer] as LayerPage;
        const to = made.get(page) ?? cache.emptyPage(layer, heads.length);
        cache.accept(pages, { page, layer, from, to }, sequence.shadows);
      }
      cache.shrink();
    }
    for (let i = first; i < first + count; i++) pages[i] = { ...(pages[i] as CachePage), isSparse: true };
  }

  /** Pages of sliding-window layers stay in f16: they are few, and their kernels read no other form. */
  #mayChange(changes: readonly Change[] = []): Change[] {
    return changes.filter(({ layer }) => this.#changingLayers.includes(layer));
  }

  /** Errors: `context_overflow` if the text still exceeds the context. */
  #evict(sequence: Sequence, span: Span): void {
    const { pages, keptPages } = sequence;
    const policy = this.#policyOf(sequence);
    const { upcoming } = span;
    const view = this.#view(sequence, span);
    const full = Math.floor(view.tokens / PAGE_TOKENS);
    const count = Math.max(0, Math.min(policy.drops?.(view) ?? 0, full - keptPages));
    if (view.tokens + upcoming - count * PAGE_TOKENS > this.contextLength) {
      const reason = `${view.tokens} tokens, of which ${count * PAGE_TOKENS} can be evicted, and ${upcoming} more exceed the context of ${this.contextLength}`;
      throw new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
    }
    if (count === 0) return;
    sequence.probing = undefined;
    sequence.measuring?.abort();
    if (count > pagesBeyondContext(view)) sequence.memoryOverrode = true;
    this.transformer.cache.drop(pages, keptPages, count);
    sequence.dropped += count * PAGE_TOKENS;
  }

  /** Writes tasks from number `first` on. */
  #write(sequence: Sequence, copies: readonly Copy[], first = 0): void {
    for (const run of this.transformer.cache.writeTasks(sequence.pages, copies, first))
      this.transformer.layers[run.layer]?.mixer.pageForms?.quantize(this.recorder, run.first, run.count);
  }

  #toProbe(sequence: Sequence, span: Span): Probe | undefined {
    const { queries } = latestQueries(sequence, span.computed);
    return sequence.probing || queries === 0
      ? undefined
      : this.#policyOf(sequence).probes?.(this.#view(sequence, span));
  }

  /** Probes layer by layer, so that only one layer's copies are alive at a time. */
  #probe(sequence: Sequence, span: Span): Promise<void> | undefined {
    const queries = latestQueries(sequence, span.computed);
    const wanted = this.#toProbe(sequence, span);
    if (!wanted) return undefined;
    const { pages, forms } = {
      ...wanted,
      pages: spread(wanted.pages, Math.floor(TASKS_OF_LAYER / wanted.forms.length)),
    };
    const { cache, layers } = this.transformer;
    const count = pages.length * forms.length;
    const probed = this.#changingLayers;
    for (const [i, layer] of probed.entries()) {
      const copies = cache.copies(
        sequence.pages,
        forms.flatMap((form) => pages.map((page) => ({ page, layer, form }))),
      );
      this.#write(sequence, copies, i * count);
      layers[layer]?.mixer.pageForms?.probe(this.recorder, i * count, count, queries, pages.length);
      this.recorder.submit();
      for (const copy of copies) cache.reject(copy);
      cache.shrink();
    }
    sequence.probing = { began: span.computed, pages: Math.floor(sequence.placeOf(span.computed) / PAGE_TOKENS) };
    return this.#readProbe(sequence.probing, probed, forms, queries.queries, wanted.pages.length / pages.length);
  }

  /** `weight`: pages that each probed page stands for. */
  async #readProbe(
    probing: PageProbe,
    layers: readonly number[],
    forms: Probe['forms'],
    queries: number,
    weight: number,
  ): Promise<void> {
    const { cache, config } = this.transformer;
    const { numHeads } = config;
    const size = layers.length * forms.length * numHeads * FOUND_BYTES;
    const found = new Float32Array(
      await this.#readback.submit(this.recorder, [{ buffer: cache.errors, offset: 0, size }]),
    );
    probing.found = Array.from({ length: layers.length * forms.length }, (_, i): FormLoss => {
      const form = forms[i % forms.length] as QuantizedForm;
      const bytes = pageUnits(form, config) * UNIT_BYTES;
      return {
        layer: layers[Math.floor(i / forms.length)] as number,
        form,
        change: weight * sumOverHeads(found, numHeads, i, 0),
        size: sumOverHeads(found, numHeads, i, 1),
        queries,
        bytes,
      };
    });
  }

  #view(sequence: Sequence, { computed, upcoming }: Span): CacheView {
    const { config } = this.transformer;
    const { keptPages, probed } = sequence;
    const tokens = sequence.placeOf(computed);
    const pages = withoutPassed(config, sequence.pages, tokens);
    const sizes = { halfBytes: pageBytes(config), nextBytes: this.#nextBytes };
    return {
      ...{ pages, tokens, keptPages, upcoming, ...sizes, probed, residualShares: this.residualShares },
      contextLength: this.contextLength,
      changingLayers: this.#changingLayers,
      formBytes: (form, layer) => layerPageUnits(config, layer, form) * UNIT_BYTES,
    };
  }

  #conclude(sequence: Sequence, computed: number): void {
    const { probing, probed } = sequence;
    if (probing?.found && computed >= probing.began + STEPS_TO_RESULT) {
      probed.add(probing.found, probing.pages);
      sequence.probing = undefined;
    }
  }
}

/** These pages as they are once those are freed that sliding windows have passed after `tokens` tokens. */
function withoutPassed(config: ModelConfig, pages: readonly CachePage[], tokens: number): readonly CachePage[] {
  const passed = pagesBeforeWindow(config, tokens);
  if (passed === 0) return pages;
  const layers = slidingWindowLayers(config);
  const freed = (own: LayerPage, layer: number): LayerPage => (layers.includes(layer) ? freedPage() : own);
  return pages.map((page, i) => (i < passed ? { ...page, layers: page.layers.map(freed) } : page));
}

/** At most `most` of them, evenly spaced. */
const spread = (pages: readonly number[], most: number): number[] =>
  pages.length <= most
    ? [...pages]
    : Array.from({ length: most }, (_, i) => pages[Math.floor(((i + 0.5) * pages.length) / most)] as number);

/** The latest queries since the prefix hit, which are still on the GPU. */
const latestQueries = (sequence: Sequence, computed: number): ProbedQueries => ({
  slot: sequence.slot,
  queries: Math.min(PROBES, computed - sequence.reused),
  position: sequence.placeOf(computed) - 1,
});

/** Measures how far the forms of a sequence's pages change attention, if the pages in f16 are kept. */
export class ShadowCheck {
  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
  ) {}

  /**
   * For each layer: the change of the attention output of the latest queries, relative L2. Uses the queries before
   * the last token, which may not be computed yet.
   */
  async errors(sequence: Sequence): Promise<number[]> {
    const { cache, layers } = this.transformer;
    const held = sequence.heldTokens;
    const queries = { slot: sequence.slot, queries: Math.min(PROBES - 1, held - 1), position: held - 2 };
    const errors: number[] = [];
    // Other requests run between two layers: pages may move, and tasks and errors are overwritten.
    for (const [
      layer,
      {
        mixer: { pageForms },
      },
    ] of layers.entries()) {
      const count = pageForms && queries.queries > 0 ? cache.writeShadows(sequence.pages, layer) : 0;
      if (!pageForms || count === 0) {
        errors.push(0);
        continue;
      }
      const bytes = await this.#probe(pageForms, queries, count);
      const found = new Float32Array(bytes);
      const { numHeads } = this.transformer.config;
      errors.push(Math.sqrt(sumOverHeads(found, numHeads, 0, 0) / sumOverHeads(found, numHeads, 0, 1)));
    }
    return errors;
  }

  /** Probes all written tasks at once. */
  #probe(pageForms: PageForms, queries: ProbedQueries, count: number): Promise<ArrayBuffer> {
    const { device, transformer, recorder } = this;
    const size = transformer.config.numHeads * FOUND_BYTES;
    recorder.inOneGo(() => pageForms.probe(recorder, 0, count, queries, count));
    return readOnce(device, 'shadow errors', [{ buffer: transformer.cache.errors, offset: 0, size }]);
  }
}
