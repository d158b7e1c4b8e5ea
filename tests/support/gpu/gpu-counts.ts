import { onTestFinished } from 'vitest';
import { nodeGpu } from '../../../tools/instruments/node-gpu.ts';

/** WebGPU calls from `countGpu()` to the end of the test. */
export interface GpuCounts {
  /** Buffers that were created and not destroyed. */
  live: ReadonlySet<GPUBuffer>;
  liveBytes(): number;
  /** Bytes of the largest created buffer. */
  largestBuffer: number;
  buffersCreated: number;
  buffersDestroyed: number;
  bindGroups: number;
  pipelines: number;
  /** Pipelines created asynchronously. */
  pipelinesAside: number;
  dispatches: number;
  /** Names of the kernels whose pipelines were set. */
  kernels: ReadonlySet<string>;
}

/** Counts calls of WebGPU's own functions on every device. */
export function countGpu(): GpuCounts {
  nodeGpu(); // defines the classes
  const live = new Set<GPUBuffer>();
  const kernels = new Set<string>();
  const counts: GpuCounts = {
    live,
    liveBytes: () => [...live].reduce((sum, { size }) => sum + size, 0),
    largestBuffer: 0,
    buffersCreated: 0,
    buffersDestroyed: 0,
    bindGroups: 0,
    pipelines: 0,
    pipelinesAside: 0,
    dispatches: 0,
    kernels,
  };
  after(GPUDevice.prototype, 'createBuffer', (_, buffer) => {
    live.add(buffer as GPUBuffer);
    counts.largestBuffer = Math.max(counts.largestBuffer, (buffer as GPUBuffer).size);
    counts.buffersCreated++;
  });
  after(GPUBuffer.prototype, 'destroy', (buffer) => {
    live.delete(buffer);
    counts.buffersDestroyed++;
  });
  after(GPUDevice.prototype, 'createBindGroup', () => void counts.bindGroups++);
  after(GPUDevice.prototype, 'createComputePipeline', () => void counts.pipelines++);
  after(GPUDevice.prototype, 'createComputePipelineAsync', () => void counts.pipelinesAside++);
  after(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', () => void counts.dispatches++);
  after(
    GPUComputePassEncoder.prototype,
    'setPipeline',
    (_, __, [pipeline]) => void kernels.add((pipeline as GPUComputePipeline).label),
  );
  return counts;
}

/** Calls `then` with the object, the result and the arguments after every call of the method, until the test ends. */
function after<T extends object>(
  prototype: T,
  name: keyof T & string,
  then: (self: T, result: unknown, args: unknown[]) => void,
): void {
  const original = prototype[name] as (...args: unknown[]) => unknown;
  const counting = function (this: T, ...args: unknown[]): unknown {
    const result = original.apply(this, args);
    then(this, result, args);
    return result;
  };
  Object.assign(prototype, { [name]: counting });
  onTestFinished(() => void Object.assign(prototype, { [name]: original }));
}
