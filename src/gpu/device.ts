import numbers from '../../shaders/parts/numbers.wgsl?raw';
import { megabytes } from '../util/values.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Buffers } from './buffers.ts';
import { type KernelText, renderKernel, shaderParts } from './kernel.ts';
import { Pipelines, refusable } from './pipelines.ts';

export interface OpenOptions {
  /** Which GPU of the machine; default: the high-performance one. */
  gpuAdapter?: GpuAdapterOptions | undefined;
  /** Features to leave unused although the adapter has them; for tests of the paths without them. */
  without?: readonly OptionalFeature[];
  /** Overrides the adapter's device class; for tests of every kernel variant. */
  deviceClass?: DeviceClass;
  /** Called once when the device is lost other than by `close()`, or reports an uncaptured error. */
  onLost?: (reason: string) => void;
  /** How to wait for the GPU; default: `waitFor` measures the queue and chooses. */
  wait?: Wait;
}

/** The fields of WebGPU's GPURequestAdapterOptions, for apps without WebGPU's types. */
export interface GpuAdapterOptions {
  /** Default: `high-performance`. */
  powerPreference?: 'low-power' | 'high-performance';
  /** Requests the software adapter, if there is one. Default: false. */
  forceFallbackAdapter?: boolean;
}

/** A WebGPU device with its buffers, pipelines and kernel variant. */
export interface Device {
  readonly gpuDevice: GPUDevice;
  readonly name: string;
  readonly deviceClass: DeviceClass;
  /** Variant of kernels made from now on: the class's defaults with the autotuner's choices. */
  variant: Variant;
  /** Optional features that the kernels use. */
  readonly features: ReadonlySet<OptionalFeature>;
  /** Subgroup size, if it is fixed. */
  readonly subgroupSize: number | undefined;
  /** Least and largest subgroup size, if the adapter tells them. */
  readonly subgroupSizes: { least: number; most: number } | undefined;
  readonly limits: GPUSupportedLimits;
  readonly buffers: Buffers;
  readonly pipelines: Pipelines;
  /** The reason, once the device is lost or has reported an uncaptured error. */
  readonly lost: () => string | undefined;
  readonly wait: Wait;
  close(): void;
}

/** Limits requested at the adapter's maximum. WebGPU's default limits suffice for every kernel. */
const LIMITS = [
  ...(['maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage'] as const),
  ...(['maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupStorageSize'] as const),
] as const;

/** Opens a device on the requested GPU adapter. Errors: `no_webgpu`; `device_lost` if this GPU gave a device before. */
export async function openDevice(gpu: GPU | undefined, options: OpenOptions = {}): Promise<Device> {
  if (!gpu) throw new ChunkwiseError('no_webgpu', { reason: 'this host has no WebGPU' });
  const isWanted = (feature: OptionalFeature): boolean => !options.without?.includes(feature);
  const { gpuDevice, info } = await requestDevice(gpu, options, isWanted);
  const language = LANGUAGE_FEATURES.filter((feature) => isWanted(feature) && gpu.wgslLanguageFeatures?.has(feature)); // undefined in early browsers
  const offered = [...DEVICE_FEATURES.filter((feature) => gpuDevice.features.has(feature)), ...language];
  const [features, wait] = await Promise.all([
    usableFeatures(gpuDevice, offered),
    options.wait ?? waitFor(gpuDevice.queue),
  ]);
  const name = [info.vendor, info.architecture, info.description || info.device].filter(Boolean).join(' ');
  const deviceClass = options.deviceClass ?? classOf(info);
  const buffers = new Buffers(gpuDevice);
  let closed = false;
  let lostReason: string | undefined;
  const lose = (reason: string): void => {
    if (closed || lostReason !== undefined) return;
    lostReason = reason;
    options.onLost?.(reason);
  };
  void gpuDevice.lost.then(({ reason, message }) => lose(message || reason));
  // A refused operation leaves later results undefined, so an uncaptured error counts as a loss.
  gpuDevice.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    lose(`the device reported an error: ${event.error.message}`);
  });
  return {
    gpuDevice,
    name: name || 'unnamed adapter',
    deviceClass,
    variant: VARIANTS[deviceClass],
    features,
    subgroupSize: info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize : undefined,
    // Browsers before the final names leave them out, and 0 means that there are no subgroups.
    subgroupSizes: info.subgroupMinSize ? { least: info.subgroupMinSize, most: info.subgroupMaxSize } : undefined,
    limits: gpuDevice.limits,
    buffers,
    pipelines: new Pipelines(gpuDevice, features.has('immediate_address_space') ? 'immediate' : 'uniform'),
    lost: () => lostReason,
    wait,
    close() {
      closed = true;
      buffers.destroyAll();
      gpuDevice.destroy();
    },
  };
}

