import { STATE_TOKENS } from '../cache/recurrent-states.ts';
import { MAX_SEQUENCES } from '../config/limits.ts';
import { handled, throwIfAborted } from '../errors/chunkwise-error.ts';
import { type Device, unlessLost } from '../gpu/device.ts';
import { SubmissionSizer } from '../gpu/submissions.ts';
import { readOnce, type Recorder } from '../gpu/recorder.ts';
import { type Batch, FIRST_PREFILL_TOKEN, type MeasuredPages } from '../layers/batch.ts';
import type { LayerRange, Transformer } from '../models/transformer.ts';
import type { Batches, ForwardOptions } from './batches.ts';
import type { PageRun } from '../cache/cache-page.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { SQUARE_STRIDE } from '../kernels/pages.ts';
import type { PageChanges } from './pages/page-changes.ts';
import type { Sequence } from './sequence.ts';
import type { SessionOptions } from './session-options.ts';
import { largest } from '../util/numbers.ts';
import { type ModelConfig, widestMlp } from '../config/model-config.ts';
import { rowWidth } from '../kernels/heads.ts';

/** Parts that compute prompts. */
interface PrefillParts {
  device: Device;
  transformer: Transformer;
  recorder: Recorder;
  batches: Batches;
  pageChanges: PageChanges;
  contextLength: number;
  onTrace: SessionOptions['onTrace'];
}

/** Runs once a batch is recorded, before its last submission; see `Session.prefill`. */
export type OnBatch = (start: number, length: number) => Promise<void> | void;

/** Tokens of a sequence, after those it has. */
export interface NextTokens {
  sequence: Sequence;
  tokens: readonly number[];
  /** Its last pages before these tokens, whose entries' shares of attention are measured; only if it is alone. */
  measured?: PageRun;
  /** Whether it may have sparse pages: then squared shares of its old entries are measured. Only if it is alone. */
  mayBeSparse?: boolean;
}

/** Runs once a batch of several sequences is recorded: the index in the batch of each one's last token, for those that end in it. */
export type OnEnds = (ends: ReadonlyMap<Sequence, number>) => Promise<void> | void;

/** Work that a batch has started. */
interface Begun {
  /** Resolves when the probe of its pages is known. */
  probe: Promise<void> | undefined;
  visit: Promise<void> | void;
}

/** Pages for whose entries `queries` queries of a batch, from `firstQuery` on, are measured. */
interface MeasuredRun {
  run: PageRun;
  firstQuery: number;
  queries: number;
}

/** Most submissions in flight: one that runs, and the next. */
const MOST_UNDER_WAY = 2;

