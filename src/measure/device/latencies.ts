import { quantile } from '../../config/quantile.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import { readOnce } from '../../gpu/readback.ts';
import { neverSeenKernel } from '../../kernels/ceilings/never-seen.ts';
import type { Session } from '../../session/session.ts';

const READBACKS = 20;

/** Milliseconds of a small kernel that was never compiled: to its first result, and of each later one (median). Errors: `kernel_refused`, `device_lost`. */
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

/** Milliseconds in which `fresh` compiles these texts, asked for at once. Errors: `kernel_refused`. */
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