/** Delays before each attempt: after a crash of the GPU process, a request may still reach the old process. */
const ATTEMPTS_MS = [0, 100, 400];
/** GPUs that gave a device before: if one fails later, the error is `device_lost`, not `no_webgpu`. */
const knownToWork = new WeakSet<GPU>();

async function requestDevice(
  gpu: GPU,
  options: OpenOptions,
  isWanted: (feature: OptionalFeature) => boolean,
): Promise<{ gpuDevice: GPUDevice; info: GPUAdapterInfo }> {
  let cause: unknown;
  for (const wait of ATTEMPTS_MS) {
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    try {
      const gpuAdapter = await gpu.requestAdapter({ powerPreference: 'high-performance', ...options.gpuAdapter });
      if (!gpuAdapter) continue;
      const requiredFeatures = DEVICE_FEATURES.filter(
        (feature) => isWanted(feature) && gpuAdapter.features.has(feature),
      );
      const requiredLimits = Object.fromEntries(LIMITS.map((limit) => [limit, gpuAdapter.limits[limit]]));
      const gpuDevice = await gpuAdapter.requestDevice({ requiredFeatures, requiredLimits });
      knownToWork.add(gpu);
      return { gpuDevice, info: gpuAdapter.info };
    } catch (error) {
      cause = error;
    }
  }
  if (knownToWork.has(gpu)) {
    throw new ChunkwiseError(
      'device_lost',
      { reason: 'WebGPU has no adapter any more; it may have one when the browser is restarted' },
      { cause },
    );
  }
  const reason = cause instanceof Error ? `WebGPU gives no device: ${cause.message}` : 'WebGPU has no adapter here';
  throw new ChunkwiseError('no_webgpu', { reason }, { cause });
}

function classOf(info: GPUAdapterInfo): DeviceClass {
  const text = `${info.architecture} ${info.device} ${info.description}`;
  return info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|software/i.test(text) ? 'cpu' : 'gpu';
}

/** `cpu`: a software adapter, where barriers are slow and cores are few. `gpu`: everything else. */
export type DeviceClass = 'cpu' | 'gpu';

/** Kernel parameters that depend on the device. A software adapter prefers several rows per invocation and no barriers. */
export interface Variant {
  /** Invocations of a workgroup. */
  workgroup: number;
  /** Workgroup size of prefill linears. Without tiles: small, so that few invocations of the last group idle. With tiles: one invocation per 16 rows by 4 tokens. */
  prefillWorkgroup: number;
  /** Whether a workgroup loads a KV cache page once for all queries that attend to it; otherwise each invocation loads it for its own. */
  sharedPages: boolean;
  /** Workgroup size of attention. Without `sharedPages` invocations are few and long: a small size gives every core some. */
  attentionWorkgroup: number;
  /** Most query heads per invocation that share a KV head (without `sharedPages`, where loading a page costs more than computing). */
  attentionHeads: number;
  /** Prefill attention: workgroup size, up to the device's limit, and output vec4s per invocation. More of either lets more queries share a page; more vectors need more registers. */
  attentionTile: number;
  attentionVectors: number;
  /** Workgroup size of kernels that process one token: small, so that few invocations idle. */
  rowWorkgroup: number;
  /** Invocations per token of a norm: 1 or `rowWorkgroup`. With 1, one invocation computes a whole row of a linear too. */
  lanes: number;
  /** Rows of a prefill linear's tile in workgroup memory; 0: tiles in registers, for devices with slow barriers. */
  tileRows: number;
  /**
   * Whether prefill linears of types that allow it round inputs to 8 bits and multiply integers; needs
   * packed_4x8_integer_dot_product.
   */
  roundsInputs: boolean;
  /** Decode linears with `lanes` > 1: workgroup size, most invocations per row, and rows per such group. */
  decodeWorkgroup: number;
  decodeLanes: number;
  decodeRows: number;
  /** Whether decode linears with `lanes` > 1 sum through subgroups, if the device has them; otherwise through workgroup memory. */
  decodeSubgroups: boolean;
  /** Workgroup size of the sampler's scan over the vocabulary. */
  scanWorkgroup: number;
  /** Tokens of the scan's tile; a multiple of 32 for the mask's words. */
  scanTile: number;
  /** Whether JavaScript repacks weights for the kernels; otherwise a kernel does. */
  repacksOnHost: boolean;
  /** Most tokens of a prefill batch. An abort waits for at most one batch. */
  batchTokens: number;
}

