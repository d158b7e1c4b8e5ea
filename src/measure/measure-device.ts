import type { LocalEngine } from '../engine/engine.ts';
import { ChunkwiseError, throwIfAborted } from '../errors/chunkwise-error.ts';
import { type Device, openDevice } from '../gpu/device.ts';
import { openSession } from '../session/open-session.ts';
import type { SessionOptions } from '../session/session-options.ts';
import type { Session } from '../session/session.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import { measureMultiplyAdds, measureStreaming, measurePipelines, measureRoundTrips } from './ceilings.ts';
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
import { type Ceilings, CONTEXTS, measureModel } from './model-speeds.ts';
import { type ModelShape, randomModel, SHAPE_1B } from './random-model.ts';

const DEFAULT_DEVICE_BUDGET_MS = 90_000;
/** Approximate milliseconds of each small measurement. */
const SMALL_MS = 500;
/** Bytes of a model opened per millisecond (load, checks, compilation) on a slow CPU. */
const OPENED_BYTES_PER_MS = 5e4;
/** Context length to open models with: the longest measured, plus decoded tokens. */
const LONGEST = Math.max(...CONTEXTS) + 64;
/** Share of the remaining time for the loaded model. */
const LOADED_SHARE = 0.45;

export interface DeviceMeasureOptions extends Pick<
  SessionOptions,
  'gpuAdapter' | 'wait' | 'tuning' | 'autotunes' | 'without' | 'deviceClass' | 'memoryLimitBytes'
> {
  gpu: GPU | undefined;
  /** Files of the loaded model, to reopen it if its context is shorter than the measured ones and the model supports more. */
  sources?: readonly ByteSource[];
  /** The host: a browser's user agent, or Node. */
  host: string;
  /** Time budget in milliseconds; default 90,000. Measurements that do not fit are skipped. */
  budgetMs?: number;
  /** Shape of the model with random weights; default: 1B. */
  shape?: ModelShape;
  onProgress?: (progress: DeviceProgress) => void;
  signal?: AbortSignal;
}

/**
 * Measures an engine's device: ceilings, latencies, and how close the loaded model and a model of random weights come to
 * them. Waits until no request runs, and blocks new ones meanwhile. The random model runs on a device of its own, which is
 * closed afterwards; cached prefixes may be evicted. Errors: `aborted`, `queue_full`, `device_lost`, `disposed`.
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
    const name = plan.file.replace(/.*[/\\]/, ''); // a path in Node
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

  /** Reopens a small model with the measured context; `notMeasured` if its own session suffices, or without its files. */
  #openLonger(budget: Budget): Promise<Session | NotMeasured> {
    const { session, options } = this;
    const { config, contextLength, tensorBytes, file } = session.plan;
    const longest = Math.min(config.contextLength, LONGEST);
    // The random model is opened later, so a model no larger fits too.
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

  /** Runs `work` with a session on a separate device, which is then closed. */
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
      // The separate device was lost, probably out of memory; the chat's device still works.
      const isOwn =
        error instanceof ChunkwiseError && error.code === 'device_lost' && this.session.device.lost() === undefined;
      if (isOwn) return { notMeasured: `device_lost: ${error.message}` };
      throw error;
    }
  }
}

const bytesOf = ({ tensors }: ModelHeader): number => tensors.reduce((sum, { bytes }) => sum + bytes, 0);

/** Ceilings: the fastest streaming for decode, the fastest arithmetic (f32 or f16) for prefill. */
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

export type DeviceEvent = ({ type: 'progress' } & DeviceProgress) | { type: 'report'; report: DeviceReport };

/** Runs `measureDevice`; yields its progress, then its report. Errors: those of `measureDevice`. */
export async function* deviceEvents(
  engine: LocalEngine,
  options: Omit<DeviceMeasureOptions, 'onProgress'>,
): AsyncGenerator<DeviceEvent, void> {
  const events: DeviceEvent[] = [];
  let wake = (): void => undefined;
  const tell = (event: DeviceEvent): void => {
    events.push(event);
    wake();
  };
  let isDone = false;
  const measured = measureDevice(engine, {
    ...options,
    onProgress: (progress) => tell({ type: 'progress', ...progress }),
  })
    .then((report) => tell({ type: 'report', report }))
    .finally(() => {
      isDone = true;
      wake();
    });
  measured.catch(() => undefined); // rethrown below
  while (!isDone || events.length > 0) {
    const event = events.shift();
    if (event) yield event;
    else await new Promise<void>((resolve) => (wake = resolve));
  }
  await measured;
}
