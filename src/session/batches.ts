import type { RampRow } from '../chunking/ramps.ts';
import { allHalf } from '../cache/kv-cache.ts';
import type { Device } from '../gpu/device.ts';
import { type Dispatcher, readOnce, type Recorder } from '../gpu/recorder.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { mostDecoded } from '../kernels/linear-decode.ts';
import { type Batch, batchTable, FIRST_PREFILL_TOKEN, type Run } from '../layers/batch.ts';
import type { LayerRange, Transformer } from '../models/transformer.ts';
import { loraBatch, type RankCounter } from './adapter-mix.ts';
import { handled } from '../errors/chunkwise-error.ts';
import type { PageChanges } from './pages/page-changes.ts';
import type { CountedText, SampledToken, SampleRecorder, SampleRequest, StepResult } from './sampling/sampler.ts';
import type { Sequence, SequenceCache } from './sequence.ts';

/** Parts that compute batches. */
interface BatchParts {
  device: Device;
  transformer: Transformer;
  recorder: Recorder;
  sequences: SequenceCache;
  pageChanges: PageChanges;
  ranks: RankCounter;
  samples: SampleRecorder;
}

/** A token of a batch: its position in the text, and the index of its id in `activations.tokens`. */
export interface BatchToken {
  sequence: Sequence;
  position: number;
  place: number;
  /** Its adapter row; default: the sequence's. */
  row?: RampRow | undefined;
}

/** Tokens that may follow the one last sampled. */
export interface Draft {
  tokens: readonly number[];
  /** The adapter row that each is expected to have, if the GPU chooses levels. */
  rows?: readonly RampRow[] | undefined;
  /** The prompt, and the tokens sampled so far. */
  text: CountedText;
  /** Masks of the token after the one last sampled, and after each of these; default: every token is allowed. */
  allowed?: readonly Uint32Array<ArrayBuffer>[] | undefined;
}

/**
 * Options of a forward pass: `tap` sees the inputs of linears; `layers` limits the recorded layers. Default: all
 * layers.
 */
export interface ForwardOptions {
  onLinearInput?: Batch['onLinearInput'];
  layers?: LayerRange;
  /** Rows of per-layer inputs for its tokens; see `Transformer.rowsOf`. */
  rows?: Float32Array<ArrayBuffer> | undefined;
  /** Tokens at the end that are drafts; default: none. */
  drafted?: number;
  measured?: Batch['measured'];
}

/** Computes batches of tokens, and samples the tokens after them. */
export class Batches {
  /** A batch that is submitted layer by layer owns the activations: settles once all its layers are submitted. */
  held: Promise<void> | undefined;
  /** The draft head keeps hidden states of this sequence. */
  keptFor: Sequence | undefined;
  /** The last sampled token of each sequence, in models whose layers read rows of a matrix that stays on the CPU. */
  readonly #last = new WeakMap<Sequence, Promise<number>>();
  /** For each sequence whose logits are held: settles once the step that computes them is submitted. */
  readonly #steps = new WeakMap<Sequence, Promise<unknown>>();

  /** Whether layers read rows of a matrix that stays on the CPU. */
  readonly #takesRows: boolean;

  constructor(private readonly parts: BatchParts) {
    this.#takesRows = parts.transformer.config.perLayerInputs !== undefined;
  }

  /** Takes the activations; the returned function frees them. */
  hold(): () => void {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    this.held = held;
    return () => {
      this.held = undefined;
      release();
    };
  }

  /**
   * Reserves pages for positions `from` to `to` of a text, and changes page forms as the cache policy asks. Nothing
   * may be recorded. Throws `context_overflow`.
   */
  lengthen(sequence: Sequence, from: number, to: number): Promise<void> | undefined {
    const { pageChanges, sequences } = this.parts;
    // A branch shares pages, which must not change.
    const probe = sequence.branch ? undefined : pageChanges.settle(sequence, from, to);
    sequences.reserve(sequence, to);
    return probe && handled(probe);
  }