/** Default variants by device class, before autotuning. */
export const VARIANTS: Record<DeviceClass, Variant> = {
  cpu: {
    workgroup: 64,
    prefillWorkgroup: 8,
    tileRows: 0,
    roundsInputs: false,
    rowWorkgroup: 8,
    lanes: 1,
    decodeWorkgroup: 0,
    decodeLanes: 0,
    decodeRows: 0,
    decodeSubgroups: false,
    ...{ sharedPages: false, attentionWorkgroup: 8, attentionHeads: 4, attentionTile: 0, attentionVectors: 0 },
    ...{ scanWorkgroup: 8, scanTile: 2048, repacksOnHost: true, batchTokens: 64 },
  },
  gpu: {
    workgroup: 32,
    prefillWorkgroup: 256,
    tileRows: 64,
    roundsInputs: false,
    rowWorkgroup: 32,
    lanes: 32,
    decodeWorkgroup: 256,
    decodeLanes: 32,
    decodeRows: 4,
    decodeSubgroups: true,
    ...{ sharedPages: true, attentionWorkgroup: 256, attentionHeads: 1, attentionTile: 512, attentionVectors: 2 },
    ...{ scanWorkgroup: 256, scanTile: 1024, repacksOnHost: false, batchTokens: 512 },
  },
};

/** Optional device and language features. Kernels use one if it is offered and a trial module compiles. */
const DEVICE_FEATURES = ['shader-f16', 'subgroups'] as const;
const LANGUAGE_FEATURES = ['packed_4x8_integer_dot_product', 'immediate_address_space'] as const;
export const OPTIONAL_FEATURES = /* @__PURE__ */ [DEVICE_FEATURES, LANGUAGE_FEATURES].flat();
export type OptionalFeature = (typeof OPTIONAL_FEATURES)[number];

const part = shaderParts(numbers);
const TRIAL_LANES = 32;

/**
 * A trial module per feature that uses all of it that the shader libraries use: a browser may offer a feature that its
 * compiler supports only in part.
 */
const TRIALS: Record<OptionalFeature, Omit<KernelText, 'name' | 'bindings'>> = {
  'shader-f16': trial([part('half4/native')], 'half4(pack_half4(vec4f(x)))', ['f16']),
  subgroups: trial(
    [],
    'subgroupAdd(subgroupShuffleXor(subgroupBroadcast(vec4f(x), 0u), 1u)) * f32(subgroupBroadcastFirst(size + id) + select(0u, 1u, subgroupElect()))',
    ['subgroups'],
    '@builtin(subgroup_size) size: u32, @builtin(subgroup_invocation_id) id: u32',
  ),
  packed_4x8_integer_dot_product: trial(
    [part('unpack-bytes/native')],
    'vec4f(unpack_bytes(u32(dot4I8Packed(local, pack4xI8(vec4i(i32(local)))))))',
  ),
  immediate_address_space: { ...trial([], 'vec4f(f32(params.added))'), params: { added: 'u32' } },
};

/** `value`: a WGSL vec4f expression in `x`, `local` and the entry point's other `inputs`. */
function trial(
  libraries: readonly string[],
  value: string,
  enables: readonly string[] = [],
  inputs = '',
): (typeof TRIALS)[OptionalFeature] {
  const main = `@compute @workgroup_size(LANES) fn main(@builtin(local_invocation_index) local: u32, ${inputs}) {
    let x = values[local].x;
    values[local] = ${value};
  }`;
  return { sources: [...libraries, main], enables, constants: { LANES: TRIAL_LANES }, params: {} };
}

/** WGSL of a feature's trial module. */
export function trialModule(feature: OptionalFeature): string {
  const values = { name: 'values', type: 'array<vec4f>', access: 'read_write' } as const;
  return renderKernel({ name: feature, ...TRIALS[feature], bindings: [values] }, 'immediate');
}

/** The features of `offered` whose trial module compiles on this device. */
async function usableFeatures(
  gpuDevice: GPUDevice,
  offered: readonly OptionalFeature[],
): Promise<ReadonlySet<OptionalFeature>> {
  const compiled = await Promise.all(offered.map((feature) => compiles(gpuDevice, feature)));
  return new Set(offered.filter((_, i) => compiled[i]));
}

