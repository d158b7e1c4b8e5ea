import type { AdapterArena } from '../adapters/arena/adapter-arena.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import type { Device } from '../gpu/device.ts';
import { Readback } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Sequence } from './sequence.ts';

/** Bytes of a stream's counters: components read, and linears. */
const BYTES = 8;

/** Mean ranks as the GPU counts them: the components it read of each token's adapters. */
export class RankCounter {
  readonly #readback: Readback;
  /** Tokens computed since the last reset, by stream. */
  readonly #tokens = new Array<number>(MAX_STREAMS).fill(0);

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
    private readonly arena: AdapterArena,
  ) {
    this.#readback = new Readback(device, 'lora counters', BYTES, MAX_STREAMS);
  }

  /** Before the first token of a request. */
  reset({ slot }: Sequence): void {
    this.#tokens[slot] = 0;
    this.device.gpuDevice.queue.writeBuffer(this.arena.counters, slot * BYTES, new Uint32Array(2));
  }

  /** A token is computed. */
  count({ slot }: Sequence): void {
    this.#tokens[slot]!++;
  }

  /** Mean over the tokens since the reset, and the linears their adapters change; 0 without adapters. Submits. */
  async read({ slot, adapters }: Sequence): Promise<number> {
    const linears = adapters.adapters.reduce((sum, { adapter }) => sum + adapter.modules.length, 0);
    const products = this.#tokens[slot]! * linears;
    if (products === 0) return 0;
    const bytes = await this.#readback.submit(this.recorder, [
      { buffer: this.arena.counters, offset: slot * BYTES, size: BYTES },
    ]);
    return new Uint32Array(bytes)[0]! / products;
  }
}
