import { FEW_TOKENS } from '../../config/few-tokens.ts';
import { MAX_STREAMS } from '../../config/max-streams.ts';
import type { Device } from '../../gpu/device.ts';
import { Readback } from '../../gpu/readback.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Transformer } from '../../models/transformer.ts';
import type { DrawnToken, DrawRequest, StepResult } from './draw-request.ts';
import { MOST_AHEAD } from '../look-ahead.ts';
import { LEVEL_BYTES, LEVEL_ROWS_BYTES, LevelControl } from './level-control.ts';
import { RawLogits } from './raw-logits.ts';
import { type CountedText, Sampler } from './sampler.ts';

/** Results under way at once: of each stream one, and those of steps ahead of what is read. */
const RESULTS_AHEAD = MAX_STREAMS + 1 + MOST_AHEAD;
/** Of a value a stream. */
const SLOT_BYTES = MAX_STREAMS * 4;

/** Of a token that is drawn behind a draft, its entropy, and its stream's levels then. */
const DRAWN_BYTES = 8 + LEVEL_BYTES;

/** Draws tokens from a batch's logits on the GPU, with the levels they take of the adapters. */
export class DrawRecorder {
  readonly sampler: Sampler;
  readonly levels: LevelControl;
  readonly #rawLogits: RawLogits;
  readonly #readback: Readback;
  /** What is drawn behind each token of a draft, and what it is read back with; made when one is first verified. */
  #verified: { drawn: GPUBuffer; readback: Readback } | undefined;

  constructor(
    private readonly device: Device,
    private readonly transformer: Transformer,
    private readonly recorder: Recorder,
  ) {
    const { activations, arena, config } = transformer;
    this.sampler = new Sampler(device, config.vocabSize, activations.logits, activations.tokens);
    this.levels = new LevelControl(device, arena, this.sampler.entropy);
    this.#rawLogits = new RawLogits(device, activations.logits, config.vocabSize);
    this.#readback = new Readback(device, 'drawn', 2 * SLOT_BYTES + LEVEL_ROWS_BYTES, RESULTS_AHEAD);
  }

  /** Records draws after consecutive tokens of the recorded batch from `start` on. */
  record(start: number, draws: readonly DrawRequest[]): void {
    this.transformer.head(this.recorder, start, draws.length);
    draws.forEach((draw, row) => {
      if (draw.wantsLogits || draw.allowedLater) this.#rawLogits.copy(this.recorder, row, draw.sequence.slot);
      if (!draw.allowedLater) this.#draw(draw, row);
    });
  }

  /**
   * Records draws of one stream after each token of the recorded batch, as if each went on from the one before; submits.
   * Where the batch's next token is another than was drawn, or takes another row, the draws behind it mean nothing.
   */
  async verify(draws: readonly DrawRequest[], dispatchesBefore: number): Promise<DrawnToken[]> {
    const { device, recorder, transformer, sampler, levels } = this;
    this.#verified ??= {
      drawn: device.buffers.storage('verified', 'activations', FEW_TOKENS * DRAWN_BYTES),
      readback: new Readback(device, 'verified', FEW_TOKENS * DRAWN_BYTES, 1),
    };
    const { drawn, readback } = this.#verified;
    transformer.head(recorder, 0, draws.length);
    draws.forEach((draw, row) => {
      this.#draw(draw, row);
      const { slot } = draw.sequence;
      const wanted = [
        { buffer: transformer.activations.tokens, offset: slot * 4, size: 4 },
        { buffer: sampler.entropy, offset: slot * 4, size: 4 },
        ...(draw.level ? levels.of(slot) : []),
      ];
      let at = row * DRAWN_BYTES;
      for (const { buffer, offset, size } of wanted) {
        recorder.copy(buffer, offset, drawn, at, size);
        at += size;
      }
    });
    const dispatchesPerToken = (recorder.dispatches - dispatchesBefore) / draws.length;
    const { dispatchesPerLayer } = transformer;
    const bytes = await readback.submit(recorder, [{ buffer: drawn, offset: 0, size: draws.length * DRAWN_BYTES }]);
    return draws.map(({ wantsEntropy, level }, row) => {
      const own = bytes.slice(row * DRAWN_BYTES, (row + 1) * DRAWN_BYTES);
      const [token = 0] = new Uint32Array(own);
      const entropy = wantsEntropy ? new Float32Array(own)[1] : undefined;
      return {
        token,
        entropy,
        ...(level && LevelControl.stateOf(own.slice(8))),
        dispatchesPerToken,
        dispatchesPerLayer,
      };
    });
  }

  /** Of what `verify` drew for a stream only the first `count` tokens were drawn: it is as it was behind them. `text`: with them. */
  takeBack(
    { sequence: { slot }, sampling }: DrawRequest,
    drawn: readonly DrawnToken[],
    count: number,
    text: CountedText,
  ): void {
    const last = drawn[count - 1];
    if (!last || count === drawn.length) return;
    this.device.gpuDevice.queue.writeBuffer(
      this.transformer.activations.tokens,
      slot * 4,
      new Uint32Array([last.token]),
    );
    const rejected = drawn.slice(count).map(({ token }) => token);
    this.sampler.recount(slot, sampling, rejected, text);
    if (last.levelState) this.levels.restore(slot, last.levelState);
  }

  /** Records the draw after a step that was recorded with its `allowedLater`, once it is known. */
  recordHeld(draw: DrawRequest): void {
    this.#rawLogits.copyBack(this.recorder, draw.sequence.slot, 0);
    this.#draw(draw, 0);
  }

  #draw({ sequence: { slot }, level, ...input }: DrawRequest, row: number): void {
    this.sampler.record(this.recorder, row, { ...input, slot });
    if (level) this.levels.record(this.recorder, slot, level);
  }

  /** Submits. `dispatchesBefore`: that the recorder had counted when the batch began. */
  async read(draws: readonly DrawRequest[], dispatchesBefore: number): Promise<StepResult[]> {
    const { recorder, sampler, transformer } = this;
    const dispatchesPerToken = (recorder.dispatches - dispatchesBefore) / draws.length;
    const { dispatchesPerLayer } = transformer;
    if (draws.every(({ allowedLater }) => allowedLater !== undefined)) {
      recorder.submit();
      return draws.map(() => ({ dispatchesPerToken, dispatchesPerLayer }));
    }
    const submitted = this.#readback.submit(recorder, [
      { buffer: transformer.activations.tokens, offset: 0, size: SLOT_BYTES },
      { buffer: sampler.entropy, offset: 0, size: SLOT_BYTES },
      ...(draws.some(({ level }) => level) ? [this.levels.rows] : []),
    ]);
    // Of this step, since nothing is submitted between.
    const wanted = draws.map(({ wantsLogits, allowedLater, sequence: { slot } }) =>
      wantsLogits && !allowedLater ? this.#rawLogits.read(slot) : undefined,
    );
    const [bytes, ...logits] = await Promise.all([submitted, ...wanted]);
    const tokens = new Uint32Array(bytes, 0, MAX_STREAMS);
    const entropies = new Float32Array(bytes, SLOT_BYTES, MAX_STREAMS);
    return draws.map(({ sequence: { slot }, wantsEntropy, level }, i) => ({
      token: tokens[slot] as number,
      logits: logits[i],
      entropy: wantsEntropy ? entropies[slot] : undefined,
      row: level && LevelControl.rowOf(bytes, 2 * SLOT_BYTES, slot),
      ...{ dispatchesPerToken, dispatchesPerLayer },
    }));
  }
}