async function compiles(gpuDevice: GPUDevice, feature: OptionalFeature): Promise<boolean> {
  const { made, refusal } = refusable(gpuDevice, () => {
    const module = gpuDevice.createShaderModule({ label: feature, code: trialModule(feature) });
    return gpuDevice.createComputePipelineAsync({
      label: feature,
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    });
  });
  const pipeline = await made.catch(() => undefined);
  if ((await refusal) !== undefined || !pipeline) return false;
  return feature !== 'immediate_address_space' || readsImmediates(gpuDevice, pipeline);
}

/** Whether the trial of immediates reads what a pass sets. They are new, and every kernel would depend on them. */
async function readsImmediates(gpuDevice: GPUDevice, pipeline: GPUComputePipeline): Promise<boolean> {
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const values = gpuDevice.createBuffer({ size: TRIAL_LANES * 16, usage: STORAGE | COPY_SRC });
  const read = gpuDevice.createBuffer({ size: 4, usage: COPY_DST | MAP_READ });
  const { made, refusal } = refusable(gpuDevice, async () => {
    const encoder = gpuDevice.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: values } }];
    pass.setBindGroup(0, gpuDevice.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.setImmediates(0, new Uint32Array([3, 5]), 1, 1);
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(values, 0, read, 0, 4);
    gpuDevice.queue.submit([encoder.finish()]);
    await read.mapAsync(GPUMapMode.READ);
    return new Float32Array(read.getMappedRange())[0] === 5;
  });
  const isRead = await made.catch(() => false);
  const isRefused = (await refusal) !== undefined;
  values.destroy();
  read.destroy();
  return isRead && !isRefused;
}

/** Awaits `work`; hosts may replace plain awaiting. */
export type Wait = <T>(work: Promise<T>) => Promise<T>;

/** Awaiting an idle queue takes less, unless the browser polls the queue by a timer. */
const IDLE_MS = 40;
/** Poll interval; nested browser timers are clamped to 4 ms. */
const LOOK_MS = 4;

/**
 * The fastest way to await this queue. Firefox polls for finished work every 100 ms and at each submission: there, empty
 * submissions are made until the work is done.
 */
export async function waitFor(queue: GPUQueue): Promise<Wait> {
  if ((await idleWait(queue)) < IDLE_MS) return (work) => work;
  return async (work) => {
    let settled = false;
    const settle = (): void => void (settled = true);
    work.then(settle, settle);
    while (!settled) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      queue.submit([]);
    }
    return work;
  };
}

/** Milliseconds to await an idle queue. Measures the second wait: the first may end early on the timer's tick. */
async function idleWait(queue: GPUQueue): Promise<number> {
  const idle = (): Promise<unknown> => queue.onSubmittedWorkDone().catch(() => undefined); // losses are reported elsewhere
  await idle();
  const began = performance.now();
  await idle();
  return performance.now() - began;
}

/** Runs `work` in error scopes. Throws `over_limit` if the device refuses anything meanwhile and `work` itself succeeds. */
export async function noErrors<T>(device: Device, file: string, work: () => Promise<T>): Promise<T> {
  const { gpuDevice } = device;
  gpuDevice.pushErrorScope('out-of-memory');
  gpuDevice.pushErrorScope('validation');
  const popped = (): Promise<(GPUError | null)[]> =>
    Promise.all([gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]).catch((cause: unknown) => {
      throw new ChunkwiseError('device_lost', { file, reason: device.lost() ?? String(cause) }, { cause });
    });
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await popped();
    if (!(error instanceof ChunkwiseError)) throwIfLost(device, error);
    throw error;
  }
  const refused = (await popped()).find((error) => error !== null);
  throwIfLost(device);
  if (refused) {
    const asked = megabytes(device.buffers.report().total);
    const reason = `the device refused, asked for ${asked} of GPU memory together: ${refused.message}`;
    throw new ChunkwiseError('over_limit', { file, reason });
  }
  return result;
}

/** Resolves when all submitted work is done. Errors: `device_lost`. */
export const finished = (device: Device): Promise<void> =>
  unlessLost(device, device.gpuDevice.queue.onSubmittedWorkDone());

/** Errors: `device_lost`. */
export function throwIfLost(device: Device, cause?: unknown): void {
  const reason = device.lost();
  if (reason !== undefined) throw new ChunkwiseError('device_lost', { reason }, { cause });
}

/**
 * Waits for GPU work. Errors: `device_lost`, also after an uncaptured device error: refused work counts as done in WebGPU.
 */
export async function unlessLost(device: Device, work: Promise<unknown>): Promise<void> {
  try {
    await device.wait(work);
  } catch (cause) {
    throw new ChunkwiseError('device_lost', { reason: device.lost() ?? String(cause) }, { cause });
  }
  throwIfLost(device);
}
