import type { MemoryCategory, MemoryReport } from '../config/memory-report.ts';

/** Every GPU buffer is created and destroyed here, so that what is reported is what lives. */
export class Buffers {
  readonly #live = new Map<GPUBuffer, MemoryCategory>();
  #peak: MemoryReport | undefined;
  /** Grows as buffers that kernels may bind come and go. */
  generation = 0;
  /** What a recorder holds and has not submitted may use any of them. */
  isRecordedFor = false;

  constructor(private readonly gpuDevice: GPUDevice) {}

  /** `size` in bytes, rounded up to a multiple of 4. */
  create(label: string, category: MemoryCategory, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = this.gpuDevice.createBuffer({ label, size: Math.max(4, Math.ceil(size / 4) * 4), usage });
    this.#live.set(buffer, category);
    this.#count(buffer);
    if (this.#peak) this.#raisePeak();
    return buffer;
  }

  /** A buffer kernels read and write, and copies fill and drain. */
  storage(label: string, category: MemoryCategory, size: number): GPUBuffer {
    const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
    return this.create(label, category, size, STORAGE | COPY_DST | COPY_SRC);
  }

  destroy(buffer: GPUBuffer): void {
    this.expectNoneRecorded(buffer.label);
    buffer.destroy();
    this.#live.delete(buffer);
    this.#count(buffer);
  }

  /**
   * Before a buffer goes, or what lies in it moves: what is recorded for it would be refused, or come too late. Throws an
   * Error.
   */
  expectNoneRecorded(label: string): void {
    if (this.isRecordedFor) throw new Error(`${label}: work is recorded for it that is not submitted`);
  }

  destroyAll(): void {
    this.isRecordedFor = false;
    for (const buffer of [...this.#live.keys()]) this.destroy(buffer);
  }

  /** From here on until it is called again, `peak` is what lived when most did. */
  watchPeak(): void {
    this.#peak = this.report();
  }

  get peak(): MemoryReport {
    return this.#peak ?? this.report();
  }

  #count({ usage }: GPUBuffer): void {
    if (usage & GPUBufferUsage.STORAGE) this.generation++;
  }

  #raisePeak(): void {
    const now = this.report();
    if (this.#peak && now.total > this.#peak.total) this.#peak = now;
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
