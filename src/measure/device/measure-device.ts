import type { LocalEngine } from '../../engine/open-engine.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import { type Device, openDevice } from '../../gpu/device.ts';
import { openSession } from '../../session/open-session.ts';
import type { SessionOptions } from '../../session/session-options.ts';
import type { Session } from '../../session/session.ts';
import type { ByteSource } from '../../weights/byte-source.ts';
import type { ModelHeader } from '../../weights/model-header.ts';
import { measureMultiplyAdds, measureStreaming } from '../ceilings.ts';
import { Budget, isMissing } from './budget.ts';
import {
  type DeviceCeilings,
  DEVICE_REPORT_VERSION,
  type DeviceProgress,
  type DeviceReport,
  type Figure,
  type ModelSpeeds,
  type NotMeasured,
} from './device-report.ts';
import { measurePipelines, measureRoundTrips } from './latencies.ts';
import { type Ceilings, CONTEXTS, measureModel } from './model-speeds.ts';
import { type ModelShape, randomModel, SHAPE_1B } from './random-model.ts';

export const DEFAULT_DEVICE_BUDGET_MS = 90_000;
/** Milliseconds that each of the small measurements takes, about. */
const SMALL_MS = 500;
/** Of a model: what is loaded or made, checked and compiled for in a millisecond, on a slow processor. */
const OPENED_BYTES_PER_MS = 5e4;
/** Contexts to open models with: the longest that is measured, and what is decoded then. */
const LONGEST = Math.max(...CONTEXTS) + 64;
/** Of what is left of the time, for the model that is loaded. */
const LOADED_SHARE = 0.45;

export interface DeviceMeasureOptions extends Pick<
  SessionOptions,
  'gpuAdapter' | 'wait' | 'tuning' | 'autotunes' | 'without' | 'deviceClass' | 'memoryLimitBytes'
> {
  gpu: GPU | undefined;
  /** Of the loaded model: it is opened once more where its context is shorter than what it was trained for and what is measured. */
  sources?: readonly ByteSource[];
  /** What it runs in: a browser's user agent, or Node. */
  host: string;
  /** Milliseconds; default 90,000. What would not fit is left out. */
  budgetMs?: number;
  /** Of the model with random weights; default: 1B. */
  shape?: ModelShape;
  onProgress?: (progress: DeviceProgress) => void;
  signal?: AbortSignal;
}

/**
 * Measures the device that an engine is open on: its ceilings, latencies, and how near to them the loaded model and one of
 * random weights come. It waits until no request runs, and none begins meanwhile. The random model gets a device of its
 * own, which is closed; texts of earlier requests may be given up for room in the cache. Errors: `aborted`,
 * `queue_full`, `device_lost`, `disposed`.
 */
export function measureDevice(engine: LocalEngine, options: DeviceMeasureOptions): Promise<DeviceReport> {
  return engine.alone((session) => new DeviceMeasure(session, options).run(), options.signal);
}

class DeviceMeasure {
  readonly #budget: Budget;
  readonly #budgetMs: number;

  constructor(
    private readonly session: Session,
    private readonly options: DeviceMeasureOptions,
  ) {
    this.#budgetMs = options.budgetMs ?? DEFAULT_DEVICE_BUDGET_MS;
    this.#budget = new Budget(this.#budgetMs, options.signal);
  }

  async run(): Promise<DeviceReport> {
    const { session } = this;
    const { deviceClass, features, subgroupSize, limits, name, variant } = session.device;
    const ceilings = await this.#ceilings();
    const latency = await this.#latency();
    const models = [await this.#loaded(ceilingsOf(ceilings)), await this.#random(ceilingsOf(ceilings))];
    throwIfAborted(this.options.signal);
    return {
      format: 'chunkwise-device',
      version: DEVICE_REPORT_VERSION,
      date: new Date().toISOString().slice(0, 10),
      host: this.options.host,
      device: {
        ...{ name, class: deviceClass, features: [...features].sort() },
        ...(subgroupSize !== undefined && { subgroupSize }),
        ...{ maxBufferBytes: limits.maxBufferSize, maxBindingBytes: limits.maxStorageBufferBindingSize },
      },
      variant: { ...variant },
      ...{ budgetMs: this.#budgetMs, tookMs: this.#budget.spentMs },
      ...{ ceilings, latency, models },
    };
  }

  #tell(what: string): void {
    this.options.onProgress?.({ done: Math.min(1, this.#budget.spentMs / this.#budgetMs), what });
  }

  async #ceilings(): Promise<DeviceCeilings> {
    const { session } = this;
    this.#tell('memory');
    const streaming = await this.#budget.attempt(SMALL_MS, () => measureStreaming(session));
    this.#tell('arithmetic');
    const products = (precision: 'f32' | 'f16'): Promise<Figure> =>
      this.#budget.attempt(SMALL_MS, () => measureMultiplyAdds(session, precision));
    const hasHalf = session.device.features.has('shader-f16');
    return {
      readGbPerSecond: isMissing(streaming) ? streaming : streaming.coalesced,
      readInRunsGbPerSecond: isMissing(streaming) ? streaming : streaming.runs,
      copyGbPerSecond: isMissing(streaming) ? streaming : streaming.copy,
      f32GflopPerSecond: await products('f32'),
      f16GflopPerSecond: hasHalf ? await products('f16') : { notMeasured: 'the device has no shader-f16' },
    };
  }

  async #latency(): Promise<DeviceReport['latency']> {
    const { session } = this;
    this.#tell('latency');
    const trips = await this.#budget.attempt(SMALL_MS, () => measureRoundTrips(session));
    const texts = session.device.pipelines.texts();
    const modelPipelinesMs = await this.#budget.attempt(SMALL_MS, () =>
      this.#onOwnDevice((device) => measurePipelines(device, texts)),
    );
    const { newKernelMs, readbackMs } = isMissing(trips) ? { newKernelMs: trips, readbackMs: trips } : trips;
    return { readbackMs, newKernelMs, modelPipelinesMs, modelPipelines: texts.length };
  }

  async #onOwnDevice<T>(work: (device: Device) => Promise<T>): Promise<T> {
    const { gpu, wait, gpuAdapter, without } = this.options;
    const device = await openDevice(gpu, { wait, gpuAdapter, without });
    try {
      return await work(device);
    } finally {
      device.close();
    }
  }

