import type { Device } from './device.ts';
import type { Groups, Kernel } from './kernel.ts';
import type { Pipeline } from './pipelines.ts';

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
