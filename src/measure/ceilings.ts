import { quantile } from '../config/quantile.ts';
import { noErrors } from '../gpu/error-scopes.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { createOperation } from '../gpu/operation.ts';
import {
  MULTIPLY_ADD_FLOPS,
  MULTIPLY_ADD_INVOCATIONS,
  MULTIPLY_ADD_WAYS,
  multiplyAddKernel,
  type Precision,
} from '../kernels/ceilings/multiply-add.ts';
import { streamCopyKernel } from '../kernels/ceilings/stream-copy.ts';
import { STREAM_BYTES, streamReadKernel } from '../kernels/ceilings/stream-read.ts';
import type { Session } from '../session/session.ts';
import { type Call, timeCalls } from './time-calls.ts';

/** A submission lasts at least so long, or what is timed would be the waiting for it. */
const SUBMISSION_MS = 20;
const MOST_DISPATCHES = 512;
const MOST_ITERATIONS = 1 << 16;

/** GB/s by way: a large buffer read with neighbours reading neighbours, read in runs, and copied (bytes read and written). */
export interface StreamingSpeeds {
  coalesced: number;
  runs: number;
  copy: number;
}

/** Errors: `over_limit` where there is no room for the buffers; `device_lost`. */
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

/** The ceiling of what reads weights and cache: GB/s of the fastest way that was tried. Errors: those of `measureStreaming`. */
export async function measureStreamingRead(session: Session): Promise<number> {
  const { coalesced, runs, copy } = await measureStreaming(session);
  return Math.max(coalesced, runs, copy);
}

/** GFLOP/s of multiply-adds, of the faster of two ways; f16 needs shader-f16. Errors: `kernel_refused`, `over_limit`, `device_lost`. */
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

/** Milliseconds of one dispatch, of as many in a submission as make it long enough. */
async function dispatchMs(session: Session, call: Call): Promise<number> {
  let count = 1;
  const submissionMs = async (): Promise<number> => count * quantile(await timeCalls(session, [call], count, 1), 0.5);
  while (count < MOST_DISPATCHES && (await submissionMs()) < SUBMISSION_MS) count *= 4;
  return quantile(await timeCalls(session, [call], count, 3), 0.5);
}
