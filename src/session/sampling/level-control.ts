import { AdapterArena } from '../../adapters/adapter-arena.ts';
import type { LevelThresholds } from '../../chunking/chunk-plan.ts';
import type { RampRow } from '../../chunking/ramps.ts';
import { MAX_SEQUENCES } from '../../config/limits.ts';
import type { Device } from '../../gpu/device.ts';
import { type BufferRange, createOperation, following, type Operation, type Recorder } from '../../gpu/recorder.ts';
import { MAX_THRESHOLDS, sampleLevelKernel, UNREACHED } from '../../kernels/sampling.ts';

/** How the rank level of decoded tokens follows the entropy of their distributions. */
export interface LevelOptions {
  thresholds: LevelThresholds;
  /** How far complexity must pass a threshold to change the level. */
  hysteresis: number;
  /** Weight of the newest entropy in the smoothed complexity. */
  smoothing: number;
  /** Tokens over which a level changes. */
  rampWidth: number;
}

/** Start of a slot. */
export interface LevelStart {
  level: number;
  complexity: number;
}

const STATE_WORDS = 4;
/** Bytes of a slot's state, and of the row chosen by it. */
export const LEVEL_BYTES = 2 * STATE_WORDS * 4;
/** Bytes of the rows of all slots. */
export const LEVEL_ROWS_BYTES = MAX_SEQUENCES * STATE_WORDS * 4;
/** Longer than any ramp. */
const NO_RAMP = 0xffff;

/**
 * Chooses the rank level of each slot's next token on the GPU, where the next step reads it before the host knows it.
 */
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

  /** Starts to compile its kernel; adapters are loaded. */
  prepare(): void {
    this.#choose();
  }

  /** Before the first sample of a slot. */
  begin(slot: number, { level, complexity }: LevelStart): void {
    const state = new Uint32Array([level, level, NO_RAMP, 0]);
    new Float32Array(state.buffer)[3] = complexity;
    this.device.gpuDevice.queue.writeBuffer(this.#states, slot * STATE_WORDS * 4, state);
  }

  /** Chooses the row of the next token; after the slot's token is sampled. */
  record(recorder: Recorder, slot: number, { thresholds, ...options }: LevelOptions): void {
    const params: Record<string, number> = { slot, ...options };
    for (let i = 0; i < MAX_THRESHOLDS; i++) params[`threshold${i}`] = thresholds[i] ?? UNREACHED;
    const choose = this.#choose();
    recorder.run(choose, choose.groups(), params);
  }

  /** The buffers of a slot's state and row. */
  of(slot: number): BufferRange[] {
    const size = STATE_WORDS * 4;
    return [
      { buffer: this.#states, offset: slot * size, size },
      { buffer: this.arena.buffers.lora, offset: AdapterArena.streamRow(slot), size },
    ];
  }

  /** Writes back what was read from the ranges of `of`. */
  restore(slot: number, levelState: ArrayBuffer): void {
    let at = 0;
    for (const { buffer, offset, size } of this.of(slot)) {
      this.device.gpuDevice.queue.writeBuffer(buffer, offset, levelState, at, size);
      at += size;
    }
  }

  /** The state and the row in bytes that were read from the ranges of `of`. */
  static stateOf(levelState: ArrayBuffer): { levelState: ArrayBuffer; row: RampRow } {
    return { levelState, row: rowIn(new Uint32Array(levelState, STATE_WORDS * 4, STATE_WORDS)) };
  }

  /** The rows of all slots, to be read back. */
  get rows(): BufferRange {
    return { buffer: this.arena.buffers.lora, offset: 0, size: LEVEL_ROWS_BYTES };
  }

  /** The row of a slot in `bytes`, if the bytes of `rows` start at `offset`. */
  static rowOf(bytes: ArrayBuffer, offset: number, slot: number): RampRow {
    return rowIn(new Uint32Array(bytes, offset + AdapterArena.streamRow(slot), STATE_WORDS));
  }
}

function rowIn(words: Uint32Array): RampRow {
  const [wLo = 0, wHi = 0] = new Float32Array(words.slice(2).buffer);
  const [levels = 0] = words;
  return { levelLo: (levels >>> 16) & 255, levelHi: levels >>> 24, wLo, wHi };
}
