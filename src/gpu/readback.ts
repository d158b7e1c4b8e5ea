import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from './device.ts';
import type { BufferRange } from './operation.ts';
import type { Recorder } from './recorder.ts';

/** Mappable buffers, used in turn: results come back while the next steps already run. */
export class Readback {
  readonly #free: GPUBuffer[];

  /** `size`: bytes of one result; `depth`: results that may be under way at once. */
  constructor(
    private readonly device: Device,
    label: string,
    size: number,
    depth: number,
  ) {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    this.#free = Array.from({ length: depth }, () => device.buffers.create(label, 'staging', size, usage));
  }

  /** Submits what `recorder` holds and a copy of `parts`; resolves with their bytes, one behind the other. */
  async submit(recorder: Recorder, parts: readonly BufferRange[]): Promise<ArrayBuffer> {
    const buffer = this.#free.shift();
    if (!buffer) throw new Error('readback: too many results under way');
    let size = 0;
    for (const part of parts) {
      recorder.copy(part.buffer, part.offset, buffer, size, part.size);
      size += part.size;
    }
    recorder.submit();
    await unlessLost(this.device, buffer.mapAsync(GPUMapMode.READ, 0, size));
    const bytes = buffer.getMappedRange(0, size).slice(0);
    buffer.unmap();
    this.#free.push(buffer);
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
