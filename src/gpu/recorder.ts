import type { Device } from './device.ts';
import type { Groups } from './kernel.ts';
import type { Operation } from './operation.ts';
import { type Params, ParamSlots, SLOT_BYTES, slotsBytes } from './param-slots.ts';

export type { Params } from './param-slots.ts';

/** What layers record their dispatches with. */
export interface Dispatcher {
  /** Dispatches so far. */
  readonly dispatches: number;
  run(operation: Operation, groups: Groups, params?: Params): void;
  /** Records the dispatches of `work`, which are the same each time it is called under this `key` while no buffer comes or goes. */
  again(key: string, work: () => void): void;
}

/** GPU bytes of a recorder. */
export const recorderBytes = slotsBytes;

/** A dispatch as it was recorded; `offset`: of its parameters. */
interface Dispatch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  offset: number;
  x: number;
  y: number;
  z: number;
}

/** Lists of dispatches that are kept: of few numbers of streams, with and without adapters. */
const MOST_LISTS = 16;

/**
 * Records submissions: dispatches in one compute pass as long as no copy comes between. Whatever is recorded is
 * submitted or dropped before the call of `inOneGo` it is recorded in returns, so no await, no other request and no
 * buffer's end comes between. Outside of one each dispatch, and each copy, is a submission of its own.
 */
export class Recorder implements Dispatcher {
  readonly #slots: ParamSlots;
  readonly #paramsGroup: GPUBindGroup;
  /** What `again` recorded, while the buffers are of `#generation`. */
  readonly #lists = new Map<string, readonly Dispatch[]>();
  #generation = 0;
  /** The list that is being made. */
  #list: Dispatch[] | undefined;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** What the pass has set. */
  #pipeline: GPUComputePipeline | undefined;
  #bindGroup: GPUBindGroup | undefined;
  #offset = -1;
  /** Calls of `inOneGo` within each other. */
  #depth = 0;
  /** Of the outermost call: why nothing of it is to be submitted. */
  #failure: { error: unknown } | undefined;
  /** Dispatches since this recorder was made. */
  dispatches = 0;
  /** Most dispatches of a submission: what is recorded in one go goes off in parts of so many, in order. What is dropped is what has not gone off. */
  mostDispatches = Infinity;
  /** Since the last submission. */
  #recorded = 0;

  constructor(private readonly device: Device) {
    const { UNIFORM, COPY_DST } = GPUBufferUsage;
    const buffer = device.buffers.create('params', 'staging', slotsBytes, UNIFORM | COPY_DST);
    this.#slots = new ParamSlots(device.gpuDevice.queue, buffer);
    this.#paramsGroup = device.gpuDevice.createBindGroup({
      layout: device.pipelines.paramsLayout,
      entries: [{ binding: 0, resource: { buffer, size: SLOT_BYTES } }],
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
  run({ pipeline, bindGroup }: Operation, [x, y = 1, z = 1]: Groups, params: Params = {}): void {
    const dispatch = {
      pipeline: pipeline.gpuPipeline,
      bindGroup,
      offset: this.#slots.offset(pipeline.fields, params),
      x,
      y,
      z,
    };
    this.#list?.push(dispatch);
    this.#dispatch(dispatch);
    if (this.#depth === 0) this.submit();
  }

  /** `work` dispatches, and copies nothing. */
  again(key: string, work: () => void): void {
    const { generation } = this.device.buffers;
    if (generation !== this.#generation) this.#lists.clear();
    this.#generation = generation;
    const known = this.#lists.get(key);
    this.inOneGo(() => {
      if (known) for (const dispatch of known) this.#dispatch(dispatch);
      else this.#keep(key, work);
    });
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
    this.#send(this.#encoder);
    this.#forget();
  }

  #send(encoder: GPUCommandEncoder): void {
    this.#slots.write();
    this.device.gpuDevice.queue.submit([encoder.finish()]);
    this.#encoder = undefined;
    this.#recorded = 0;
  }

  #forget(): void {
    this.#pass = undefined;
    this.#encoder = undefined;
    this.#recorded = 0;
    this.device.buffers.isRecordedFor = false;
    if (this.#slots.makeRoom()) this.#lists.clear();
  }

  #open(): GPUCommandEncoder {
    this.device.buffers.isRecordedFor = true;
    return (this.#encoder ??= this.device.gpuDevice.createCommandEncoder());
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  #keep(key: string, work: () => void): void {
    const list: Dispatch[] = [];
    this.#list = list;
    try {
      work();
    } finally {
      this.#list = undefined;
    }
    if (this.#lists.size === MOST_LISTS) this.#lists.clear();
    this.#lists.set(key, list);
  }

  #dispatch({ pipeline, bindGroup, offset, x, y, z }: Dispatch): void {
    const pass = (this.#pass ??= this.#beginPass());
    if (pipeline !== this.#pipeline) pass.setPipeline((this.#pipeline = pipeline));
    if (bindGroup !== this.#bindGroup) pass.setBindGroup(0, (this.#bindGroup = bindGroup));
    if (offset !== this.#offset) pass.setBindGroup(1, this.#paramsGroup, [(this.#offset = offset)]);
    pass.dispatchWorkgroups(x, y, z);
    this.dispatches++;
    if (++this.#recorded < this.mostDispatches || !this.#encoder) return;
    // Parameters stay where they are: a list may be in the making.
    this.#endPass();
    this.#send(this.#encoder);
  }

  #beginPass(): GPUComputePassEncoder {
    this.#pipeline = undefined;
    this.#bindGroup = undefined;
    this.#offset = -1;
    return this.#open().beginComputePass();
  }
}
