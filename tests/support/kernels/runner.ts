import { afterAll, beforeAll, describe } from 'vitest';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import { type Device, openDevice, type OpenOptions } from '../../../src/gpu/device.ts';
import type { Kernel, Params } from '../../../src/gpu/kernel.ts';
import { type Bound, createOperation, Readback, Recorder } from '../../../src/gpu/recorder.ts';
import { lastingGpu } from '../gpu/lasting-gpu.ts';
import { byTier } from '../tier.ts';
import { worstErrors } from './expect-close.ts';

/** Devices that build kernels differently. */
const VARIANTS = {
  cpu: { deviceClass: 'cpu' },
  'cpu, without subgroups': { deviceClass: 'cpu', without: ['subgroups', 'packed_4x8_integer_dot_product'] },
  'cpu, without shader-f16': { deviceClass: 'cpu', without: ['shader-f16'] },
  gpu: { deviceClass: 'gpu' },
  'gpu, without subgroups': { deviceClass: 'gpu', without: ['subgroups'] },
  'gpu, without shader-f16': { deviceClass: 'gpu', without: ['shader-f16'] },
} as const satisfies Record<string, Pick<OpenOptions, 'deviceClass' | 'without'>>;

export type Variant = keyof typeof VARIANTS;

export const ALL_VARIANTS = Object.keys(VARIANTS) as Variant[];
/** Variants of a kernel that neither shares work across invocations nor reads halves. */
export const CLASSES: Variant[] = ['cpu', 'gpu'];
/** Variants of a kernel that reads or writes halves. */
export const HALF_VARIANTS = ALL_VARIANTS.filter((name) => !name.endsWith('subgroups'));
/** Variants of a kernel that sums across invocations, or shares loads. */
export const SUBGROUP_VARIANTS = ALL_VARIANTS.filter((name) => !name.endsWith('f16'));

const LARGEST_RESULT = 8 << 20;

/** Runs kernels on arrays. Buffers live until `release`. */
export class Runner {
  readonly recorder: Recorder;
  readonly #readback: Readback;
  readonly #buffers: GPUBuffer[] = [];
  readonly #errors: string[] = [];

  constructor(readonly device: Device) {
    this.recorder = new Recorder(device);
    this.#readback = new Readback(device, 'results', LARGEST_RESULT, 1);
    device.gpuDevice.addEventListener('uncapturederror', ({ error }) => this.#errors.push(error.message));
  }

  upload(values: Float32Array | Uint32Array | Uint16Array): GPUBuffer {
    const buffer = this.empty(values.byteLength);
    this.device.gpuDevice.queue.writeBuffer(buffer, 0, values.slice());
    return buffer;
  }

  /** A buffer of `size` zero bytes. */
  empty(size: number): GPUBuffer {
    const buffer = this.device.buffers.storage('test', 'activations', size);
    this.#buffers.push(buffer);
    return buffer;
  }

  run<Size>(kernel: Kernel<Size>, bounds: Record<string, Bound>, size: Size, params: Params = {}): void {
    this.recorder.run(createOperation(this.device, kernel, bounds), kernel.groups(size), params);
  }

  /** Submits the recorded commands and reads a buffer. */
  async read(buffer: GPUBuffer): Promise<ArrayBuffer> {
    const bytes = await this.#readback.submit(this.recorder, [{ buffer, offset: 0, size: buffer.size }]);
    await this.device.pipelines.ready();
    if (this.#errors.length > 0) throw new Error(this.#errors.join('\n'));
    return bytes;
  }

  async floats(buffer: GPUBuffer): Promise<Float32Array> {
    return new Float32Array(await this.read(buffer));
  }

  release(): void {
    for (const buffer of this.#buffers.splice(0)) this.device.buffers.destroy(buffer);
  }
}

/** Runs the tests in `define` once for each variant, on its own device; in the change tier only for those of `CLASSES`. `runner()` frees the buffers of the previous test. */
export function describeVariants(
  names: readonly Variant[],
  define: (runner: () => Runner, variant: Variant) => void,
): void {
  const inBothFamilies = names.filter((name) => CLASSES.includes(name));
  describe.each(byTier(inBothFamilies, names))('%s', (name) => {
    let runner: Runner | undefined;
    beforeAll(async () => {
      runner = new Runner(await openDevice(lastingGpu(), { ...VARIANTS[name], wait: napping }));
    });
    afterAll(() => {
      runner?.device.close();
      console.info(`${name}\n${worstErrors()}`);
    });
    define(() => {
      if (!runner) throw new Error('no device');
      runner.release();
      return runner;
    }, name);
  });
}
