import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Buffers } from './buffers.ts';
import { DEVICE_FEATURES, LANGUAGE_FEATURES, type OptionalFeature, usableFeatures } from './features.ts';
import { Pipelines } from './pipelines.ts';
import { type DeviceClass, type Variant, VARIANTS } from './device-variant.ts';
import { type Wait, waitFor } from './wait.ts';

export interface OpenOptions {
  /** Which of the machine's GPUs; default: the fast one. */
  gpuAdapter?: GpuAdapterOptions | undefined;
  /** Features left unused although the adapter has them; for tests of the paths without. */
  without?: readonly OptionalFeature[];
  /** Kernel variants of this class instead of the adapter's own; for tests of every variant. */
  deviceClass?: DeviceClass;
  /** Told once when the device is lost other than by `close()`, or reports an error that nobody waits for. */
  onLost?: (reason: string) => void;
  /** How to wait for the GPU. Default: what suits its queue. */
  wait?: Wait;
}

/** As in WebGPU's GPURequestAdapterOptions, whose types not every app has. */
export interface GpuAdapterOptions {
  /** Default: `high-performance`. */
  powerPreference?: 'low-power' | 'high-performance';
  /** Takes the software adapter, where there is one. Default: false. */
  forceFallbackAdapter?: boolean;
}

/** A WebGPU device with what this runtime keeps beside it. */
export interface Device {
  readonly gpuDevice: GPUDevice;
  readonly name: string;
  readonly deviceClass: DeviceClass;
  /** Of kernels made from now on: its class's, but for what the autotuner has chosen. */
  variant: Variant;
  /** What the kernels use of what not every device has. */
  readonly features: ReadonlySet<OptionalFeature>;
  /** Invocations of a subgroup, where it is always the same. */
  readonly subgroupSize: number | undefined;
  readonly limits: GPUSupportedLimits;
  readonly buffers: Buffers;
  readonly pipelines: Pipelines;
  /** The reason once the device is lost, or has reported an error that nobody waits for. */
  readonly lost: () => string | undefined;
  readonly wait: Wait;
  close(): void;
}

/** All that there is of them. What is sure is enough for every kernel. */
const LIMITS = [
  ...(['maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage'] as const),
  ...(['maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupStorageSize'] as const),
] as const;

/** Opens the GPU adapter that is asked for. Errors: `no_webgpu`; `device_lost` where there was one before. */
export async function openDevice(gpu: GPU | undefined, options: OpenOptions = {}): Promise<Device> {
  if (!gpu) throw new ChunkwiseError('no_webgpu', { reason: 'this host has no WebGPU' });
  const isWanted = (feature: OptionalFeature): boolean => !options.without?.includes(feature);
  const { gpuDevice, info } = await requestDevice(gpu, options, isWanted);
  const language = LANGUAGE_FEATURES.filter((feature) => isWanted(feature) && gpu.wgslLanguageFeatures?.has(feature)); // browsers had none at first
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
  // What it refused is not done, and nobody knows what goes on from there: as good as lost.
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
    limits: gpuDevice.limits,
    buffers,
    pipelines: new Pipelines(gpuDevice),
    lost: () => lostReason,
    wait,
    close() {
      closed = true;
      buffers.destroyAll();
      gpuDevice.destroy();
    },
  };
}

/** Waits before each attempt: after the GPU's process has ended the next request may still be for the one that is no more. */
const ATTEMPTS_MS = [0, 100, 400];
/** What has given a device: when it gives none any more, the GPU is lost, and not missing. */
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
