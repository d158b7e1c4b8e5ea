import { AdapterArena } from '../../adapters/arena/adapter-arena.ts';
import type { LevelThresholds } from '../../chunking/levels.ts';
import type { RampRow } from '../../chunking/ramps.ts';
import { MAX_STREAMS } from '../../config/max-streams.ts';
import type { Device } from '../../gpu/device.ts';
import { type BufferRange, createOperation, following, type Operation } from '../../gpu/operation.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { MAX_THRESHOLDS, sampleLevelKernel, UNREACHED } from '../../kernels/sample-level.ts';

/** How the level of decoded tokens follows the entropy they were drawn with. */
export interface LevelOptions {
  thresholds: LevelThresholds;
  /** How far past a threshold complexity must be to change the level. */
  hysteresis: number;
  /** Share of the newest entropy in the complexity; the rest is what it was. */
  smoothing: number;
  /** Tokens from one level to the next. */
  rampWidth: number;
}

/** Where a stream starts. */
export interface LevelStart {
  level: number;
  complexity: number;
}

const STATE_WORDS = 4;
/** Bytes of a stream's state, and behind it the row that was chosen by it. */
export const LEVEL_BYTES = 2 * STATE_WORDS * 4;
/** Bytes of all streams' rows. */
export const LEVEL_ROWS_BYTES = MAX_STREAMS * STATE_WORDS * 4;
/** Longer ago than any ramp. */
const NO_RAMP = 0xffff;

/** Chooses the level of each stream's next token on the GPU, where the next step reads it before the host knows it. */
export class LevelControl {
  readonly #states: GPUBuffer;
  /** Bound to the arena's buffer, which changes as adapters come and go. */
  readonly #choose: () => Operation<void>;

  constructor(
    private readonly device: Device,
    private readonly arena: AdapterArena,
    entropies: GPUBuffer,
  ) {
    const level_states = device.buffers.storage('level states', 'activations', LEVEL_ROWS_BYTES);
    this.#states = level_states;
    const lora = (): GPUBuffer => arena.buffers.lora;
    this.#choose = following([lora], () =>
      createOperation(device, sampleLevelKernel(), { entropies, level_states, lora: lora() }),
    );
  }

  /** Before a stream's first draw. */
  begin(slot: number, { level, complexity }: LevelStart): void {
    const state = new Uint32Array([level, level, NO_RAMP, 0]);
    new Float32Array(state.buffer)[3] = complexity;
    this.device.gpuDevice.queue.writeBuffer(this.#states, slot * STATE_WORDS * 4, state);
  }

  /** After the stream's token was drawn: chooses the row of the next one. */
  record(recorder: Recorder, slot: number, { thresholds, ...options }: LevelOptions): void {
    const params: Record<string, number> = { slot, ...options };
    for (let i = 0; i < MAX_THRESHOLDS; i++) params[`threshold${i}`] = thresholds[i] ?? UNREACHED;
    const choose = this.#choose();
    recorder.run(choose, choose.groups(), params);
  }

  /** A stream's state, and its row. */
  of(slot: number): BufferRange[] {
    const size = STATE_WORDS * 4;
    return [
      { buffer: this.#states, offset: slot * size, size },
      { buffer: this.arena.buffers.lora, offset: AdapterArena.streamRow(slot), size },
    ];
  }

  /** A stream is as it was when this was read. */
  restore(slot: number, levelState: ArrayBuffer): void {
    let at = 0;
    for (const { buffer, offset, size } of this.of(slot)) {
      this.device.gpuDevice.queue.writeBuffer(buffer, offset, levelState, at, size);
      at += size;
    }
  }

  /** Of what was read of `of`: that, and the row. */
  static stateOf(levelState: ArrayBuffer): { levelState: ArrayBuffer; row: RampRow } {
    return { levelState, row: rowIn(new Uint32Array(levelState, STATE_WORDS * 4, STATE_WORDS)) };
  }

  /** Every stream's row, to be read back. */
  get rows(): BufferRange {
    return { buffer: this.arena.buffers.lora, offset: 0, size: LEVEL_ROWS_BYTES };
  }

  /** A stream's row in `bytes`, where what was read back of `rows` begins at `offset`. */
  static rowOf(bytes: ArrayBuffer, offset: number, slot: number): RampRow {
    return rowIn(new Uint32Array(bytes, offset + AdapterArena.streamRow(slot), STATE_WORDS));
  }
}

function rowIn(words: Uint32Array): RampRow {
  const [wLo = 0, wHi = 0] = new Float32Array(words.slice(2).buffer);
  const [levels = 0] = words;
  return { levelLo: (levels >>> 16) & 255, levelHi: levels >>> 24, wLo, wHi };
}
