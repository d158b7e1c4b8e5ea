import { type Device, unlessLost } from './device.ts';
import type { Groups, Kernel, ParamFields, Params } from './kernel.ts';
import type { Pipeline } from './pipelines.ts';

/** Dynamic offsets are multiples of minUniformBufferOffsetAlignment, which is at most 256 everywhere. */
export const SLOT_BYTES = 256;
const SLOT_WORDS = SLOT_BYTES / 4;
const NUM_SLOTS = 2048;
/** With fewer than half of the slots free, all are cleared between two submissions. */
const ENOUGH = NUM_SLOTS / 2;
/** Entries of the hash table: four per slot, a power of two. */
const PLACES = 4 * NUM_SLOTS;

/** GPU bytes of a recorder: its slots of parameters, unless they are immediates. */
export const recorderBytes = ({ pipelines }: Pick<Device, 'pipelines'>): number =>
  pipelines.paramsLayout ? SLOT_BYTES * NUM_SLOTS : 0;

/**
 * Kernel parameters in slots, which a uniform buffer repeats unless parameters are immediates. Equal parameters share a
 * slot, across submissions too.
 */
class ParamSlots {
  /** One slot more than the buffer has: values are staged there until a lookup finds their slot. */
  readonly #words = new Uint32Array((NUM_SLOTS + 1) * SLOT_WORDS);
  readonly #floats = new Float32Array(this.#words.buffer);
  /** Number of fields of each slot. */
  readonly #lengths = new Uint8Array(NUM_SLOTS);
  /** Hash table: slot index + 1; 0 is empty. */
  readonly #places = new Uint16Array(PLACES);
  #count = 0;
  /** Slots already uploaded. */
  #written = 0;

