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
    try {
      await unlessLost(this.device, buffer.mapAsync(GPUMapMode.READ, 0, size));
      const bytes = buffer.getMappedRange(0, size).slice(0);
      buffer.unmap();
      return bytes;
    } finally {
      this.#free.push(buffer); // also on a lost device: others who read there are told of the loss, and of nothing else
    }
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
export async function finished(device: Device): Promise<void> {
  await unlessLost(device, device.gpuDevice.queue.onSubmittedWorkDone());
  throwIfLost(device); // its work may count as done
}

/** Errors: `device_lost`. */
export function throwIfLost(device: Device, cause?: unknown): void {
  const reason = device.lost();
  if (reason !== undefined) throw new ChunkwiseError('device_lost', { reason }, { cause });
}

/** Waits for work of the GPU. Errors: `device_lost`. */
export async function unlessLost(device: Device, work: Promise<unknown>): Promise<void> {
  try {
    await device.wait(work);
  } catch (cause) {
    throw new ChunkwiseError('device_lost', { reason: device.lost() ?? String(cause) }, { cause });
  }
}
