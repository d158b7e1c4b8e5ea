import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from './device.ts';
import type { Recorder } from './recorder.ts';

/** A ring of mappable buffers: results come back while the next step already runs. */
export class Readback {
  readonly #ring: GPUBuffer[];
  #next = 0;

  /** `size`: bytes of one result; `depth`: results that may be under way at once. */
  constructor(
    private readonly device: Device,
    label: string,
    size: number,
    depth: number,
  ) {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.#ring = Array.from({ length: depth }, () => device.buffers.create(label, 'staging', size, usage));
  }

  /** Submits what `recorder` holds and a copy of `size` bytes of `source`; resolves with those bytes. */
  async submit(recorder: Recorder, source: GPUBuffer, offset: number, size: number): Promise<ArrayBuffer> {
    const buffer = this.#ring[this.#next % this.#ring.length] as GPUBuffer;
    this.#next++;
    recorder.copy(source, offset, buffer, 0, size);
    recorder.submit();
    await unlessLost(this.device, buffer.mapAsync(GPUMapMode.READ, 0, size));
    const bytes = buffer.getMappedRange(0, size).slice(0);
    buffer.unmap();
    return bytes;
  }
}

/** Waits for work of the GPU. Errors: `device_lost`. */
export async function unlessLost(device: Device, work: Promise<unknown>): Promise<void> {
  try {
    await device.wait(work);
  } catch (cause) {
    throw new ChunkwiseError('device_lost', { reason: device.lost() ?? String(cause) }, { cause });
  }
}
