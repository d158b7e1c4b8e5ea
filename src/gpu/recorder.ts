import type { Device } from './device.ts';
import type { Groups } from './kernel.ts';
import type { Operation } from './operation.ts';

/** Values of a kernel's Params; a field left out is an error. */
export type Params = Readonly<Record<string, number>>;

/** What layers record their dispatches with. */
export interface Dispatcher {
  /** Dispatches so far. */
  readonly dispatches: number;
  run(operation: Operation, groups: Groups, params?: Params): void;
}

/** Dynamic offsets are multiples of minUniformBufferOffsetAlignment, which is at most 256 everywhere. */
const SLOT_BYTES = 256;
const NUM_SLOTS = 1024;

/** GPU bytes of a recorder. */
export const recorderBytes = SLOT_BYTES * NUM_SLOTS;

/**
 * Records submissions: dispatches in one compute pass as long as no copy comes between. Parameters of equal value
 * share a slot of one uniform buffer, so a step writes few of them, and all with one writeBuffer. Whatever is recorded is
 * submitted or dropped before the call of `inOneGo` it is recorded in returns, so no await, no other request and no
 * buffer's end comes between. Outside of one each dispatch, and each copy, is a submission of its own.
 */
export class Recorder implements Dispatcher {
  readonly #uniforms: GPUBuffer;
  readonly #paramsGroup: GPUBindGroup;
  readonly #slots = new ArrayBuffer(recorderBytes);
  readonly #slotOf = new Map<string, number>();
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** Calls of `inOneGo` within each other. */
  #depth = 0;
  /** Of the outermost call: why nothing of it is to be submitted. */
  #failure: { error: unknown } | undefined;
  /** Dispatches since this recorder was made. */
  dispatches = 0;

  constructor(private readonly device: Device) {
    const { UNIFORM, COPY_DST } = GPUBufferUsage;
    this.#uniforms = device.buffers.create('params', 'staging', this.#slots.byteLength, UNIFORM | COPY_DST);
    this.#paramsGroup = device.gpuDevice.createBindGroup({
      layout: device.pipelines.paramsLayout,
      entries: [{ binding: 0, resource: { buffer: this.#uniforms, size: SLOT_BYTES } }],
    });
  }

  /**
   * Runs `work`, which records, and submits what it has not submitted itself. When it throws, or a call of this within it
   * did, all of that is dropped, and this throws. What `work` does after an await is none of it.
   */
  inOneGo<T>(work: () => T): T {
    this.#depth++;
    try {
      const result = work();
      if (this.#depth === 1 || this.#failure) this.submit();
      return result;
    } catch (error) {
      this.#failure ??= { error };
      this.#forget();
      throw error;
    } finally {
      if (--this.#depth === 0) this.#failure = undefined;
    }
  }

  /** Dispatches `operation` over `groups` workgroups. */
  run({ pipeline, bindGroup }: Operation, groups: Groups, params: Params = {}): void {
    const offset = this.#place(pipeline.kernel.params, params);
    this.#pass ??= this.#open().beginComputePass();
    this.#pass.setPipeline(pipeline.gpuPipeline);
    this.#pass.setBindGroup(0, bindGroup);
    this.#pass.setBindGroup(1, this.#paramsGroup, [offset]);
    this.#pass.dispatchWorkgroups(...(groups as [number, number, number]));
    this.dispatches++;
    if (this.#depth === 0) this.submit();
  }

  /** Copies `size` bytes between buffers, after what was recorded before. */
  copy(source: GPUBuffer, sourceOffset: number, target: GPUBuffer, targetOffset: number, size: number): void {
    this.#endPass();
    this.#open().copyBufferToBuffer(source, sourceOffset, target, targetOffset, size);
    if (this.#depth === 0) this.submit();
  }

  /** What is recorded so far, where more is to follow within the call of `inOneGo`. */
  submit(): void {
    if (this.#failure) throw this.#failure.error;
    this.#endPass();
    if (!this.#encoder) return;
    const { queue } = this.device.gpuDevice;
    queue.writeBuffer(this.#uniforms, 0, this.#slots, 0, Math.max(1, this.#slotOf.size) * SLOT_BYTES);
    queue.submit([this.#encoder.finish()]);
    this.#forget();
  }

  #forget(): void {
    this.#pass = undefined;
    this.#encoder = undefined;
    this.#slotOf.clear();
    this.device.buffers.isRecordedFor = false;
  }

  #open(): GPUCommandEncoder {
    this.device.buffers.isRecordedFor = true;
    return (this.#encoder ??= this.device.gpuDevice.createCommandEncoder());
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  #place(layout: Readonly<Record<string, 'u32' | 'f32'>>, params: Params): number {
    const fields = Object.entries(layout).map(([name, type]) => {
      const value = params[name];
      if (value === undefined) throw new Error(`params: no ${name}`);
      return [type, value] as const;
    });
    const key = fields.join();
    const known = this.#slotOf.get(key);
    if (known !== undefined) return known;
    const offset = this.#slotOf.size * SLOT_BYTES;
    if (offset >= this.#slots.byteLength) throw new Error('params: more distinct values than slots');
    const view = new DataView(this.#slots, offset, SLOT_BYTES);
    fields.forEach(([type, value], index) => {
      if (type === 'u32') view.setUint32(index * 4, value, true);
      else view.setFloat32(index * 4, value, true);
    });
    this.#slotOf.set(key, offset);
    return offset;
  }
}