/** Computes prompts in batches, each in short submissions. */
export class Prefill {
  readonly submissionSize = new SubmissionSizer();
  readonly #sizes: PrefillSizes;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(private readonly parts: PrefillParts) {
    this.#sizes = new PrefillSizes(parts.transformer.config, this.submissionSize);
  }

  /** See `Session.prefill`. */
  async compute(sequence: Sequence, tokens: readonly number[], onBatch: OnBatch, signal?: AbortSignal): Promise<void> {
    const { device, onTrace, transformer, pageChanges } = this.parts;
    const { queue } = device.gpuDevice;
    const mayBeSparse = pageChanges.mayBeSparse(sequence, sequence.tokens.length + tokens.length);
    let plan = this.#plan(sequence, tokens.length);
    for (let start = 0; start < tokens.length;) {
      const { rows, ...planned } = plan;
      const began = performance.now();
      (await rows)?.forEach((row, i) => (sequence.rows[planned.start + i] = row));
      const waitedMs = performance.now() - began;
      const batch = tokens.slice(start, start + planned.end - planned.start);
      const first = start;
      const part = { sequence, tokens: batch, mayBeSparse };
      await pageChanges.measure(sequence, planned.start, planned.end, signal);
      let noted: Promise<void> | undefined;
      const onEnd = (): Promise<void> | void => {
        noted = this.#readSquares(part);
        return onBatch(first, batch.length);
      };
      const { probe, visit } = await this.#batch([part], onEnd, signal);
      sequence.tokens.push(...batch); // a submission computes them
      if (onTrace && rows) {
        const { planEnded } = plan;
        const submitted = performance.now();
        const trace = (): void => onTrace({ ...planned, planEnded, waitedMs, submitted, completed: performance.now() });
        queue.onSubmittedWorkDone().then(trace, () => undefined);
      }
      start += batch.length;
      if (start < tokens.length) plan = this.#plan(sequence, tokens.length - start);
      if (visit) await visit;
      await probe;
      await noted;
    }
    await pageChanges.measureForNextPage(sequence, sequence.tokens.length, signal);
    transformer.cache.recurrentStates?.keep(sequence.states, sequence.tokens.length);
  }

  /** See `Session.prefillTogether`. */
  async computeTogether(texts: readonly NextTokens[], onEnds: OnEnds, signal?: AbortSignal): Promise<void> {
    for (const { sequence, tokens } of texts) {
      const start = sequence.tokens.length;
      (await sequence.text?.rows(start + tokens.length))?.forEach((row, i) => (sequence.rows[start + i] = row));
    }
    const most = this.#sizes.tokens(this.parts.transformer.batchTokens, endOf(texts));
    for (let left = texts; left.length > 0;) {
      const { parts, rest } = cut(left, most);
      const ended = new Map<Sequence, number>();
      let length = 0;
      for (const { sequence, tokens } of parts) {
        length += tokens.length;
        if (!rest.some((other) => other.sequence === sequence)) ended.set(sequence, length - 1);
      }
      const { visit } = await this.#batch(parts, () => onEnds(ended), signal);
      for (const { sequence, tokens } of parts) sequence.tokens.push(...tokens);
      await visit;
      left = rest;
    }
  }

  /**
   * Submits a batch in one submission, or some layers at a time; it then owns the activations until its last layer. A
   * small batch, in decode form, stays in one submission: its layers keep more than x.
   */
  async #batch(
    parts: readonly NextTokens[],
    onBatch: () => Promise<void> | void,
    signal?: AbortSignal,
  ): Promise<Begun> {
    const { batches, transformer } = this.parts;
    const batch = parts.flatMap(({ tokens }) => tokens);
    const rows = await transformer.rowsOf(batch);
    await this.#room();
    while (batches.held) await batches.held;
    throwIfAborted(signal);
    const { numLayers } = transformer.config;
    const release = batches.hold();
    try {
      const length = endOf(parts);
      let probe: Begun['probe'];
      for (let from = 0; ;) {
        const to =
          kindOf(batch) === 'decode' ? numLayers : from + this.#sizes.layers(numLayers - from, batch.length, length);
        const begun = this.#submit(parts, { from, to, rows }, onBatch);
        probe ??= begun.probe;
        if (to === numLayers) return { probe, visit: begun.visit };
        from = to;
        await this.#room();
        throwIfAborted(signal);
      }
    } finally {
      release();
    }
  }

  /** Submits layers of a batch: ids with the first layers, the commands of `onBatch` with the last. */
  #submit(
    parts: readonly NextTokens[],
    { rows, ...layers }: LayerRange & { rows: ForwardOptions['rows'] },
    onBatch: () => Promise<void> | void,
  ): Begun {
    const { recorder, batches, transformer, device } = this.parts;
    const { config, activations } = transformer;
    const { queue } = device.gpuDevice;
    const batch = parts.flatMap(({ tokens }) => tokens);
    const places = parts
      .flatMap(({ sequence, tokens }) => tokens.map((_, i) => ({ sequence, position: sequence.tokens.length + i })))
      .map((token, i) => ({ ...token, place: FIRST_PREFILL_TOKEN + i }));
    const begun = recorder.inOneGo((): Begun => {
      let probe: Begun['probe'];
      if (layers.from === 0) {
        queue.writeBuffer(activations.tokens, FIRST_PREFILL_TOKEN * 4, new Uint32Array(batch));
        for (const { sequence, tokens } of parts) {
          const position = sequence.tokens.length;
          probe = batches.lengthen(sequence, position, position + tokens.length) ?? probe;
        }
        const squares = this.#squaresOf(parts);
        if (squares) transformer.cache.sparse.makeRoom(squares.run.count);
      }
      batches.forward(recorder, kindOf(batch), places, { layers, rows, measured: this.#measured(parts) });
      return { probe, visit: layers.to === config.numLayers ? onBatch() : undefined };
    });
    const length = endOf(parts);
    const done = this.submissionSize.submitted((layers.to - layers.from) * layerFlops(config, batch.length, length));
    const work = queue.onSubmittedWorkDone();
    this.#underWay.add(work);
    const forget = (): void => void this.#underWay.delete(work);
    work.then(done, () => undefined).then(forget, forget);
    return begun;
  }

  #measured(parts: readonly NextTokens[]): MeasuredPages | undefined {
    const [{ sequence, measured } = {}] = parts as readonly Partial<NextTokens>[];
    if (!sequence) return undefined;
    const of = ({ first, count }: PageRun) => ({
      page: this.parts.transformer.cache.firstPage(sequence.region) + first,
      pages: count,
    });
    if (measured) {
      const isFirst = sequence.tokens.length === (measured.first + measured.count) * PAGE_TOKENS;
      return { ...of(measured), measure: 'share', firstQuery: 0, isFirst };
    }
    const squares = this.#squaresOf(parts);
    return squares && { ...of(squares.run), ...squares, measure: 'square', isFirst: true };
  }

  /** The pages of which a batch measures squared shares, once they are lengthened for it. */
  #squaresOf([part]: readonly NextTokens[]): MeasuredRun | undefined {
    if (!part?.mayBeSparse || kindOf(part.tokens) === 'decode') return undefined;
    const start = part.sequence.tokens.length;
    const run = this.parts.pageChanges.squaredPages(part.sequence, start);
    const firstQuery = SQUARE_STRIDE - 1 - (start % SQUARE_STRIDE);
    const queries = Math.ceil((part.tokens.length - firstQuery) / SQUARE_STRIDE);
    return run && queries > 0 ? { run, firstQuery, queries } : undefined;
  }

  /** Reads the squared shares that a recorded batch measures, if any; resolves when they are noted. */
  #readSquares(part: NextTokens): Promise<void> | undefined {
    const squares = this.#squaresOf([part]);
    if (!squares) return undefined;
    const { device, recorder, transformer, pageChanges } = this.parts;
    const { sparse } = transformer.cache;
    const { run, queries } = squares;
    const pages = part.sequence.pages.slice(run.first, run.first + run.count);
    recorder.submit();
    const found = readOnce(device, 'entry squares', [sparse.squares(run.count)]);
    return handled(
      found.then((bytes) => {
        const measures = sparse.measuresOf('square', run.count, new Float32Array(bytes));
        pageChanges.noteSquares(part.sequence, { first: run.first, pages }, measures, queries);
      }),
    );
  }

  /** Resolves when another submission may follow. Errors: `device_lost`. */
  async #room(): Promise<void> {
    const [oldest] = this.#underWay;
    if (this.#underWay.size >= MOST_UNDER_WAY && oldest) await unlessLost(this.parts.device, oldest);
  }

  /** Sizes the next batch of a text with `left` tokens to come, and asks for the adapter rows of its tokens. */
  #plan(sequence: Sequence, left: number) {
    const { transformer, pageChanges, contextLength } = this.parts;
    const planBegan = performance.now();
    const start = sequence.tokens.length;
    let most = Math.min(transformer.batchTokens, pageChanges.batchTokens(sequence));
    // A text that exceeds the context needs room for a batch after its kept pages, which may fill half of it.
    if (sequence.policy.drops) most = Math.max(1, Math.min(most, Math.floor(contextLength / 4)));
    if (transformer.config.deltaNet) most = Math.min(most, STATE_TOKENS - (start % STATE_TOKENS));
    const end = start + Math.min(this.#sizes.tokens(most, sequence.placeOf(start)), left);
    const plan = { start, end, planBegan, planEnded: planBegan, rows: sequence.text?.rows(end) };
    const note = (): void => void (plan.planEnded = performance.now());
    plan.rows?.then(note, note); // a failure is reported where the rows are awaited
    return plan;
  }
}

