import type { Device } from './device.ts';
import type { Operation } from './operation.ts';

/** Values of a kernel's Params; a field left out is an error. */
export type Params = Readonly<Record<string, number>>;

/** Workgroups in x, y and z. */
export type Groups = readonly [number, number?, number?];

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
 * Records one submission: dispatches in one compute pass as long as no copy comes between. Parameters of equal value
 * share a slot of one uniform buffer, so a step writes few of them, and all with one writeBuffer.
 */
export class Recorder implements Dispatcher {
  readonly #uniforms: GPUBuffer;
  readonly #paramsGroup: GPUBindGroup;
  readonly #slots = new ArrayBuffer(recorderBytes);
  readonly #slotOf = new Map<string, number>();
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
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

  /** Dispatches `operation` over `groups` workgroups. */
  run({ pipeline, bindGroup }: Operation, groups: Groups, params: Params = {}): void {
    const offset = this.#place(pipeline.kernel.params, params);
    this.#pass ??= this.#open().beginComputePass();
    this.#pass.setPipeline(pipeline.gpuPipeline);
    this.#pass.setBindGroup(0, bindGroup);
    this.#pass.setBindGroup(1, this.#paramsGroup, [offset]);
    this.#pass.dispatchWorkgroups(...(groups as [number, number, number]));
    this.dispatches++;
  }

  /** Copies `size` bytes between buffers, after what was recorded before. */
  copy(source: GPUBuffer, sourceOffset: number, target: GPUBuffer, targetOffset: number, size: number): void {
    this.#endPass();
    this.#open().copyBufferToBuffer(source, sourceOffset, target, targetOffset, size);
  }

  submit(): void {
    this.#endPass();
    if (!this.#encoder) return;
    const { queue } = this.device.gpuDevice;
    queue.writeBuffer(this.#uniforms, 0, this.#slots, 0, Math.max(1, this.#slotOf.size) * SLOT_BYTES);
    queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#slotOf.clear();
  }

  #open(): GPUCommandEncoder {
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
