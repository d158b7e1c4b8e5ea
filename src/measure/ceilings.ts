import { quantile } from '../util/numbers.ts';
import { noErrors, type Device, finished } from '../gpu/device.ts';
import type { Kernel, Groups, Params } from '../gpu/kernel.ts';
import {
  MULTIPLY_ADD_FLOPS,
  MULTIPLY_ADD_INVOCATIONS,
  MULTIPLY_ADD_WAYS,
  multiplyAddKernel,
  type Precision,
  streamCopyKernel,
  STREAM_BYTES,
  streamReadKernel,
  neverSeenKernel,
} from '../kernels/ceilings.ts';
import type { Session } from '../session/session.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { createOperation, type Operation, readOnce } from '../gpu/recorder.ts';

/** A dispatch to record later. */
export interface Call {
  operation: Operation;
  groups: Groups;
  params: Params;
}

/**
 * Times these dispatches: milliseconds per round in each of `repeats` submissions of `count` rounds, after a warm-up.
 * Errors: `device_lost`.
 */
export async function timeCalls(
  session: Session,
  calls: readonly Call[],
  count: number,
  repeats = 5,
): Promise<number[]> {
  const { device, recorder } = session;
  const times: number[] = [];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const start = performance.now();
    recorder.inOneGo(() => {
      for (let i = 0; i < count; i++)
        for (const { operation, groups, params } of calls) recorder.run(operation, groups, params);
    });
    await finished(device);
    if (repeat > 0) times.push((performance.now() - start) / count);
  }
  return times;
}

/** Least duration of a timed submission, so that latency does not dominate. */
const SUBMISSION_MS = 20;
const MOST_DISPATCHES = 512;
const MOST_ITERATIONS = 1 << 16;

/** GB/s of a large buffer: read coalesced, read in one run per invocation, and copied (bytes read and written). */
interface StreamingSpeeds {
  coalesced: number;
  runs: number;
  copy: number;
}

/** Measures memory bandwidth. Errors: `over_limit` without room for the buffers; `device_lost`. */
export async function measureStreaming(session: Session): Promise<StreamingSpeeds> {
  const { device } = session;
  const bytes = Math.min(STREAM_BYTES, device.limits.maxStorageBufferBindingSize);
  return noErrors(device, 'streaming', async () => {
    const x = device.buffers.storage('stream', 'staging', bytes);
    const y = device.buffers.storage('stream copy', 'staging', bytes);
    try {
      const speed = async (kernel: Kernel<{ bytes: number }>, moved: number): Promise<number> => {
        const operation = createOperation(device, kernel, { x, y });
        return moved / (await dispatchMs(session, { operation, groups: kernel.groups({ bytes }), params: {} })) / 1e6;
      };
      return {
        coalesced: await speed(streamReadKernel('coalesced'), bytes),
        runs: await speed(streamReadKernel('runs'), bytes),
        copy: await speed(streamCopyKernel(), 2 * bytes),
      };
    } finally {
      device.buffers.destroy(x);
      device.buffers.destroy(y);
    }
  });
}

/** GFLOP/s of multiply-adds, the faster of two kernels; f16 needs shader-f16. Errors: `kernel_refused`, `over_limit`, `device_lost`. */
export async function measureMultiplyAdds(session: Session, precision: Precision): Promise<number> {
  const { device } = session;
  return noErrors(device, 'multiply-adds', async () => {
    const y = device.buffers.storage('sums', 'staging', MULTIPLY_ADD_INVOCATIONS * 16);
    try {
      let best = 0;
      for (const way of MULTIPLY_ADD_WAYS) {
        const kernel = multiplyAddKernel(precision, way);
        const operation = createOperation(device, kernel, { y });
        await device.pipelines.ready();
        let iterations = 8;
        const call = (): Call => ({
          operation,
          groups: kernel.groups({}),
          params: { iterations, factor: 0.5, addend: 1 },
        });
        const once = async (): Promise<number> => quantile(await timeCalls(session, [call()], 1, 1), 0.5);
        while (iterations < MOST_ITERATIONS && (await once()) < SUBMISSION_MS) iterations *= 4;
        const ms = quantile(await timeCalls(session, [call()], 1, 3), 0.5);
        best = Math.max(best, (MULTIPLY_ADD_FLOPS * iterations) / ms / 1e6);
      }
      return best;
    } finally {
      device.buffers.destroy(y);
    }
  });
}

/** Milliseconds per dispatch, with enough dispatches per submission. */
async function dispatchMs(session: Session, call: Call): Promise<number> {
  let count = 1;
  const submissionMs = async (): Promise<number> => count * quantile(await timeCalls(session, [call], count, 1), 0.5);
  while (count < MOST_DISPATCHES && (await submissionMs()) < SUBMISSION_MS) count *= 4;
  return quantile(await timeCalls(session, [call], count, 3), 0.5);
}

const READBACKS = 20;

/** Milliseconds of a new small kernel until its first result, compilation included, and of later results (median). Errors: `kernel_refused`, `device_lost`. */
export async function measureRoundTrips({
  device,
  recorder,
}: Session): Promise<{ newKernelMs: number; readbackMs: number }> {
  const size = 256;
  const y = device.buffers.storage('never seen', 'staging', size);
  try {
    const began = performance.now();
    const kernel = neverSeenKernel(Math.floor(Math.random() * 2 ** 32));
    const operation = createOperation(device, kernel, { y });
    await device.pipelines.ready();
    const roundTrip = async (): Promise<void> => {
      recorder.run(operation, kernel.groups({}));
      await readOnce(device, 'never seen', [{ buffer: y, offset: 0, size }]);
    };
    await roundTrip();
    const newKernelMs = performance.now() - began;
    const times: number[] = [];
    for (let i = 0; i < READBACKS; i++) {
      const start = performance.now();
      await roundTrip();
      times.push(performance.now() - start);
    }
    return { newKernelMs, readbackMs: quantile(times, 0.5) };
  } finally {
    device.buffers.destroy(y);
  }
}

/** Milliseconds to compile these texts in parallel on a new device. Errors: `kernel_refused`. */
export async function measurePipelines(
  { gpuDevice }: Device,
  texts: readonly { name: string; text: string }[],
): Promise<number> {
  const began = performance.now();
  const made = texts.map(({ name, text }) => {
    const module = gpuDevice.createShaderModule({ label: name, code: text });
    return gpuDevice.createComputePipelineAsync({
      label: name,
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    });
  });
  await Promise.all(made).catch((cause: unknown) => {
    throw new ChunkwiseError('kernel_refused', { reason: String(cause) }, { cause });
  });
  return performance.now() - began;
}
