import type { MemoryCategory, MemoryReport } from '../config/memory-report.ts';

/** Every GPU buffer is created and destroyed here, so that what is reported is what lives. */
export class Buffers {
  readonly #live = new Map<GPUBuffer, MemoryCategory>();

  constructor(private readonly gpuDevice: GPUDevice) {}

  /** `size` in bytes, rounded up to a multiple of 4. */
  create(label: string, category: MemoryCategory, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = this.gpuDevice.createBuffer({ label, size: Math.max(4, Math.ceil(size / 4) * 4), usage });
    this.#live.set(buffer, category);
    return buffer;
  }

  /** A buffer kernels read and write, and copies fill and drain. */
  storage(label: string, category: MemoryCategory, size: number): GPUBuffer {
    const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
    return this.create(label, category, size, STORAGE | COPY_DST | COPY_SRC);
  }

  destroy(buffer: GPUBuffer): void {
    buffer.destroy();
    this.#live.delete(buffer);
  }

  destroyAll(): void {
    for (const buffer of [...this.#live.keys()]) this.destroy(buffer);
  }

  report(): MemoryReport {
    const report: MemoryReport = { weights: 0, adapters: 0, kv: 0, activations: 0, staging: 0, total: 0 };
    for (const [buffer, category] of this.#live) {
      report[category] += buffer.size;
      report.total += buffer.size;
    }
    return report;
  }
}
