import { globals } from 'webgpu';
import { type Device, openDevice } from '../../src/gpu/device.ts';
import type { OptionalFeature } from '../../src/gpu/features.ts';

/** What a device may have of what kernels use where it is there. */
export const FEATURE_SETS = {
  all: ['shader-f16', 'subgroups', 'packed_4x8_integer_dot_product'],
  'no subgroups': ['shader-f16', 'packed_4x8_integer_dot_product'],
  'no f16': ['subgroups', 'packed_4x8_integer_dot_product'],
  none: [],
} as const satisfies Record<string, readonly OptionalFeature[]>;
export type FeatureSet = keyof typeof FEATURE_SETS;

/** A storage buffer as a kernel binds it, and what was written into it by then: undefined where nothing was. */
export interface NotedBinding {
  label: string;
  /** Bytes. */
  size: number;
  contents: Uint8Array<ArrayBuffer> | undefined;
}

/** A dispatch that was submitted. */
export interface NotedDispatch {
  /** The kernel's name. */
  kernel: string;
  /** WGSL. */
  code: string;
  /** Group 0, in the order of its bindings. */
  bindings: readonly NotedBinding[];
  /** What group 1 holds. */
  params: Uint8Array<ArrayBuffer> | undefined;
  groups: readonly [number, number, number];
}

/** A graphics card's, not the least that WebGPU asks for. */
const LIMITS = {
  maxBufferSize: 2 ** 31,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxStorageBuffersPerShaderStage: 10,
  maxComputeWorkgroupStorageSize: 32_768,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupSizeY: 1024,
  maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65_535,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
};

class PaperBuffer {
  readonly label: string;
  readonly size: number;
  #contents: Uint8Array<ArrayBuffer> | undefined;
  /** Of what it holds now, until it is written to. */
  #snapshot: Uint8Array<ArrayBuffer> | undefined;

  constructor({ label = '', size }: GPUBufferDescriptor) {
    this.label = label;
    this.size = size;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#contents ??= new Uint8Array(this.size);
    this.#contents.set(bytes, offset);
    this.#snapshot = undefined;
  }

  range(offset: number, size: number): Uint8Array<ArrayBuffer> | undefined {
    this.#snapshot ??= this.#contents?.slice();
    return this.#snapshot?.subarray(offset, offset + size);
  }

  mapAsync = (): Promise<void> => Promise.resolve();
  getMappedRange = (_offset: number, size: number): ArrayBuffer => new ArrayBuffer(size);
  unmap(): void {}
  destroy(): void {}
}

interface PaperBinding {
  buffer: PaperBuffer;
  offset?: number;
  size?: number;
}
interface PaperPipeline {
  label: string;
  code: string;
}

class PaperEncoder {
  readonly commands: (() => void)[] = [];

  constructor(private readonly note: (dispatch: NotedDispatch) => void) {}

  beginComputePass(): object {
    let pipeline: PaperPipeline | undefined;
    const groups: { bindings: PaperBinding[]; offset: number }[] = [];
    return {
      setPipeline: (next: PaperPipeline) => void (pipeline = next),
      setBindGroup: (index: number, bindings: PaperBinding[], [offset = 0]: readonly number[] = []) =>
        void (groups[index] = { bindings, offset }),
      dispatchWorkgroups: (x: number, y = 1, z = 1) => {
        const [storage, uniform] = groups;
        const { label = '', code = '' } = pipeline ?? {};
        this.commands.push(() => {
          const bindings = (storage?.bindings ?? []).map(({ buffer, offset = 0, size = buffer.size - offset }) => ({
            label: buffer.label,
            size,
            contents: buffer.range(offset, size),
          }));
          const [bound] = uniform?.bindings ?? [];
          const params = bound?.buffer.range(uniform?.offset ?? 0, bound.size ?? 0);
          this.note({ kernel: label, code, bindings, params, groups: [x, y, z] });
        });
      },
      end: () => undefined,
    };
  }

  copyBufferToBuffer(source: PaperBuffer, from: number, target: PaperBuffer, to: number, size: number): void {
    this.commands.push(() => target.write(to, source.range(from, size) ?? new Uint8Array()));
  }

  finish(): PaperEncoder {
    return this;
  }
}

const bytesOf = (data: ArrayBuffer | ArrayBufferView, start = 0, length?: number): Uint8Array => {
  if (data instanceof ArrayBuffer) return new Uint8Array(data, start, length);
  const width = 'BYTES_PER_ELEMENT' in data ? (data.BYTES_PER_ELEMENT as number) : 1;
  return new Uint8Array(
    data.buffer,
    data.byteOffset + start * width,
    length === undefined ? data.byteLength - start * width : length * width,
  );
};

function paperDevice(features: ReadonlySet<string>, note: (dispatch: NotedDispatch) => void): object {
  const queue = {
    writeBuffer: (
      buffer: PaperBuffer,
      offset: number,
      data: ArrayBuffer | ArrayBufferView,
      start?: number,
      length?: number,
    ) => buffer.write(offset, bytesOf(data, start, length)),
    submit: (encoders: PaperEncoder[]) => encoders.forEach(({ commands }) => commands.forEach((command) => command())),
    onSubmittedWorkDone: () => Promise.resolve(),
  };
  const pipeline = ({ label = '', compute }: GPUComputePipelineDescriptor): PaperPipeline => ({
    label,
    code: (compute.module as unknown as PaperPipeline).code,
  });
  return {
    features,
    limits: LIMITS,
    queue,
    lost: new Promise(() => undefined),
    createBuffer: (descriptor: GPUBufferDescriptor) => new PaperBuffer(descriptor),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: (descriptor: GPUShaderModuleDescriptor) => descriptor,
    createComputePipeline: pipeline,
    createComputePipelineAsync: async (descriptor: GPUComputePipelineDescriptor) => pipeline(descriptor),
    createBindGroup: ({ entries }: { entries: { resource: PaperBinding }[] }) =>
      entries.map(({ resource }) => resource),
    createCommandEncoder: () => new PaperEncoder(note),
    pushErrorScope: () => undefined,
    popErrorScope: () => Promise.resolve(null),
    addEventListener: () => undefined,
    destroy: () => undefined,
  };
}

/**
 * A graphics card that computes nothing: whatever is submitted is told to `note`, and what is read back is zeros. So what
 * a model of any size asks of a GPU can be known without one.
 */
export async function openPaperDevice(
  features: readonly OptionalFeature[],
  note: (dispatch: NotedDispatch) => void,
): Promise<Device> {
  Object.assign(globalThis, globals);
  const offered = new Set<string>(features);
  const info = {
    vendor: 'paper',
    architecture: '',
    device: '',
    description: '',
    subgroupMinSize: 32,
    subgroupMaxSize: 64,
    isFallbackAdapter: false,
  };
  const gpuAdapter = { features: offered, limits: LIMITS, info, requestDevice: async () => paperDevice(offered, note) };
  const gpu = { wgslLanguageFeatures: offered, requestAdapter: async () => gpuAdapter };
  return openDevice(gpu as unknown as GPU, { deviceClass: 'gpu', wait: (work) => work });
}
