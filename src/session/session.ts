import { addMemory, type MemoryReport } from '../gpu/buffers.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type Device, finished } from '../gpu/device.ts';
import { StepsAhead, type SubmissionSizer } from '../gpu/submissions.ts';
import { Readback, type Recorder } from '../gpu/recorder.ts';
import { HEAD_TOKENS } from '../layers/activation-buffers.ts';
import { pageFormKernels, sparsePageKernels } from '../layers/attention.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { allHalf } from '../cache/kv-cache.ts';
import { DENSE, LEAST_PAGES } from '../cache/policy.ts';
import type { Transformer } from '../models/transformer.ts';
import { checkAdapters, checkPages, checkPlainAdapters, checkSparsePages } from './checks/session-checks.ts';
import type { ModelPlan } from './model-plan.ts';
import { Batches, type Draft } from './batches.ts';
import { type SampledToken, SampleRecorder, type SampleRequest } from './sampling/sampler.ts';
import { EntryShares } from './pages/entry-shares.ts';
import { PageChanges, ShadowCheck } from './pages/page-changes.ts';
import { type NextTokens, type OnBatch, type OnEnds, Prefill } from './prefill.ts';
import { RankCounter } from './adapter-mix.ts';
import { type Sequence, SequenceCache } from './sequence.ts';
import { StepCosts } from './speculation/step-costs.ts';
import type { SessionOptions } from './session-options.ts';

/**
 * A model on a device: everything that is lost with the device. Made by `openSession`. Knows nothing of requests or
 * text.
 */
export class Session {
  readonly sequences: SequenceCache;
  readonly ranks: RankCounter;
  readonly samples: SampleRecorder;
  readonly pageChanges: PageChanges;
  readonly shadow: ShadowCheck;
  readonly batches: Batches;
  readonly entryShares: EntryShares;
  /** How many steps decoding submits ahead; measured when the model is open. */
  stepsAhead = new StepsAhead();
  /** Times of steps that verify drafts. */
  stepCosts: StepCosts;
  /**
   * Drafts answers: a smaller model with the same tokens, on a device of its own, or the model's draft head, on the
   * same.
   */
  draftModel: Session | undefined;
  readonly #prefill: Prefill;
  /** Settles once the kernels of adapters are checked. */
  #adapters: Promise<void> | undefined;
  #plainAdapters: Promise<void> | undefined;
  /** Settles once the kernels of other page forms are compiled. */
  #pageForms: Promise<unknown> | undefined;
  #sparsePages: Promise<unknown> | undefined;
  #logitsReadback: Readback | undefined;

