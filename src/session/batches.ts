import type { RampRow } from '../chunking/ramps.ts';
import { allHalf } from '../cache/kv-report.ts';
import type { Device } from '../gpu/device.ts';
import { readOnce } from '../gpu/readback.ts';
import type { Dispatcher, Recorder } from '../gpu/recorder.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { mostDecoded } from '../kernels/linears/linear-kernels.ts';
import { type Batch, batchTable, FIRST_PREFILL_TOKEN } from '../layers/batch.ts';
import type { LayerRange, Transformer } from '../models/transformer.ts';
import { loraBatch } from './adapter-mix.ts';
import type { StepComputer } from './decode-steps.ts';
import { handled } from './handled.ts';
import type { PageTrials } from './pages/page-trials.ts';
import type { RankCounter } from './rank-counter.ts';
import type { DrawRecorder } from './sampling/draw-recorder.ts';
import type { DrawRequest, DrawnToken, StepResult } from './sampling/draw-request.ts';
import type { CountedText } from './sampling/sampler.ts';
import type { SequenceCache } from './sequence-cache.ts';
import type { Sequence } from './sequence.ts';

/** What batches are computed with. */
interface BatchParts {
  device: Device;
  transformer: Transformer;
  recorder: Recorder;
  sequences: SequenceCache;
  trials: PageTrials;
  ranks: RankCounter;
  draws: DrawRecorder;
}

/** A token of a batch: its position in its sequence's text, and the place in `activations.tokens` where its id stands. */
export interface BatchToken {
  sequence: Sequence;
  position: number;
  place: number;
  /** What it takes of the adapters; default: what its sequence says. */
  row?: RampRow | undefined;
}

/** Tokens that may come behind the one last drawn. */
export interface Draft {
  tokens: readonly number[];
  /** What each is expected to take of the adapters, where the GPU chooses. */
  rows: readonly RampRow[] | undefined;
  /** What was drawn, and what that went on from. */
  text: CountedText;
  /** What may be drawn behind the token last drawn, and behind each of these; default: all. */
  allowed?: readonly Uint32Array<ArrayBuffer>[] | undefined;
}

/** Of a batch: what linears read is shown to `tap`; and which layers are recorded, from `from` up to `to`. Default: all. */
export interface ForwardOptions {
  tap?: Batch['tap'];
  layers?: LayerRange;
  /** What its layers take in of its tokens; see `Transformer.rowsOf`. */
  rows?: Float32Array<ArrayBuffer> | undefined;
  /** The last so many of its tokens may be thrown away; default: none. */
  drafted?: number;
}

/** Computes batches of sequences' tokens, and draws the tokens after them. */
export class Batches implements StepComputer {
  /** What is known behind the tokens of this text is kept, for a draft head. */
  keptFor: Sequence | undefined;
  #held: Promise<void> | undefined;
  /** The token last drawn of each text, in models whose layers take in rows of a matrix that is not on the GPU. */
  readonly #last = new WeakMap<Sequence, Promise<number>>();
  /** Of texts whose latest logits are held: settles once the step that computes these is submitted. */
  readonly #steps = new WeakMap<Sequence, Promise<unknown>>();

  constructor(private readonly parts: BatchParts) {}

  /** While a batch is submitted layer by layer the activations are its own: settles once it is whole. */
  get held(): Promise<void> | undefined {
    return this.#held;
  }

  /** Keeps the activations until the function given back is called. */
  hold(): () => void {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    this.#held = held;
    return () => {
      this.#held = undefined;
      release();
    };
  }

  /**
   * Makes room for a text's tokens from `from` up to `to`, and gives its pages the forms that they are to have. Nothing may
   * be recorded. Throws `context_overflow`.
   */
  lengthen(sequence: Sequence, from: number, to: number): Promise<void> | undefined {
    const { trials, sequences } = this.parts;
    const trial = trials.settle(sequence, from, to);
    sequences.reserve(sequence, to);
    return trial && handled(trial);
  }

