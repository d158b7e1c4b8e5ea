import { globals } from 'webgpu';
import { type Device, type DeviceClass, openDevice, type OptionalFeature } from '../../src/gpu/device.ts';
import { workgroupOf } from './workgroup.ts';

/** Sets of optional features that a device may have. */
export const FEATURE_SETS = {
  all: ['shader-f16', 'subgroups', 'packed_4x8_integer_dot_product'],
  'no subgroups': ['shader-f16', 'packed_4x8_integer_dot_product'],
  'no f16': ['subgroups', 'packed_4x8_integer_dot_product'],
  none: [],
} as const satisfies Record<string, readonly OptionalFeature[]>;
export type FeatureSet = keyof typeof FEATURE_SETS;

/** A bound storage buffer, and its contents at the dispatch; undefined if it was never written. */
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
  /** Contents of group 1, or the immediates. */
  params: Uint8Array<ArrayBuffer> | undefined;
  groups: readonly [number, number, number];
}

/** WebGPU's default limits, which every device has. */
export const DEFAULT_LIMITS = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65_535,
  maxImmediateSize: 64,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
};
export type PaperLimits = typeof DEFAULT_LIMITS;

/** Limits of a graphics card. */
const CARD_LIMITS: PaperLimits = {
  ...DEFAULT_LIMITS,
  maxBufferSize: 2 ** 31,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxStorageBuffersPerShaderStage: 10,
  maxComputeWorkgroupStorageSize: 32_768,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxComputeWorkgroupSizeY: 1024,
};

export interface PaperOptions {
  /** Default: the limits of a graphics card. */
  limits?: PaperLimits;
  /** Called for each request beyond the limits; default: throws. */
  onOver?: (what: string) => void;
  /** Default: `gpu`. */
  deviceClass?: DeviceClass;
}

class PaperBuffer {
  readonly label: string;
  readonly size: number;
  #contents: Uint8Array<ArrayBuffer> | undefined;
  /** A copy of its contents, valid until the next write. */
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
  /** A part is results of kernels, which are zeros; the whole is what was copied there. */
  getMappedRange = (_offset = 0, size?: number): ArrayBuffer =>
    size === undefined
      ? (this.range(0, this.size)?.slice().buffer ?? new ArrayBuffer(this.size))
      : new ArrayBuffer(size);
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

/** Reports what exceeds a limit. */
class Bounds {
  /** Texts that were checked. */
  readonly #known = new Set<string>();

  constructor(
    readonly limits: PaperLimits,
    private readonly onOver: (what: string) => void,
  ) {}

  expect(limit: keyof PaperLimits, asked: number, by: string): void {
    if (asked > this.limits[limit]) this.onOver(`${by}: ${limit} is ${this.limits[limit]}, but ${asked} are needed`);
  }

  expectPipeline({ label, code }: PaperPipeline): void {
    if (this.#known.has(code)) return;
    this.#known.add(code);
    const { size, bytes } = workgroupOf(code);
    const [x, y, z] = size;
    this.expect('maxComputeWorkgroupSizeX', x, label);
    this.expect('maxComputeWorkgroupSizeY', y, label);
    this.expect('maxComputeWorkgroupSizeZ', z, label);
    this.expect('maxComputeInvocationsPerWorkgroup', x * y * z, label);
    this.expect('maxComputeWorkgroupStorageSize', bytes, label);
    this.expect('maxStorageBuffersPerShaderStage', [...code.matchAll(/var<storage/g)].length, label);
  }
}

class PaperEncoder {
  readonly commands: (() => void)[] = [];

  constructor(
    private readonly note: (dispatch: NotedDispatch) => void,
    private readonly bounds: Bounds,
  ) {}

