import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from './device.ts';
import type { BufferRange } from './operation.ts';
import type { Recorder } from './recorder.ts';

/** Mappable buffers, used in turn: results come back while the next steps already run. */
export class Readback {
  readonly #free: GPUBuffer[];

  /** `size`: bytes of one result; `depth`: results whose buffers are kept. More at once have some that live no longer. */
  constructor(
    private readonly device: Device,
    private readonly label: string,
    private readonly size: number,
    private readonly depth: number,
  ) {
    this.#free = Array.from({ length: depth }, () => this.#create());
  }

  /**
   * Submits what `recorder` holds and a copy of `parts`; resolves with their bytes, one behind the other. Errors:
   * `device_lost`.
   */
  async submit(recorder: Recorder, parts: readonly BufferRange[]): Promise<ArrayBuffer> {
    const buffer = this.#free.shift() ?? this.#create();
    try {
      let size = 0;
      recorder.inOneGo(() => {
        for (const part of parts) {
          recorder.copy(part.buffer, part.offset, buffer, size, part.size);
          size += part.size;
        }
        recorder.submit();
      });
      await unlessLost(this.device, buffer.mapAsync(GPUMapMode.READ, 0, size));
      const bytes = buffer.getMappedRange(0, size).slice(0);
      buffer.unmap();
      return bytes;
    } finally {
      this.#giveBack(buffer);
    }
  }

  #create(): GPUBuffer {
    return this.device.buffers.create(
      this.label,
      'staging',
      this.size,
      GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    );
  }

  #giveBack(buffer: GPUBuffer): void {
    if (this.#free.length < this.depth) this.#free.push(buffer);
    else this.device.buffers.destroy(buffer);
  }
}

/**
 * Bytes of `parts`, one behind the other, as what is submitted so far leaves them; by way of a buffer that lives no
 * longer. Errors: `device_lost`.
 */
export async function readOnce(device: Device, label: string, parts: readonly BufferRange[]): Promise<ArrayBuffer> {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const buffer = device.buffers.create(label, 'staging', size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  try {
    const encoder = device.gpuDevice.createCommandEncoder();
    let at = 0;
    for (const part of parts) {
      encoder.copyBufferToBuffer(part.buffer, part.offset, buffer, at, part.size);
      at += part.size;
    }
    device.gpuDevice.queue.submit([encoder.finish()]);
    await unlessLost(device, buffer.mapAsync(GPUMapMode.READ, 0, size));
    return buffer.getMappedRange(0, size).slice(0);
  } finally {
    device.buffers.destroy(buffer);
  }
}

/** Resolves when all that was submitted is done. Errors: `device_lost`. */
export const finished = (device: Device): Promise<void> =>
  unlessLost(device, device.gpuDevice.queue.onSubmittedWorkDone());

/** Errors: `device_lost`. */
export function throwIfLost(device: Device, cause?: unknown): void {
  const reason = device.lost();
  if (reason !== undefined) throw new ChunkwiseError('device_lost', { reason }, { cause });
}

/**
 * Waits for work of the GPU. Errors: `device_lost`, also where the device has refused anything by then: its work may count
 * as done all the same.
 */
export async function unlessLost(device: Device, work: Promise<unknown>): Promise<void> {
  try {
    await device.wait(work);
  } catch (cause) {
    throw new ChunkwiseError('device_lost', { reason: device.lost() ?? String(cause) }, { cause });
  }
  throwIfLost(device);
}