  /** Byte offset of the slot with these values. Throws an Error if a value is missing or no slot is left. */
  offset(fields: ParamFields, params: Params): number {
    const start = this.#count * SLOT_WORDS;
    let hash = 0;
    for (let i = 0; i < fields.length; i++) {
      const [name, type] = fields[i] as ParamFields[number];
      const value = params[name];
      if (value === undefined) throw new Error(`params: no ${name}`);
      if (type === 'u32') this.#words[start + i] = value;
      else this.#floats[start + i] = value;
      hash = Math.imul(hash ^ (this.#words[start + i] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    for (let place = hash & (PLACES - 1); ; place = (place + 1) & (PLACES - 1)) {
      const slot = (this.#places[place] as number) - 1;
      if (slot < 0) return this.#take(place, fields.length);
      if (this.#holds(slot, start, fields.length)) return slot * SLOT_BYTES;
    }
  }

  /** Sets the values of the slot at byte `offset` as the pass's immediates. */
  setImmediates(pass: GPUComputePassEncoder, offset: number): void {
    const length = this.#lengths[offset / SLOT_BYTES] as number;
    if (length > 0) pass.setImmediates(0, this.#words, offset / 4, length);
  }

  /** Uploads new slots to `buffer`; called before each submission. */
  write(queue: GPUQueue, buffer: GPUBuffer): void {
    if (this.#written === this.#count) return;
    const start = this.#written * SLOT_BYTES;
    queue.writeBuffer(buffer, start, this.#words.buffer, start, this.#count * SLOT_BYTES - start);
    this.#written = this.#count;
  }

  /** Makes room for the next submission's parameters; nothing may be recorded. True if earlier offsets became invalid. */
  makeRoom(): boolean {
    if (NUM_SLOTS - this.#count >= ENOUGH) return false;
    this.#places.fill(0);
    this.#count = 0;
    this.#written = 0;
    return true;
  }

  #take(place: number, length: number): number {
    if (this.#count === NUM_SLOTS) throw new Error('params: more distinct values than slots');
    const slot = this.#count++;
    this.#places[place] = slot + 1;
    this.#lengths[slot] = length;
    return slot * SLOT_BYTES;
  }

  #holds(slot: number, start: number, length: number): boolean {
    if (this.#lengths[slot] !== length) return false;
    const at = slot * SLOT_WORDS;
    for (let i = 0; i < length; i++) if (this.#words[at + i] !== this.#words[start + i]) return false;
    return true;
  }
}

/** A range of a buffer in bytes. A range bound to a kernel starts at a multiple of 256. */
export interface BufferRange {
  buffer: GPUBuffer;
  offset: number;
  size: number;
}

/** A buffer range, or a whole buffer. */
export type Bound = GPUBuffer | BufferRange;

/** A kernel with its bound buffers, created once and dispatched in every step. */
export interface Operation<Size = unknown> {
  readonly pipeline: Pipeline;
  readonly bindGroup: GPUBindGroup;
  /** Bytes of the weights that it reads. */
  readonly weightBytes: number;
  /** Workgroups for work of this size. */
  groups(size: Size): Groups;
}

export function createOperation<Size>(
  device: Device,
  kernel: Kernel<Size>,
  bounds: Readonly<Record<string, Bound>>,
): Operation<Size> {
  const pipeline = device.pipelines.get(kernel);
  const entries = kernel.bindings.map(({ name }, binding) => {
    const bound = bounds[name];
    if (!bound) throw new Error(`${kernel.name}: nothing bound to ${name}`);
    return { binding, resource: 'buffer' in bound ? bound : { buffer: bound } };
  });
  const bindGroup = device.gpuDevice.createBindGroup({ label: kernel.name, layout: pipeline.storageLayout, entries });
  const weights = Object.entries(bounds).filter(([name]) => name.startsWith('weight'));
  const weightBytes = weights.reduce((sum, [, { size }]) => sum + size, 0);
  return { pipeline, bindGroup, weightBytes, groups: (size) => kernel.groups(size) };
}

/**
 * Binds to buffers that may be replaced. The returned function gives the current binding: it calls `make` again after
 * one of `buffers` has changed.
 */
export function following<T>(buffers: readonly (() => GPUBuffer)[], make: () => T): () => T {
  const bound: GPUBuffer[] = [];
  let made: T;
  return () => {
    if (buffers.some((buffer, i) => buffer() !== bound[i])) {
      made = make();
      buffers.forEach((buffer, i) => (bound[i] = buffer()));
    }
    return made;
  };
}

/** The interface through which layers record dispatches. */
export interface Dispatcher {
  /** Dispatches so far. */
  readonly dispatches: number;
  run(operation: Operation, groups: Groups, params?: Params): void;
  /** Records the dispatches of `work`, and replays them on later calls with the same `key` until a buffer is created or destroyed. */
  again(key: string, work: () => void): void;
}

/** A recorded dispatch; `offset` is the byte offset of its parameters. */
interface Dispatch {
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  offset: number;
  x: number;
  y: number;
  z: number;
}

/** Most recorded lists of dispatches; decode needs one per number of sequences, with and without adapters. */
const MOST_LISTS = 16;

/**
 * Records and submits GPU work. Consecutive dispatches share one compute pass. `inOneGo` submits or drops everything
 * recorded in it before it returns, so no await, other request or destroyed buffer can intervene. Outside of
 * `inOneGo`, each dispatch and each copy is a submission of its own.
 */
export class Recorder implements Dispatcher {
  readonly #slots = new ParamSlots();
  /** Buffer of parameters, and its bind group; none if they are immediates. */
  readonly #uniform: { buffer: GPUBuffer; group: GPUBindGroup } | undefined;
  /** Lists that `again` recorded; valid for buffers of `#generation`. */
  readonly #lists = new Map<string, readonly Dispatch[]>();
  #generation = 0;
  /** The list being recorded. */
  #list: Dispatch[] | undefined;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** State of the current pass. */
  #pipeline: GPUComputePipeline | undefined;
  #bindGroup: GPUBindGroup | undefined;
  #offset = -1;
  /** Nesting depth of `inOneGo`. */
  #depth = 0;
  /** The error that cancels the outermost `inOneGo`. */
  #failure: { error: unknown } | undefined;
  /** Dispatches since the recorder was created. */
  dispatches = 0;
  /** Most dispatches of a submission. Longer recordings are submitted in parts, in order; a failure drops only parts not yet submitted. */
  mostDispatches = Infinity;
  /** Dispatches since the last submission. */
  #recorded = 0;

  constructor(private readonly device: Device) {
    const { paramsLayout: layout } = device.pipelines;
    if (!layout) return;
    const { UNIFORM, COPY_DST } = GPUBufferUsage;
    const buffer = device.buffers.create('params', 'staging', recorderBytes(device), UNIFORM | COPY_DST);
    const entries = [{ binding: 0, resource: { buffer, size: SLOT_BYTES } }];
    this.#uniform = { buffer, group: device.gpuDevice.createBindGroup({ layout, entries }) };
  }

  /**
   * Runs `work`, then submits what it recorded. If `work` or a nested `inOneGo` throws, drops the recording and
   * rethrows. `work` must be synchronous: what it records after an await is not included.
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

  /** `work` may dispatch but not copy. */
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

  /** Copies `size` bytes between buffers, after all work recorded so far. */
  copy(source: GPUBuffer, sourceOffset: number, target: GPUBuffer, targetOffset: number, size: number): void {
    this.#endPass();
    this.#open().copyBufferToBuffer(source, sourceOffset, target, targetOffset, size);
    if (this.#depth === 0) this.submit();
  }

  /** Submits the work recorded so far; the current `inOneGo` may record more. */
  submit(): void {
    if (this.#failure) throw this.#failure.error;
    this.#endPass();
    if (!this.#encoder) return;
    this.#send(this.#encoder);
    this.#forget();
  }

  #send(encoder: GPUCommandEncoder): void {
    const { queue } = this.device.gpuDevice;
    if (this.#uniform) this.#slots.write(queue, this.#uniform.buffer);
    queue.submit([encoder.finish()]);
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
    if (offset !== this.#offset) this.#setParams(pass, (this.#offset = offset));
    pass.dispatchWorkgroups(x, y, z);
    this.dispatches++;
    if (++this.#recorded < this.mostDispatches || !this.#encoder) return;
    // Do not clear the parameter slots: a list may be in recording.
    this.#endPass();
    this.#send(this.#encoder);
  }

  #setParams(pass: GPUComputePassEncoder, offset: number): void {
    if (this.#uniform) pass.setBindGroup(1, this.#uniform.group, [offset]);
    else this.#slots.setImmediates(pass, offset);
  }

  #beginPass(): GPUComputePassEncoder {
    this.#pipeline = undefined;
    this.#bindGroup = undefined;
    this.#offset = -1;
    return this.#open().beginComputePass();
  }
}

/** A ring of mappable buffers: results are read while the next steps already run. */
export class Readback {
  readonly #free: GPUBuffer[];

  /** `size`: bytes of a result. `depth`: buffers kept; further concurrent results use temporary buffers. */
  constructor(
    private readonly device: Device,
    private readonly label: string,
    private readonly size: number,
    private readonly depth: number,
  ) {
    this.#free = Array.from({ length: depth }, () => this.#create());
  }

  /**
   * Submits the recorder's work and a copy of `parts`; resolves with their concatenated bytes. Errors: `device_lost`.
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
 * Concatenated bytes of `parts` after all submitted work, read through a temporary buffer. Errors: `device_lost`.
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
