/** What GPU memory is spent on. */
export type MemoryCategory = 'weights' | 'adapters' | 'kv' | 'activations' | 'staging';

/** Live GPUBuffer bytes by category; `total` is their sum. */
export type MemoryReport = Record<MemoryCategory | 'total', number>;

/** What several devices hold. */
export function addMemory(...reports: readonly MemoryReport[]): MemoryReport {
  const sum: MemoryReport = { weights: 0, adapters: 0, kv: 0, activations: 0, staging: 0, total: 0 };
  for (const report of reports)
    for (const category of Object.keys(sum) as (keyof MemoryReport)[]) sum[category] += report[category];
  return sum;
}

/** Creates and destroys every GPU buffer, so that memory reports count exactly the live ones. */
export class Buffers {
  readonly #live = new Map<GPUBuffer, MemoryCategory>();
  #peak: MemoryReport | undefined;
  /** Increases whenever a storage buffer is created or destroyed. */
  generation = 0;
  /** Whether a recorder holds unsubmitted work, which may use any buffer. */
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

  /** A buffer for kernels and copies in both directions. */
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
   * Called before a buffer is destroyed or its contents move. Throws an Error if unsubmitted work exists, which could use
   * the buffer.
   */
  expectNoneRecorded(label: string): void {
    if (this.isRecordedFor) throw new Error(`${label}: recorded work that may use it is not submitted`);
  }

  destroyAll(): void {
    this.isRecordedFor = false;
    for (const buffer of [...this.#live.keys()]) this.destroy(buffer);
  }

  /** Starts to track the peak: `peak` is the largest report since the last call. */
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