/** Cache place after the longest of these texts. */
const endOf = (parts: readonly NextTokens[]): number =>
  largest(
    parts.map(({ sequence, tokens }) => sequence.placeOf(sequence.tokens.length) + tokens.length),
    0,
  );

/** The first `most` tokens of some texts, in order, and the rest. */
function cut(texts: readonly NextTokens[], most: number): { parts: NextTokens[]; rest: NextTokens[] } {
  const parts: NextTokens[] = [];
  const rest: NextTokens[] = [];
  let room = most;
  for (const { tokens, ...text } of texts) {
    if (room > 0) parts.push({ ...text, tokens: tokens.slice(0, room) });
    if (room < tokens.length) rest.push({ ...text, tokens: tokens.slice(Math.max(0, room)) });
    room -= tokens.length;
  }
  return { parts, rest };
}

/** Few tokens are faster in decode form. */
const kindOf = (batch: readonly number[]): Batch['kind'] => (batch.length > MAX_SEQUENCES ? 'prefill' : 'decode');

/** Smallest batch that is not halved: the tokens that prefill multiplies together on software adapters. */
const FEWEST = 8;

/** FLOPs of one layer for a batch of `tokens` tokens that ends a text of `length`. */
export function layerFlops(config: ModelConfig, tokens: number, length: number): number {
  const { hiddenSize, numHeads, headDim, experts, perLayerInputs = 0 } = config;
  const mlpSize = Math.max(
    experts ? experts.used * experts.intermediateSize : 0,
    experts?.firstLayer === 0 ? 0 : widestMlp(config),
  );
  const weights = hiddenSize * (numHeads * headDim + rowWidth(config) + 3 * mlpSize + 2 * perLayerInputs);
  const attended = 2 * numHeads * headDim * length; // scores, and weighted sums of values
  return 2 * tokens * (weights + attended);
}

/** Cuts a prompt into short submissions. */
export class PrefillSizes {
  constructor(
    private readonly config: ModelConfig,
    private readonly submissionSize: SubmissionSizer,
  ) {}

  /** Tokens of the next batch after `position`: `most`, halved until a submission holds a layer. */
  tokens(most: number, position: number): number {
    let tokens = most;
    while (tokens >= 2 * FEWEST && layerFlops(this.config, tokens, position + tokens) > this.submissionSize.flops)
      tokens = Math.floor(tokens / 2);
    return tokens;
  }

  /** Layers of the next submission if `left` layers of a batch remain, split about evenly over submissions. */
  layers(left: number, tokens: number, length: number): number {
    const most = Math.max(1, Math.floor(this.submissionSize.flops / layerFlops(this.config, tokens, length)));
    return Math.ceil(left / Math.ceil(left / most));
  }
}
