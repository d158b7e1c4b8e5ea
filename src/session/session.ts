import { addMemory, type MemoryReport } from '../config/memory-report.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import type { Governor } from '../gpu/governor.ts';
import { finished, Readback } from '../gpu/readback.ts';
import type { Dispatcher, Recorder } from '../gpu/recorder.ts';
import { HEAD_TOKENS } from '../layers/activations.ts';
import { pageFormKernels } from '../layers/page-forms.ts';
import type { Batch } from '../layers/batch.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { allHalf } from '../cache/kv-report.ts';
import { DENSE, LEAST_PAGES } from '../cache/policy.ts';
import type { Transformer } from '../models/transformer.ts';
import { checkAdapters, checkPages, checkPlainAdapters } from './checks/session-checks.ts';
import type { ModelPlan } from './model-plan.ts';
import { Batches, type BatchToken, type Draft, type ForwardOptions } from './batches.ts';
import { DecodeSteps } from './decode-steps.ts';
import { DrawRecorder } from './sampling/draw-recorder.ts';
import type { DrawRequest, DrawnToken, StepResult } from './sampling/draw-request.ts';
import { PageTrials } from './pages/page-trials.ts';
import { LookAhead } from './look-ahead.ts';
import { type OnBatch, Prefill } from './prefill.ts';
import { RankCounter } from './rank-counter.ts';
import type { Sequence } from './sequence.ts';
import { SequenceCache } from './sequence-cache.ts';
import { StepCosts } from './speculation/step-costs.ts';
import { ShadowCheck } from './pages/shadow-check.ts';
import type { SessionOptions } from './session-options.ts';

/** A model on a device: everything that is lost with the device. Made by `openSession`. Computes; knows nothing of requests or text. */
export class Session {
  readonly sequences: SequenceCache;
  readonly steps: DecodeSteps;
  readonly ranks: RankCounter;
  readonly draws: DrawRecorder;
  readonly trials: PageTrials;
  readonly shadow: ShadowCheck;
  /** How far answers go ahead; measured when the model is open. */
  lookAhead = new LookAhead();
  /** What steps cost that verify drafts. */
  stepCosts: StepCosts;
  /** What drafts answers of this one: a smaller model of the same tokens, on a device of its own, or the model's draft head, on the same. */
  draftModel: Session | undefined;
  readonly #batches: Batches;
  readonly #prefill: Prefill;
  /** Settles once it is known whether what adapters run is computed right. */
  #adapters: Promise<void> | undefined;
  #plainAdapters: Promise<void> | undefined;
  /** Settles once what is compiled aside is there. */
  #pageForms: Promise<unknown> | undefined;
  #logitsReadback: Readback | undefined;