  beginComputePass(): object {
    let pipeline: PaperPipeline | undefined;
    const immediates = new Uint8Array(this.bounds.limits.maxImmediateSize);
    const groups: { bindings: PaperBinding[]; offset: number }[] = [];
    return {
      setPipeline: (next: PaperPipeline) => void (pipeline = next),
      setBindGroup: (index: number, bindings: PaperBinding[], [offset = 0]: readonly number[] = []) =>
        void (groups[index] = { bindings, offset }),
      setImmediates: (offset: number, data: ArrayBufferView, start?: number, length?: number) =>
        immediates.set(bytesOf(data, start, length), offset),
      dispatchWorkgroups: (x: number, y = 1, z = 1) => {
        const [storage, uniform] = groups;
        const { label = '', code = '' } = pipeline ?? {};
        const own = immediates.slice();
        for (const count of [x, y, z]) this.bounds.expect('maxComputeWorkgroupsPerDimension', count, label);
        this.commands.push(() => {
          // The only kernel that is computed: without its result the device would have no immediates.
          if (label === ('immediate_address_space' satisfies OptionalFeature)) {
            const [added = 0] = new Uint32Array(own.buffer);
            storage?.bindings[0]?.buffer.write(0, new Uint8Array(Float32Array.of(added).buffer));
            return;
          }
          const bindings = (storage?.bindings ?? []).map(({ buffer, offset = 0, size = buffer.size - offset }) => ({
            label: buffer.label,
            size,
            contents: buffer.range(offset, size),
          }));
          const [bound] = uniform?.bindings ?? [];
          const params = bound ? bound.buffer.range(uniform?.offset ?? 0, bound.size ?? 0) : own;
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

function paperDevice(features: ReadonlySet<string>, note: (dispatch: NotedDispatch) => void, bounds: Bounds): object {
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
  const pipeline = ({ label = '', compute }: GPUComputePipelineDescriptor): PaperPipeline => {
    const made = { label, code: (compute.module as unknown as PaperPipeline).code, getBindGroupLayout: () => ({}) };
    bounds.expectPipeline(made);
    return made;
  };
  return {
    features,
    limits: bounds.limits,
    queue,
    lost: new Promise(() => undefined),
    createBuffer: (descriptor: GPUBufferDescriptor) => {
      bounds.expect('maxBufferSize', descriptor.size, descriptor.label ?? 'a buffer');
      return new PaperBuffer(descriptor);
    },
    createBindGroupLayout: () => ({}),
    createPipelineLayout: ({ immediateSize = 0 }: GPUPipelineLayoutDescriptor) => {
      bounds.expect('maxImmediateSize', immediateSize, 'a pipeline layout');
      return {};
    },
    createShaderModule: (descriptor: GPUShaderModuleDescriptor) => descriptor,
    createComputePipeline: pipeline,
    createComputePipelineAsync: (descriptor: GPUComputePipelineDescriptor) => Promise.resolve(pipeline(descriptor)),
    createBindGroup: ({ label = '', entries }: { label?: string; entries: { resource: PaperBinding }[] }) =>
      entries.map(({ resource }) => {
        const { buffer, offset = 0, size = buffer.size - offset } = resource;
        bounds.expect('maxStorageBufferBindingSize', size, `${label}: ${buffer.label}`);
        if (offset % bounds.limits.minStorageBufferOffsetAlignment !== 0)
          throw new Error(`${label}: ${buffer.label} is bound from byte ${offset} on`);
        return resource;
      }),
    createCommandEncoder: () => new PaperEncoder(note, bounds),
    pushErrorScope: () => undefined,
    popErrorScope: () => Promise.resolve(null),
    addEventListener: () => undefined,
    destroy: () => undefined,
  };
}

/**
 * A graphics card that computes nothing: `note` gets each submitted dispatch, and readbacks are zeros. It records the requests of a
 * model of any size without a GPU.
 */
export async function openPaperDevice(
  features: readonly OptionalFeature[],
  note: (dispatch: NotedDispatch) => void,
  { limits = CARD_LIMITS, onOver = throwing, deviceClass = 'gpu' }: PaperOptions = {},
): Promise<Device> {
  Object.assign(globalThis, globals);
  const bounds = new Bounds(limits, onOver);
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
  const requestDevice = async (): Promise<object> => paperDevice(offered, note, bounds);
  const gpuAdapter = { features: offered, limits, info, requestDevice };
  const gpu = { wgslLanguageFeatures: offered, requestAdapter: async () => gpuAdapter };
  return openDevice(gpu as unknown as GPU, { deviceClass, wait: (work) => work });
}

function throwing(what: string): never {
  throw new Error(what);
}
