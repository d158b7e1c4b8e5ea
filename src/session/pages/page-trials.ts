import type { Change, Copy, LayerPage, PageProbe, PageTrial, Trial } from '../../cache/cache-page.ts';
import { errorBytes, pagesFor, TASKS_OF_LAYER, type TaskRun } from '../../cache/kv-cache.ts';
import type { FormLoss } from '../../cache/layer-losses.ts';
import { type CachePolicy, type CacheView, DENSE, pagesBeyondContext, type Probe } from '../../cache/policy.ts';
import { layerPageUnits, shortSighted } from '../../cache/windows.ts';
import { hasPages } from '../../config/model-config.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { Device } from '../../gpu/device.ts';
import { Readback } from '../../gpu/readback.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { PAGE_TOKENS, pageBytes } from '../../kernels/heads.ts';
import { pageUnits, type SmallerForm, UNIT_BYTES } from '../../kernels/formats/page-forms.ts';
import { FOUND_BYTES, PROBES, sumOverHeads } from '../../kernels/probe-page.ts';
import { MAX_STREAMS } from '../../config/max-streams.ts';
import type { ProbedQueries } from '../../layers/page-forms.ts';
import type { Transformer } from '../../models/transformer.ts';
import type { Sequence } from '../sequence.ts';

/** Steps of decoding from a trial to what follows of it: by then its result has come, however streams are interleaved. */
const STEPS_TO_RESULT = 2;

/**
 * Tokens of a text that are computed, and how many come next. Its sequence may have one more, where a step waits for
 * another text's prompt, or fewer, where what steps have drawn is not read.
 */
interface Span {
  computed: number;
  upcoming: number;
}

/** Gives the pages of sequences the forms their policies want. */
export class PageTrials {
  /** See residual-shares.ts; none of a model whose context is too short for policies. */
  residualShares: readonly number[] = [];
  /** Whether this device computes pages in other forms right, as far as is known: where it does not none takes one. */
  areRight = true;
  readonly #readback: Readback;
  /** What a sequence's policy was last asked about. */
  readonly #asked = new WeakMap<Sequence, string>();
  /** Of a page in f16, in all layers that have pages. */
  readonly #nextBytes: number;

