import { derived } from './derived.ts';
import { derivedGpu } from './derived-gpu.ts';

export const FAILING_CALLS = [
  'createBuffer',
  'createBindGroup',
  'createComputePipeline',
  'createComputePipelineAsync',
  'submit',
] as const;
export type FailingCall = (typeof FAILING_CALLS)[number];

/** WebGPU calls that a test can make fail. */
export interface Failures {
  /** Calls since `arm`. */
  readonly counts: Record<FailingCall, number>;
  /** Makes the `at`th call of this name from now on fail, once; -1: none. */
  arm(call: FailingCall, at: number): void;
  /** Whether the armed call has failed. */
  failed(): boolean;
}

/** The software adapter on which one armed call fails with the device's own error, like an invalid call. */
export function failingGpu(): { gpu: GPU; failures: Failures } {
  const counts = Object.fromEntries(FAILING_CALLS.map((call) => [call, 0])) as Record<FailingCall, number>;
  let armed: { call: FailingCall; at: number } | undefined;
  let failed = false;
  const isDue = (call: FailingCall): boolean => {
    const isIt = armed?.call === call && counts[call] === armed.at;
    counts[call]++;
    failed ||= isIt;
    return isIt;
  };
  const gpu = derivedGpu((device) => ({
    createBuffer: (buffer) => device.createBuffer(isDue('createBuffer') ? { ...buffer, size: 2 ** 50 } : buffer),
    createBindGroup: (group) => device.createBindGroup(isDue('createBindGroup') ? { ...group, entries: [] } : group),
    createComputePipeline: (pipeline) =>
      device.createComputePipeline(isDue('createComputePipeline') ? wrong(pipeline) : pipeline),
    createComputePipelineAsync: (pipeline) =>
      device.createComputePipelineAsync(isDue('createComputePipelineAsync') ? wrong(pipeline) : pipeline),
    queue: derived(device.queue, {
      submit: (commands) => {
        if (isDue('submit')) {
          const gone = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
          const encoder = device.createCommandEncoder();
          encoder.clearBuffer(gone);
          gone.destroy();
          device.queue.submit([...commands, encoder.finish()]);
        } else device.queue.submit(commands);
      },
    }),
  }));
  const arm = (call: FailingCall, at: number): void => {
    for (const each of FAILING_CALLS) counts[each] = 0;
    armed = { call, at };
    failed = false;
  };
  return { gpu, failures: { counts, arm, failed: () => failed } };
}

const wrong = (pipeline: GPUComputePipelineDescriptor): GPUComputePipelineDescriptor => ({
  ...pipeline,
  compute: { ...pipeline.compute, entryPoint: 'nowhere' },
});