  async #loaded(ceilings: Ceilings): Promise<ModelSpeeds> {
    const { plan } = this.session;
    const budget = this.#budget.part(LOADED_SHARE);
    const name = plan.file.replace(/.*[/\\]/, ''); // in Node it has a path
    const measured = (session: Session): Promise<ModelSpeeds> =>
      measureModel(session, { name, ceilings, budget, tell: (what) => this.#tell(what) });
    const longer = await this.#beside(() => this.#openLonger(budget), measured);
    return isMissing(longer) ? measured(this.session) : longer;
  }

  async #random(ceilings: Ceilings): Promise<ModelSpeeds> {
    const { shape = SHAPE_1B } = this.options;
    const { name } = shape;
    this.#tell(`${name}: making it`);
    const header = randomModel(shape);
    const contextLength = Math.min(shape.contextLength, LONGEST);
    const measured = await this.#beside(
      () => this.#open(this.#budget, { sources: [], header, contextLength }, bytesOf(header)),
      (session) => measureModel(session, { name, ceilings, budget: this.#budget, tell: (what) => this.#tell(what) }),
    );
    return isMissing(measured) ? unmeasured(name, measured) : measured;
  }

  /** A small model that was opened for shorter texts than are measured, for these; none where it needs no other session, or has none. */
  #openLonger(budget: Budget): Promise<Session | NotMeasured> {
    const { session, options } = this;
    const { config, contextLength, tensorBytes, file } = session.plan;
    const longest = Math.min(config.contextLength, LONGEST);
    // The random model is there too, later: what is no larger fits.
    const isSmall = tensorBytes <= bytesOf(randomModel(options.shape ?? SHAPE_1B));
    const { sources } = options;
    if (!sources || !isSmall || contextLength >= longest) return Promise.resolve({ notMeasured: 'it is open' });
    this.#tell(`${file}: opening it for longer texts`);
    return this.#open(budget, { sources, contextLength: longest }, tensorBytes);
  }

  #open(
    budget: Budget,
    model: Pick<SessionOptions, 'sources' | 'header' | 'contextLength'>,
    bytes: number,
  ): Promise<Session | NotMeasured> {
    const { gpu, gpuAdapter, wait, tuning, autotunes, without, deviceClass, memoryLimitBytes } = this.options;
    return budget.attempt(bytes / OPENED_BYTES_PER_MS, (signal) =>
      openSession({
        gpu,
        gpuAdapter,
        wait,
        tuning,
        autotunes,
        without,
        deviceClass,
        memoryLimitBytes,
        ...model,
        signal,
      }),
    );
  }

  /** Does `work` with a session on a device of its own, which is closed. */
  async #beside<T>(
    open: () => Promise<Session | NotMeasured>,
    work: (session: Session) => Promise<T>,
  ): Promise<T | NotMeasured> {
    try {
      const session = await open();
      if (isMissing(session)) return session;
      try {
        return await work(session);
      } finally {
        session.close();
      }
    } catch (error) {
      // A device that was lost for want of memory, and not the one of the chat.
      const isOwn =
        error instanceof ChunkwiseError && error.code === 'device_lost' && this.session.device.lost() === undefined;
      if (isOwn) return { notMeasured: `device_lost: ${error.message}` };
      throw error;
    }
  }
}

const bytesOf = ({ tensors }: ModelHeader): number => tensors.reduce((sum, { bytes }) => sum + bytes, 0);

/** Decoding is held against the fastest streaming, prefill against the most operations: of f16 where it is faster. */
function ceilingsOf(ceilings: DeviceCeilings): Ceilings {
  const best = (...figures: Figure[]): number | undefined => {
    const known = figures.filter((figure): figure is number => !isMissing(figure));
    return known.length === 0 ? undefined : 1e6 * Math.max(...known);
  };
  const { readGbPerSecond, readInRunsGbPerSecond, copyGbPerSecond, f32GflopPerSecond, f16GflopPerSecond } = ceilings;
  return {
    bytesPerMs: best(readGbPerSecond, readInRunsGbPerSecond, copyGbPerSecond),
    operationsPerMs: best(f32GflopPerSecond, f16GflopPerSecond),
  };
}

function unmeasured(name: string, missing: NotMeasured): ModelSpeeds {
  const speeds = [false, true].flatMap((adapter) =>
    CONTEXTS.map((context) => ({ context, adapter, decode: missing, prefill: missing })),
  );
  return {
    name,
    weightBytes: 0,
    contextLength: 0,
    notMeasured: missing.notMeasured,
    promptTokens: 0,
    firstTokenMs: missing,
    speeds,
  };
}