  /** The same for a decode step. The step that begins a page also measures what the next page needs, so that it does not wait. */
  #lengthenByStep(sequence: Sequence, from: number, to: number): Promise<void>[] {
    const probe = this.lengthen(sequence, from, to);
    const begins = sequence.placeOf(from) % PAGE_TOKENS === 0 || sequence.placeOf(to) % PAGE_TOKENS < to - from;
    const { pageChanges } = this.parts;
    const measured = begins && !sequence.branch ? pageChanges.measureForNextPage(sequence, to) : undefined;
    return [probe, measured && handled(measured)].filter((each) => each !== undefined);
  }

  /**
   * Records the forward pass of a batch, which must be submitted before another is recorded. Pages and adapters may
   * move between the layers of a batch.
   */
  forward(
    recorder: Dispatcher,
    kind: Batch['kind'],
    tokens: readonly BatchToken[],
    { onLinearInput, layers, rows, drafted = 0, measured }: ForwardOptions = {},
  ): void {
    const { device, transformer, ranks, sequences: cached } = this.parts;
    const { cache, activations, arena } = transformer;
    const sequences = [...new Set(tokens.map(({ sequence }) => sequence))];
    const spans = sequences.map((sequence) => {
      const positions = tokens.filter((token) => token.sequence === sequence).map(({ position }) => position);
      return { sequence, from: Math.min(...positions), to: Math.max(...positions) + 1 };
    });
    const isFirst = !layers || layers.from === 0;
    if (isFirst && this.#takesRows && !rows) throw new Error('no rows');
    if (isFirst && rows) transformer.writeLayerInputs(rows);
    // Adding a recurrent state may move those of other sequences.
    if (isFirst) for (const { sequence, from, to } of spans) cached.advance(sequence, from, to, drafted);
    for (const { sequence, from, to } of spans) {
      cache.show(sequence.region, sequence.pages);
      cache.recurrentStates?.show(cache.firstPage(sequence.region), sequence.states, from, to);
    }
    const places = tokens.map(({ sequence, position }) => sequence.placeOf(position));
    const table = batchTable(
      tokens.map(({ sequence, place }, i) => {
        const position = places[i] as number;
        return {
          place,
          position,
          firstPage: cache.firstPage(sequence.region),
          page: Math.floor(position / PAGE_TOKENS),
        };
      }),
    );
    device.gpuDevice.queue.writeBuffer(activations.batchTable, 0, table);
    const length = Math.max(...places) + 1;
    const unfusedLoras = sequences[0]?.adapters.loras;
    const doses = tokens.map(({ sequence, position, row = sequence.rowOf(position) }) => ({
      mix: sequence.adapters,
      slot: sequence.slot,
      row,
      position,
    }));
    if (isFirst && measured?.measure !== 'share') for (const { sequence } of tokens) ranks.count(sequence);
    const adapted = loraBatch(arena, doses, kind);
    if (adapted) arena.writeRows(adapted.rows);
    const allF16 = sequences.every(({ pages }) => allHalf(pages));
    const onePerSequence = sequences.length === tokens.length;
    const runs = onePerSequence || sequences.length === 1 ? undefined : runsOf(tokens);
    const tokensPastState = Math.max(
      ...spans.map(({ sequence: { states }, from }) => cache.recurrentStates?.tokensPast(states, from) ?? 0),
    );
    const keepsHiddenStates =
      transformer.config.isDraftHead === true || sequences.some((sequence) => sequence === this.keptFor);
    transformer.forward(
      recorder,
      {
        ...{ kind, tokens: tokens.length, length, onePerSequence, runs, allF16, lora: adapted?.lora },
        ...{ unfusedLoras, tokensPastState, keepsHiddenStates, onLinearInput, measured },
      },
      layers,
    );
  }

  /** Samples the token after the last one of the recorded batch of `length` tokens; submits. */
  async sample(length: number, sample: SampleRequest): Promise<SampledToken> {
    return this.#sampleOne(sample, () => this.parts.samples.record(length - 1, [sample]));
  }

  /**
   * A decode step: computes the last sampled token of each sequence, and samples the next one, or holds the logits
   * if the mask is not known yet; submits.
   */
  decode(samples: readonly SampleRequest[]): Promise<StepResult[]> {
    // The next step may be asked for before this one's rows are read: it needs this one's tokens.
    const last = this.#takesRows ? samples.map(({ sequence }) => this.#lastOf(sequence)) : undefined;
    const step = handled(this.#submitStep(samples, last));
    for (const { sequence, allowedLater } of samples) if (allowedLater) this.#steps.set(sequence, step);
    const results = step.then(async ({ sampled, probes }) => {
      const results = await sampled;
      await Promise.all(probes);
      return results;
    });
    return this.#noted(samples, results);
  }

  /** Resolves once a step is submitted. `last`: the tokens that it computes, if their rows must be read first. */
  async #submitStep(
    samples: readonly SampleRequest[],
    last: readonly Promise<number>[] | undefined,
  ): Promise<{ sampled: Promise<StepResult[]>; probes: readonly Promise<void>[] }> {
    const { recorder, transformer } = this.parts;
    const groups = byAdapters(samples);
    const ids = last && (await Promise.all(last));
    const rows =
      ids &&
      (await Promise.all(
        groups.map((group) => transformer.rowsOf(group.map((sample) => ids[samples.indexOf(sample)] as number))),
      ));
    while (this.held) await this.held;
    const probes: Promise<void>[] = [];
    const sampled = this.#sample(samples, () => {
      for (const { sequence, position } of samples) {
        probes.push(...this.#lengthenByStep(sequence, position - 1, position));
      }
      for (const [i, group] of groups.entries()) {
        if (i > 0) recorder.submit(); // a submission writes the table once
        const tokens = group.map(({ sequence, position }) => ({
          sequence,
          position: position - 1,
          place: sequence.slot,
        }));
        this.forward(recorder, 'decode', tokens, { rows: rows?.[i] });
        this.parts.samples.record(0, group);
      }
    });
    return { sampled: handled(sampled), probes };
  }

  /**
   * Computes the last sampled token of a sequence and a draft after it (fewer than FEW_TOKENS in all), and samples
   * after each; submits once the activations are free, and then calls `onSubmit`. Resolves with the accepted samples:
   * the first, and each one after a draft token that equals the sample before it and has the row that the GPU chose.
   * Keys and values of rejected tokens are overwritten before anything attends to them.
   */
  async verify(
    sample: SampleRequest,
    { tokens: draft, rows: drafted, text, allowed }: Draft,
    onSubmit: () => void = () => undefined,
  ): Promise<SampledToken[]> {
    const { recorder, device, transformer, samples } = this.parts;
    const rows = this.#takesRows
      ? await transformer.rowsOf([await this.#lastOf(sample.sequence), ...draft])
      : undefined;
    while (this.held) await this.held;
    onSubmit();
    const { sequence, position } = sample;
    const first: BatchToken = { sequence, position: position - 1, place: sequence.slot };
    const tokens = [
      first,
      ...draft.map((_, i): BatchToken => ({
        sequence,
        position: position + i,
        place: FIRST_PREFILL_TOKEN + i,
        row: drafted?.[i],
      })),
    ];
    let probes: Promise<void>[] = [];
    const sampled = await recorder.inOneGo(() => {
      const before = recorder.dispatches;
      probes = this.#lengthenByStep(sequence, position - 1, position + draft.length);
      device.gpuDevice.queue.writeBuffer(
        transformer.activations.tokens,
        FIRST_PREFILL_TOKEN * 4,
        new Uint32Array(draft),
      );
      this.forward(recorder, tokens.length > mostDecoded(device) ? 'prefill' : 'decode', tokens, {
        rows,
        drafted: draft.length,
      });
      return samples.verify(
        tokens.map((_, i) => ({ ...sample, position: position + i, allowed: allowed?.[i] })),
        before,
      );
    });
    await Promise.all(probes);
    const isGoneOnFrom = ({ token, row: chosen }: SampledToken, i: number): boolean =>
      token === draft[i] && (!chosen || isSameRow(chosen, drafted?.[i]));
    const count = sampled.findIndex((each, i) => !isGoneOnFrom(each, i)) + 1;
    const kept = sampled.slice(0, count);
    void this.#noted([sample], Promise.resolve(kept.slice(-1)));
    samples.takeBack(sample, sampled, count, { ...text, answer: [...text.answer, ...kept.map(({ token }) => token)] });
    return kept.map((each) => ({ ...each, dispatchesPerToken: (each.dispatchesPerToken * sampled.length) / count }));
  }

  /** Settles once the step that holds this sequence's logits is submitted. Errors: that step's. */
  async heldStepOf(sequence: Sequence): Promise<void> {
    await this.#steps.get(sequence);
  }

  /** Samples from the held logits of a submitted step; submits. */
  async sampleHeld(sample: SampleRequest): Promise<SampledToken> {
    return this.#sampleOne(sample, () => this.parts.samples.recordHeld(sample));
  }

  async #sampleOne(sample: SampleRequest, record: () => void): Promise<SampledToken> {
    const [sampled] = await this.#noted([sample], this.#sample([sample], record));
    return sampled as SampledToken;
  }

  /** Submits what `record` records, and reads what it samples. */
  #sample(samples: readonly SampleRequest[], record: () => void): Promise<StepResult[]> {
    const { recorder } = this.parts;
    return recorder.inOneGo(() => {
      const before = recorder.dispatches;
      record();
      return this.parts.samples.read(samples, before);
    });
  }

  /** The same results; notes their tokens for the next step. */
  #noted(samples: readonly SampleRequest[], results: Promise<StepResult[]>): Promise<StepResult[]> {
    if (!this.#takesRows) return results;
    samples.forEach(({ sequence, allowedLater }, i) => {
      if (!allowedLater) this.#last.set(sequence, handled(results.then((all) => (all[i] as SampledToken).token)));
    });
    return results;
  }

  /** The last sampled token of a sequence; after a prefill alone, the token in its slot. */
  #lastOf(sequence: Sequence): Promise<number> {
    const { device, transformer } = this.parts;
    const place = { buffer: transformer.activations.tokens, offset: sequence.slot * 4, size: 4 };
    return (
      this.#last.get(sequence) ??
      readOnce(device, 'last token', [place]).then((bytes) => new Uint32Array(bytes)[0] as number)
    );
  }
}

/** The tokens of each sequence, which are consecutive. */
function runsOf(tokens: readonly BatchToken[]): Run[] {
  const runs = new Map<Sequence, Run>();
  tokens.forEach(({ sequence }, i) => {
    const run = runs.get(sequence) ?? { first: i, tokens: 0 };
    runs.set(sequence, { ...run, tokens: run.tokens + 1 });
  });
  return [...runs.values()];
}

/** WGSL divides to within 2.5 units in the last place. */
const ROW_TOLERANCE = 1e-6;
const isSameRow = (a: RampRow, b: RampRow | undefined): boolean =>
  a.levelLo === b?.levelLo &&
  a.levelHi === b.levelHi &&
  Math.max(Math.abs(a.wLo - b.wLo), Math.abs(a.wHi - b.wHi)) < ROW_TOLERANCE;

/** A forward pass in plain form takes one mix of adapters. */
function byAdapters(samples: readonly SampleRequest[]): SampleRequest[][] {
  const groups = new Map<string, SampleRequest[]>();
  for (const sample of samples) {
    const { loras, key: mixKey } = sample.sequence.adapters;
    const key = loras.length > 0 ? mixKey : '';
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  return [...groups.values()];
}