  constructor(
    device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
    private readonly contextLength: number,
  ) {
    const { config } = transformer;
    this.#readback = new Readback(device, 'page errors', errorBytes(config), MAX_STREAMS);
    this.#nextBytes = transformer.layers.reduce(
      (sum, _, layer) => sum + (hasPages(config, layer) ? layerPageUnits(config, layer) * UNIT_BYTES : 0),
      0,
    );
  }

  /** Whether a text's pages stay in f16 though its policy has other forms, since the device computes these wrong, as far as is known. */
  isRefused({ key }: CachePolicy): boolean {
    return !this.areRight && key !== DENSE.key;
  }

  /** Pages that several layers read are tried by none of them: models whose layers may share keys keep them as they are. Errors: `unsupported`. */
  check({ key }: CachePolicy): void {
    const { architecture, perLayerInputs } = this.transformer.config;
    if (key === DENSE.key || perLayerInputs === undefined) return;
    const reason = `a ${architecture} model keeps keys and values in f16, and does not go on past its context; dense is supported`;
    throw new ChunkwiseError('unsupported', { field: 'kv', reason });
  }

  /**
   * Before a batch of a text's tokens from `from` up to `to`: copies in other forms are written and probed, pages take the
   * forms that were chosen or are told to take, and some are given up; all of that is submitted. Nothing may be recorded.
   * Where something is probed, resolves when it is known what was found. Throws `context_overflow`, and what `check` throws.
   */
  settle(sequence: Sequence, from: number, to: number): Promise<void> | undefined {
    this.check(sequence.policy);
    const span = { computed: from, upcoming: to - from };
    this.#conclude(sequence, from);
    this.transformer.cache.giveBackBehind(sequence.pages, sequence.placeOf(from));
    // Most tokens fill no page: the policy would look at all of them to say the same again.
    const isNews = this.areRight && this.#isNews(sequence, span);
    // What pages are to become is probed while they are what they were.
    const probing = isNews ? this.#probe(sequence, span) : undefined;
    if (isNews) this.#change(sequence, span);
    this.#giveUp(sequence, span);
    const trying = isNews && !probing ? this.#try(sequence, span) : undefined;
    this.transformer.cache.shrink();
    return probing ?? trying;
  }

  /**
   * How many tokens a batch may have from `from` on that is to leave what as many batches of one token would: behind the first
   * of them no page takes another form, none is given up, and nothing is probed or tried, since what is found is known by a step.
   */
  tokensAtOnce(sequence: Sequence, from: number): number {
    const { policy, trial, probing } = sequence;
    if (policy.key === DENSE.key) return Infinity;
    const place = sequence.placeOf(from);
    const span = { computed: from, upcoming: 1 };
    const isNews = this.areRight && this.#stateOf(sequence, span) !== this.#asked.get(sequence);
    const mayFind = isNews && (policy.trials !== undefined || this.#toProbe(sequence, span) !== undefined);
    return trial || probing || mayFind
      ? 1
      : Math.max(1, Math.min(PAGE_TOKENS - (place % PAGE_TOKENS), this.contextLength - place));
  }

  /** What is being tried is dropped. */
  drop(sequence: Sequence): void {
    for (const copy of sequence.trial?.copies ?? []) this.transformer.cache.reject(copy);
    sequence.trial = undefined;
    sequence.probing = undefined;
  }

  /** A page was filled or is to come, a trial ended, or one may begin, since this was asked. */
  #isNews(sequence: Sequence, span: Span): boolean {
    const state = this.#stateOf(sequence, span);
    const isNews = this.#asked.get(sequence) !== state;
    this.#asked.set(sequence, state);
    return isNews;
  }

  #stateOf(sequence: Sequence, { computed, upcoming }: Span): string {
    // Not by those that are held: they are as many again where as many were given up.
    return [
      Math.floor(computed / PAGE_TOKENS),
      pagesFor(computed + upcoming),
      latestQueries(sequence, computed).queries > 0,
      sequence.trial === undefined,
      sequence.probing === undefined,
    ].join();
  }

  /** Pages take the forms that the policy tells them to. */
  #change(sequence: Sequence, span: Span): void {
    const { pages, policy } = sequence;
    const { cache } = this.transformer;
    const wanted = this.#mayChange(policy.changes?.(this.#view(sequence, span)));
    if (wanted.some(({ forced }) => forced)) {
      sequence.memoryOverrode = true;
      this.drop(sequence); // what is being tried may be among them
    }
    const tried = new Set(sequence.trial?.copies.map(({ from }) => from));
    const changes = wanted.filter(({ page, layer }) => !tried.has(pages[page]?.layers[layer] as LayerPage));
    // As many as can be written at once.
    while (changes.length > 0) {
      const copies = cache.copies(pages, changes.splice(0, cache.mostCopies));
      this.#write(sequence, copies, latestQueries(sequence, span.computed));
      this.recorder.submit(); // the tasks are written anew for the next ones
      for (const copy of copies) cache.accept(pages, copy, sequence.shadows);
    }
  }

  /** Pages of short-sighted layers stay as they are: they are few, and what reads them knows no other form. */
  #mayChange(changes: readonly Change[] = []): Change[] {
    const others = shortSighted(this.transformer.config);
    return changes.filter(({ layer }) => !others.includes(layer));
  }

  /** Errors: `context_overflow` where what is left and what comes is still too much. */
  #giveUp(sequence: Sequence, span: Span): void {
    const { pages, policy, keptPages } = sequence;
    const { upcoming } = span;
    const view = this.#view(sequence, span);
    const full = Math.floor(view.tokens / PAGE_TOKENS);
    const count = Math.max(0, Math.min(policy.drops?.(view) ?? 0, full - keptPages));
    if (view.tokens + upcoming - count * PAGE_TOKENS > this.contextLength) {
      const reason = `${view.tokens} tokens, of which ${count * PAGE_TOKENS} can be given up, and ${upcoming} more exceed the context of ${this.contextLength}`;
      throw new ChunkwiseError('context_overflow', { field: 'contextLength', reason });
    }
    if (count === 0) return;
    this.drop(sequence); // what is tried is told by its place
    if (policy.trials && count > pagesBeyondContext(view)) sequence.memoryOverrode = true;
    this.transformer.cache.drop(pages, keptPages, count);
    sequence.dropped += count * PAGE_TOKENS;
  }

  #try(sequence: Sequence, span: Span): Promise<void> | undefined {
    const { pages, policy, trial } = sequence;
    const { cache } = this.transformer;
    const queries = latestQueries(sequence, span.computed);
    if (trial || queries.queries === 0) return undefined;
    const copies = cache.copies(
      pages,
      this.#mayChange(policy.trials?.(this.#view(sequence, span))).slice(0, cache.mostCopies),
    );
    if (copies.length === 0) return undefined;
    const result = this.#tryOut(sequence, copies, this.#write(sequence, copies, queries), queries, span.computed);
    this.recorder.submit();
    return result;
  }

  /** Their tasks from the `first` one on. */
  #write(sequence: Sequence, copies: readonly Copy[], queries: ProbedQueries, first = 0): TaskRun[] {
    const runs = this.transformer.cache.writeTasks(sequence.pages, copies, first);
    for (const { layer, first, count, condenses } of runs) {
      const pageForms = this.transformer.layers[layer]?.mixer.pageForms;
      if (condenses) pageForms?.condense(this.recorder, first, count, queries);
      else pageForms?.quantize(this.recorder, first, count);
    }
    return runs;
  }

  #toProbe(sequence: Sequence, span: Span): Probe | undefined {
    const { queries } = latestQueries(sequence, span.computed);
    return sequence.probing || queries === 0 ? undefined : sequence.policy.probes?.(this.#view(sequence, span));
  }

  /** Layer by layer, so that the copies of one live at a time. */
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
    const others = shortSighted(cache.config);
    const probed = layers.map((_, layer) => layer).filter((layer) => !others.includes(layer));
    for (const [i, layer] of probed.entries()) {
      const copies = cache.copies(
        sequence.pages,
        forms.flatMap((form) => pages.map((page) => ({ page, layer, form, entries: PAGE_TOKENS }))),
      );
      this.#write(sequence, copies, queries, i * count);
      layers[layer]?.mixer.pageForms?.probe(this.recorder, i * count, count, queries, pages.length);
      this.recorder.submit();
      for (const copy of copies) cache.reject(copy);
      cache.shrink();
    }
    sequence.probing = { began: span.computed, pages: Math.floor(sequence.placeOf(span.computed) / PAGE_TOKENS) };
    return this.#readProbe(sequence.probing, probed, forms, queries.queries, wanted.pages.length / pages.length);
  }

  /** `weight`: pages that each probed one stands for. */
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
      const form = forms[i % forms.length] as SmallerForm;
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

  async #tryOut(
    sequence: Sequence,
    copies: readonly Copy[],
    runs: readonly TaskRun[],
    queries: ProbedQueries,
    computed: number,
  ): Promise<void> {
    const { layers, cache, config } = this.transformer;
    const { pages, policy } = sequence;
    const trial: PageTrial = { copies, began: computed };
    const view = this.#view(sequence, { computed, upcoming: 0 });
    sequence.trial = trial;
    for (const { layer, first, count } of runs)
      layers[layer]?.mixer.pageForms?.probe(this.recorder, first, count, queries);
    const size = copies.length * config.numHeads * FOUND_BYTES;
    const bytes = await this.#readback.submit(this.recorder, [{ buffer: cache.errors, offset: 0, size }]);
    const found = new Float32Array(bytes);
    const massOf = (at: number): number => sumOverHeads(found, config.numHeads, at, 2) / config.numHeads;
    const trials = copies.map(({ page, layer, form, entries }, i): Trial => ({
      page,
      layer,
      form,
      entries,
      mass: massOf(i),
    }));
    const masses = new Map(copies.map(({ from }, i) => [from, trials[i]?.mass ?? 0]));
    for (const [page, mass] of masses) page.mass += mass;
    const chosen = new Set(policy.choose?.(trials, { ...view, pages }));
    trial.taken = new Set(copies.filter((_, i) => chosen.has(trials[i] as Trial)));
  }

  #view(sequence: Sequence, { computed, upcoming }: Span): CacheView {
    const { config } = this.transformer;
    const { pages, keptPages, probed } = sequence;
    const sizes = { halfBytes: pageBytes(config), nextBytes: this.#nextBytes };
    return {
      ...{ pages, keptPages, upcoming, ...sizes, probed, residualShares: this.residualShares },
      tokens: sequence.placeOf(computed),
      contextLength: this.contextLength,
    };
  }

  #conclude(sequence: Sequence, computed: number): void {
    const { trial, probing, pages, probed } = sequence;
    if (probing?.found && computed >= probing.began + STEPS_TO_RESULT) {
      probed.add(probing.found, probing.pages);
      sequence.probing = undefined;
    }
    if (!trial?.taken || computed < trial.began + STEPS_TO_RESULT) return;
    for (const copy of trial.copies) {
      if (trial.taken.has(copy)) this.transformer.cache.accept(pages, copy, sequence.shadows);
      else this.transformer.cache.reject(copy);
    }
    sequence.trial = undefined;
  }
}

/** At most so many of them, evenly. */
const spread = (pages: readonly number[], most: number): number[] =>
  pages.length <= most
    ? [...pages]
    : Array.from({ length: most }, (_, i) => pages[Math.floor(((i + 0.5) * pages.length) / most)] as number);

/** Of those computed since the sequence is gone on from, as the GPU has them. */
const latestQueries = (sequence: Sequence, computed: number): ProbedQueries => ({
  slot: sequence.slot,
  queries: Math.min(PROBES, computed - sequence.reused),
  position: sequence.placeOf(computed) - 1,
});