  constructor(
    readonly device: Device,
    readonly plan: ModelPlan,
    readonly transformer: Transformer,
    readonly recorder: Recorder,
    private readonly options: Pick<SessionOptions, 'onTrace' | 'tuning'> = {},
  ) {
    this.ranks = new RankCounter(device, recorder, transformer.arena);
    this.samples = new SampleRecorder(device, transformer, recorder);
    this.pageChanges = new PageChanges(device, recorder, transformer, plan.contextLength);
    this.shadow = new ShadowCheck(device, recorder, transformer);
    this.sequences = new SequenceCache(transformer.cache);
    const { sequences, pageChanges, ranks, samples } = this;
    this.batches = new Batches({ device, transformer, recorder, sequences, pageChanges, ranks, samples });
    this.#prefill = new Prefill({
      device,
      transformer,
      recorder,
      batches: this.batches,
      pageChanges,
      contextLength: plan.contextLength,
      onTrace: options.onTrace,
    });
    this.entryShares = new EntryShares(device, recorder, transformer, sequences, (repetition, onEnd, signal) =>
      this.#prefill.computeTogether([repetition], (ends) => void (ends.size > 0 && onEnd()), signal),
    );
    pageChanges.entryShares = this.entryShares;
    pageChanges.prepareSparse = () => this.#prepareSparse();
    this.stepCosts = new StepCosts(device, () => this.stepsAhead.stepMs);
  }

  /** Whether the prefix cache holds texts. */
  get holdsText(): boolean {
    return this.sequences.idle.length > 0;
  }

  memory(): MemoryReport {
    return addMemory(...this.devices.map(({ buffers }) => buffers.report()));
  }

  close(): void {
    for (const device of this.devices) device.close();
  }

  /** Its own device, and its draft model's. */
  get devices(): readonly Device[] {
    return [...new Set([this.device, ...(this.draftModel?.devices ?? [])])];
  }

  /** Sizes of prompt submissions. */
  get submissionSize(): SubmissionSizer {
    return this.#prefill.submissionSize;
  }

  /**
   * Binds the adapters at their current place. Resolves once their kernels are compiled and memory is allocated.
   * Errors: `device_lost`, `kernel_refused`.
   */
  async bindAdapters(): Promise<void> {
    this.transformer.bindAdapters();
    if (this.transformer.arena.buffersIfAny) this.samples.levels.prepare();
    await this.device.pipelines.ready();
    await finished(this.device);
  }

  /**
   * Checks the kernels of adapters, before the first answer with one; the arena is bound. Errors: `wrong_results`,
   * `device_lost`.
   */
  async checkAdapters(): Promise<void> {
    const { tuning } = this.options;
    if (tuning) await (this.#adapters ??= checkAdapters(this, tuning));
  }

  /** The same for adapters in their plain form. */
  async checkPlainAdapters(): Promise<void> {
    const { tuning } = this.options;
    if (tuning) await (this.#plainAdapters ??= checkPlainAdapters(this, tuning));
  }

  /**
   * Starts to compile the kernels of page forms other than f16, for a text of up to `length` tokens, so that no
   * answer waits in its middle. Resolves when they are compiled.
   */
  async prepare(sequence: Sequence, length: number): Promise<void> {
    if (!mayShrink(sequence, length)) return;
    await this.#preparePages();
    if (this.pageChanges.mayBeSparse(sequence, length)) await this.#prepareSparse();
  }

  /** Pages stay in f16 if the device computes other forms wrong. */
  #preparePages(): Promise<unknown> {
    return (this.#pageForms ??= this.#compile(pageFormKernels, checkPages).then((areRight) => {
      this.pageChanges.areRight = areRight;
    }));
  }

  /** The same for the kernels of sparse pages. */
  #prepareSparse(): Promise<unknown> {
    return (this.#sparsePages ??= this.#compile(sparsePageKernels, checkSparsePages).then((areRight) => {
      this.pageChanges.areSparseRight = areRight;
    }));
  }

  /** Whether the device computes them right. */
  async #compile(kernelsOf: typeof pageFormKernels, check: typeof checkPages): Promise<boolean> {
    const { device, transformer, options } = this;
    const kernels = kernelsOf(device, transformer.config);
    await Promise.allSettled(kernels.map((kernel) => device.pipelines.prepare(kernel)));
    if (!options.tuning) return true;
    return check(this, options.tuning).then(
      () => true,
      () => false,
    );
  }

  /**
   * Computes `tokens` after those of `sequence`, in batches, and appends them. `onBatch(start, length)` runs once a
   * batch is recorded, before its last submission; commands that it records before its first await are submitted with
   * the batch. The next batch is planned while the GPU computes this one.
   */
  async prefill(sequence: Sequence, tokens: readonly number[], onBatch: OnBatch, signal?: AbortSignal): Promise<void> {
    await this.#checkPages({ sequence, tokens });
    await this.#prefill.compute(sequence, tokens, onBatch, signal);
  }

  /**
   * Computes tokens after those of several branches in shared batches, whatever their adapters, and appends them. Returns
   * the logits `[vocabSize]` after each. For models without delta nets, and fused adapters.
   */
  async prefillTogether(texts: readonly NextTokens[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { transformer, recorder } = this;
    const { vocabSize } = this.plan.config;
    for (const text of texts) await this.#checkPages(text);
    const logits = new Map<Sequence, Float32Array>();
    const onEnds: OnEnds = async (ends) => {
      if (ends.size === 0) return;
      transformer.headOf(recorder, [...ends.values()]);
      const rows = await this.#readLogits(ends.size);
      [...ends.keys()].forEach((sequence, i) => {
        logits.set(sequence, rows.subarray(i * vocabSize, (i + 1) * vocabSize));
      });
    };
    await this.#prefill.computeTogether(texts, onEnds, signal);
    return texts.map(({ sequence }) => logits.get(sequence) as Float32Array);
  }

  async #checkPages({ sequence, tokens }: NextTokens): Promise<void> {
    const { pages } = sequence;
    const { pageChanges } = this;
    const [areHalf, isSparse] = [allHalf(pages), pages.some((page) => page.isSparse)];
    const length = sequence.tokens.length + tokens.length;
    if (!areHalf || mayShrink(sequence, length)) {
      await this.#preparePages();
      if (isSparse || pageChanges.mayBeSparse(sequence, length)) await this.#prepareSparse();
    }
    if (areHalf || (pageChanges.areRight && (!isSparse || pageChanges.areSparseRight))) return;
    const reason = `${this.device.name} computes quantized pages wrong, and this text was saved with such pages`;
    throw new ChunkwiseError('wrong_results', { field: 'pages', reason });
  }

  /**
   * Keeps hidden states of `sequence` for the draft head until `forgetStates`. False if it keeps those of another
   * sequence.
   */
  keepStates(sequence: Sequence): boolean {
    const { hiddenStates, cache } = this.transformer;
    if (!hiddenStates || this.batches.keptFor) return false;
    this.batches.keptFor = sequence;
    hiddenStates.keepFrom(0, cache.firstPage(sequence.slot));
    return true;
  }

  forgetStates(sequence: Sequence): void {
    if (this.batches.keptFor === sequence) this.batches.keptFor = undefined;
  }

  /** A decode step that verifies a draft; returns the accepted tokens. See `Batches.verify`. */
  async verify(sample: SampleRequest, draft: Draft): Promise<SampledToken[]> {
    let began = 0;
    const sampled = await this.batches.verify(sample, draft, () => (began = performance.now())); // without the wait for another request's prompt
    this.stepCosts.timed(draft.tokens.length + 1, performance.now() - began);
    return sampled;
  }

  /** Logits `[count, vocabSize]` of the recorded batch's tokens from `start` on; submits. */
  async logits(start: number, count: number): Promise<Float32Array> {
    const { transformer, recorder } = this;
    const { vocabSize } = this.plan.config;
    const result = new Float32Array(count * vocabSize);
    for (let done = 0; done < count; done += HEAD_TOKENS) {
      const rows = Math.min(HEAD_TOKENS, count - done);
      const read = recorder.inOneGo(() => {
        transformer.head(recorder, start + done, rows);
        return this.#readLogits(rows);
      });
      result.set(await read, done * vocabSize);
    }
    return result;
  }

  /** The recorded logits `[rows, vocabSize]`; submits. */
  async #readLogits(rows: number): Promise<Float32Array> {
    const { transformer, recorder, device } = this;
    const rowBytes = transformer.config.vocabSize * 4;
    const readback = (this.#logitsReadback ??= new Readback(device, 'logits', HEAD_TOKENS * rowBytes, 1));
    const range = { buffer: transformer.activations.logits, offset: 0, size: rows * rowBytes };
    return new Float32Array(await readback.submit(recorder, [range]));
  }

  /** Frees the pages of a sequence that no later request reuses. */
  release(sequence: Sequence): void {
    sequence.probing = undefined;
    sequence.measuring?.abort();
    this.transformer.cache.resize(sequence.pages, 0);
    this.transformer.cache.recurrentStates?.removeWhere(sequence.states, () => true);
    this.transformer.cache.shrink();
    sequence.clear();
  }
}

/** Whether pages of a text of that length may change form. */
const mayShrink = ({ policy }: Sequence, length: number): boolean =>
  policy.key !== DENSE.key && length >= LEAST_PAGES * PAGE_TOKENS;