  /**
   * Records the forward pass over a batch, which must be submitted before another is recorded. Pages and adapters may lie
   * elsewhere when its next layers are.
   */
  forward(
    recorder: Dispatcher,
    kind: Batch['kind'],
    tokens: readonly BatchToken[],
    { tap, layers, rows, drafted = 0 }: ForwardOptions = {},
  ): void {
    const { device, transformer, ranks, sequences: cached } = this.parts;
    const { cache, activations, arena } = transformer;
    const sequences = [...new Set(tokens.map(({ sequence }) => sequence))];
    const spans = sequences.map((sequence) => {
      const positions = tokens.filter((token) => token.sequence === sequence).map(({ position }) => position);
      return { sequence, from: Math.min(...positions), to: Math.max(...positions) + 1 };
    });
    const isFirst = !layers || layers.from === 0;
    if (isFirst && this.#takesRows && !rows) throw new Error('no rows of the tokens');
    if (isFirst && rows) transformer.takeIn(rows);
    // States of all may move as one is added.
    if (isFirst) for (const { sequence, from, to } of spans) cached.advance(sequence, from, to, drafted);
    for (const { sequence, from, to } of spans) {
      cache.show(sequence.slot, sequence.pages);
      cache.states.show(cache.firstPage(sequence.slot), sequence.states, from, to);
    }
    const places = tokens.map(({ sequence, position }) => sequence.placeOf(position));
    const table = batchTable(
      tokens.map(({ sequence, place }, i) => {
        const position = places[i] as number;
        return { place, position, firstPage: cache.firstPage(sequence.slot), page: Math.floor(position / PAGE_TOKENS) };
      }),
    );
    device.gpuDevice.queue.writeBuffer(activations.batchTable, 0, table);
    const length = Math.max(...places) + 1;
    const loras = sequences[0]?.adapters.loras ?? [];
    const doses = tokens.map(({ sequence, position, row = sequence.rowOf(position) }) => ({
      mix: sequence.adapters,
      slot: sequence.slot,
      row,
      position,
    }));
    if (isFirst) for (const { sequence } of tokens) ranks.count(sequence);
    const adapted = loraBatch(arena, doses);
    if (adapted) arena.writeRows(adapted.rows);
    const halfOnly = sequences.every(({ pages }) => allHalf(pages));
    const apart = sequences.length === tokens.length;
    const behind = Math.max(...spans.map(({ sequence: { states }, from }) => cache.states.behind(states, from)));
    const keepsStates =
      transformer.config.isDraftHead === true || sequences.some((sequence) => sequence === this.keptFor);
    transformer.forward(
      recorder,
      { kind, tokens: tokens.length, length, apart, behind, halfOnly, loras, lora: adapted?.lora, tap, keepsStates },
      layers,
    );
  }

  /** Draws the token after the last one of the recorded batch of `length` tokens; submits. */
  async sample(length: number, draw: DrawRequest): Promise<DrawnToken> {
    const [drawn] = await this.#noted(
      [draw],
      this.#draw([draw], () => this.parts.draws.record(length - 1, [draw])),
    );
    return drawn as DrawnToken;
  }