  constructor(
    readonly device: Device,
    readonly plan: ModelPlan,
    readonly transformer: Transformer,
    readonly recorder: Recorder,
    private readonly options: Pick<SessionOptions, 'onTrace' | 'tuning'> = {},
  ) {
    this.ranks = new RankCounter(device, recorder, transformer.arena);
    this.draws = new DrawRecorder(device, transformer, recorder);
    this.trials = new PageTrials(device, recorder, transformer, plan.contextLength);
    this.shadow = new ShadowCheck(device, recorder, transformer);
    this.sequences = new SequenceCache(transformer.cache);
    const { sequences, trials, ranks, draws } = this;
    this.#batches = new Batches({ device, transformer, recorder, sequences, trials, ranks, draws });
    this.#prefill = new Prefill({
      device,
      transformer,
      recorder,
      batches: this.#batches,
      contextLength: plan.contextLength,
      onTrace: options.onTrace,
    });
    this.stepCosts = new StepCosts(device, () => this.lookAhead.stepMs);
    this.steps = new DecodeSteps(this.#batches, (underWay, dispatches) => this.lookAhead.arrived(underWay, dispatches));
  }

  /** Whether texts are kept, to be gone on from. */
  get holdsText(): boolean {
    return this.sequences.idle.length > 0;
  }

  memory(): MemoryReport {
    return addMemory(...this.devices.map(({ buffers }) => buffers.report()));
  }

  close(): void {
    for (const device of this.devices) device.close();
  }

  /** Its own, and its draft model's. */
  get devices(): readonly Device[] {
    return [...new Set([this.device, ...(this.draftModel?.devices ?? [])])];
  }

  /** Sizes submissions of prompts. */
  get governor(): Governor {
    return this.#prefill.governor;
  }

  /** Binds the adapters as they lie now. Resolves when what that needs is compiled, and there was room. Errors: `device_lost`, `kernel_refused`. */
  async bindAdapters(): Promise<void> {
    this.transformer.bindAdapters();
    await this.device.pipelines.ready();
    await finished(this.device);
  }

  /** Before the first answer with an adapter; the arena is bound. Errors: `wrong_results`, `device_lost`. */
  async checkAdapters(): Promise<void> {
    const { tuning } = this.options;
    if (tuning) await (this.#adapters ??= checkAdapters(this, tuning));
  }

  /** The same of adapters in their plain form. */
  async checkPlainAdapters(): Promise<void> {
    const { tuning } = this.options;
    if (tuning) await (this.#plainAdapters ??= checkPlainAdapters(this, tuning));
  }

  /**
   * Begins to compile what pages in other forms than f16 need, before a text of up to `length` tokens: no answer waits for
   * it in its middle. Resolves when it is compiled.
   */
  async prepare(sequence: Sequence, length: number): Promise<void> {
    if (mayShrink(sequence, length)) await this.#preparePages();
  }

  /** Where pages in other forms are computed wrong, they stay as they are. */
  #preparePages(): Promise<unknown> {
    return (this.#pageForms ??= this.#compilePageForms());
  }

  async #compilePageForms(): Promise<void> {
    const { device, transformer, options, trials } = this;
    const kernels = pageFormKernels(device, transformer.config);
    await Promise.allSettled(kernels.map((kernel) => device.pipelines.prepare(kernel)));
    if (options.tuning) await checkPages(this, options.tuning).catch(() => (trials.areRight = false));
  }

  /**
   * Computes `tokens` after those `sequence` holds, in batches, and keeps them in it. `onBatch` is called once a batch
   * is recorded, before the last of it is submitted, with its first token's place in `tokens` and its length: what it records before
   * its first await is submitted with it. While the GPU computes a batch the next one is planned.
   */
  async prefill(sequence: Sequence, tokens: readonly number[], onBatch: OnBatch, signal?: AbortSignal): Promise<void> {
    const areHalf = allHalf(sequence.pages);
    if (!areHalf || mayShrink(sequence, sequence.tokens.length + tokens.length)) await this.#preparePages();
    if (!areHalf && !this.trials.areRight) {
      const reason = `${this.device.name} computes pages in other forms than f16 wrong, and this text was saved with such`;
      throw new ChunkwiseError('wrong_results', { field: 'pages', reason });
    }
    await this.#prefill.compute(sequence, tokens, onBatch, signal);
  }

  /** Records the forward pass over a batch, which must be submitted before another is recorded. */
  forward(recorder: Dispatcher, kind: Batch['kind'], tokens: readonly BatchToken[], options?: ForwardOptions): void {
    this.#batches.forward(recorder, kind, tokens, options);
  }

  /**
   * From now on what is known behind the tokens of `sequence` is kept for the draft head; false where that keeps another's. Until
   * `forgetStates`.
   */
  keepStates(sequence: Sequence): boolean {
    const { kept, cache } = this.transformer;
    if (!kept || this.#batches.keptFor) return false;
    this.#batches.keptFor = sequence;
    kept.keepFrom(0, cache.firstPage(sequence.slot));
    return true;
  }

  forgetStates(sequence: Sequence): void {
    if (this.#batches.keptFor === sequence) this.#batches.keptFor = undefined;
  }

  /** Draws the token after the last one of the recorded batch of `length` tokens; submits. */
  sample(length: number, draw: DrawRequest): Promise<DrawnToken> {
    return this.#batches.sample(length, draw);
  }

  /** A decode step by itself; see `Batches.decode`. What streams share goes through `steps`. */
  decode(draws: readonly DrawRequest[]): Promise<StepResult[]> {
    return this.#batches.decode(draws);
  }

  /** A decode step by itself that verifies a draft: the tokens it gives. See `Batches.verify`. */
  async verify(draw: DrawRequest, draft: Draft): Promise<DrawnToken[]> {
    let began = 0;
    const drawn = await this.#batches.verify(draw, draft, () => (began = performance.now())); // waiting for another's prompt is not its time
    this.stepCosts.timed(draft.tokens.length + 1, performance.now() - began);
    return drawn;
  }

  /** Logits `[count, vocabSize]` of the recorded batch's tokens from `start` on; submits. */
  async logits(start: number, count: number): Promise<Float32Array> {
    const { transformer, recorder, device } = this;
    const { logits } = transformer.activations;
    const rowBytes = transformer.config.vocabSize * 4;
    const readback = (this.#logitsReadback ??= new Readback(device, 'logits', HEAD_TOKENS * rowBytes, 1));
    const result = new Float32Array((count * rowBytes) / 4);
    for (let done = 0; done < count; done += HEAD_TOKENS) {
      const rows = Math.min(HEAD_TOKENS, count - done);
      const bytes = await recorder.inOneGo(() => {
        transformer.head(recorder, start + done, rows);
        return readback.submit(recorder, [{ buffer: logits, offset: 0, size: rows * rowBytes }]);
      });
      result.set(new Float32Array(bytes), (done * rowBytes) / 4);
    }
    return result;
  }

  /** Frees the pages of a sequence that no later request will go on from. */
  release(sequence: Sequence): void {
    this.trials.drop(sequence);
    this.transformer.cache.resize(sequence.pages, 0);
    this.transformer.cache.states.removeWhere(sequence.states, () => true);
    this.transformer.cache.shrink();
    sequence.clear();
  }
}

/** Whether pages take another form in a text of that length. */
const mayShrink = ({ policy }: Sequence, length: number): boolean =>
  policy.key !== DENSE.key && length >= LEAST_PAGES * PAGE_TOKENS;