  /**
   * A decode step: computes the token last drawn of each of these sequences, and draws their next ones, or holds the
   * logits of those that are drawn later; submits.
   */
  decode(draws: readonly DrawRequest[]): Promise<StepResult[]> {
    // The next step may be asked for before this one's rows are read: it goes on from this one's tokens.
    const last = this.#takesRows ? draws.map(({ sequence }) => this.#lastOf(sequence)) : undefined;
    const step = handled(this.#submitStep(draws, last));
    for (const { sequence, allowedLater } of draws) if (allowedLater) this.#steps.set(sequence, step);
    const results = step.then(async ({ drawn, trials }) => {
      const results = await drawn;
      await Promise.all(trials);
      return results;
    });
    return this.#noted(draws, results);
  }

  /** Resolves once a step is submitted, with what it will have drawn. `last`: the tokens that it computes, where their rows must be read first. */
  async #submitStep(
    draws: readonly DrawRequest[],
    last: readonly Promise<number>[] | undefined,
  ): Promise<{ drawn: Promise<StepResult[]>; trials: readonly Promise<void>[] }> {
    const { recorder, transformer } = this.parts;
    const groups = byAdapters(draws);
    const ids = last && (await Promise.all(last));
    const rows =
      ids &&
      (await Promise.all(
        groups.map((group) => transformer.rowsOf(group.map((draw) => ids[draws.indexOf(draw)] as number))),
      ));
    while (this.#held) await this.#held;
    const trials: Promise<void>[] = [];
    const drawn = this.#draw(draws, () => {
      for (const { sequence, position } of draws) {
        const trial = this.lengthen(sequence, position - 1, position);
        if (trial) trials.push(trial);
      }
      for (const [i, group] of groups.entries()) {
        if (i > 0) recorder.submit(); // the table is written once a submission
        const tokens = group.map(({ sequence, position }) => ({
          sequence,
          position: position - 1,
          place: sequence.slot,
        }));
        this.forward(recorder, 'decode', tokens, { rows: rows?.[i] });
        this.parts.draws.record(0, group);
      }
    });
    return { drawn: handled(drawn), trials };
  }

  /**
   * Computes the token last drawn of a sequence and a draft behind it (fewer than FEW_TOKENS in all), and draws after each;
   * submits, once nobody holds the activations, when `onSubmit` is called. Resolves with the draws that hold: the first, and
   * each behind a token of the draft that was drawn before it and takes the row that it was computed with. Keys and values of
   * the others are overwritten before anything attends to their positions.
   */
  async verify(
    draw: DrawRequest,
    { tokens: draft, rows: drafted, text, allowed }: Draft,
    onSubmit: () => void = () => undefined,
  ): Promise<DrawnToken[]> {
    const { recorder, device, transformer, draws } = this.parts;
    const rows = this.#takesRows ? await transformer.rowsOf([await this.#lastOf(draw.sequence), ...draft]) : undefined;
    while (this.#held) await this.#held;
    onSubmit();
    const { sequence, position } = draw;
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
    let trial: Promise<void> | undefined;
    const drawn = await recorder.inOneGo(() => {
      const before = recorder.dispatches;
      trial = this.lengthen(sequence, position - 1, position + draft.length);
      device.gpuDevice.queue.writeBuffer(
        transformer.activations.tokens,
        FIRST_PREFILL_TOKEN * 4,
        new Uint32Array(draft),
      );
      this.forward(recorder, tokens.length > mostDecoded(device) ? 'prefill' : 'decode', tokens, {
        rows,
        drafted: draft.length,
      });
      return draws.verify(
        tokens.map((_, i) => ({ ...draw, position: position + i, allowed: allowed?.[i] })),
        before,
      );
    });
    await trial;
    const isGoneOnFrom = ({ token, row: chosen }: DrawnToken, i: number): boolean =>
      token === draft[i] && (!chosen || isSameRow(chosen, drafted?.[i]));
    const count = drawn.findIndex((each, i) => !isGoneOnFrom(each, i)) + 1;
    const kept = drawn.slice(0, count);
    void this.#noted([draw], Promise.resolve(kept.slice(-1)));
    draws.takeBack(draw, drawn, count, { ...text, answer: [...text.answer, ...kept.map(({ token }) => token)] });
    return kept.map((each) => ({ ...each, dispatchesPerToken: (each.dispatchesPerToken * drawn.length) / count }));
  }

  /** Settles once the step that holds this text's logits is submitted. Errors: that step's. */
  async heldStepOf(sequence: Sequence): Promise<void> {
    await this.#steps.get(sequence);
  }

  /** Draws from the logits that a step held, which is submitted; submits. */
  async drawHeld(draw: DrawRequest): Promise<DrawnToken> {
    const [drawn] = await this.#noted(
      [draw],
      this.#draw([draw], () => this.parts.draws.recordHeld(draw)),
    );
    return drawn as DrawnToken;
  }

  /** Submits what `record` records, and reads what it draws. */
  #draw(draws: readonly DrawRequest[], record: () => void): Promise<StepResult[]> {
    const { recorder } = this.parts;
    return recorder.inOneGo(() => {
      const before = recorder.dispatches;
      record();
      return this.parts.draws.read(draws, before);
    });
  }

  /** The same results, whose tokens the next step goes on from. */
  #noted(draws: readonly DrawRequest[], results: Promise<StepResult[]>): Promise<StepResult[]> {
    if (!this.#takesRows) return results;
    draws.forEach(({ sequence, allowedLater }, i) => {
      if (!allowedLater) this.#last.set(sequence, handled(results.then((all) => (all[i] as DrawnToken).token)));
    });
    return results;
  }

  /** Layers take in rows of a matrix that is not on the GPU. */
  get #takesRows(): boolean {
    return this.parts.transformer.config.perLayerInputs !== undefined;
  }

  /** The token last drawn of a text; of one that was only prefilled what stands in its place. */
  #lastOf(sequence: Sequence): Promise<number> {
    const { device, transformer } = this.parts;
    const place = { buffer: transformer.activations.tokens, offset: sequence.slot * 4, size: 4 };
    return (
      this.#last.get(sequence) ??
      readOnce(device, 'last token', [place]).then((bytes) => new Uint32Array(bytes)[0] as number)
    );
  }
}

/** WGSL divides to within 2.5 units in the last place. */
const ROW_TOLERANCE = 1e-6;
const isSameRow = (a: RampRow, b: RampRow | undefined): boolean =>
  a.levelLo === b?.levelLo &&
  a.levelHi === b.levelHi &&
  Math.max(Math.abs(a.wLo - b.wLo), Math.abs(a.wHi - b.wHi)) < ROW_TOLERANCE;

/** A forward pass takes the plain form of one mix of adapters. */
function byAdapters(draws: readonly DrawRequest[]): DrawRequest[][] {
  const groups = new Map<string, DrawRequest[]>();
  for (const draw of draws) {
    const { loras, key: mixKey } = draw.sequence.adapters;
    const key = loras.length > 0 ? mixKey : '';
    groups.set(key, [...(groups.get(key) ?? []), draw]);
  }
  return [...groups.values()];
}
