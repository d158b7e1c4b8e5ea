/** The report of `measureDevice`, which the files in bench/results/devices contain too. */

/** Raise when a field changes its meaning or is removed. */
export const DEVICE_REPORT_VERSION = 1;

/** A missing figure with the reason: no time was left, or the device or model does not support it. */
export interface NotMeasured {
  notMeasured: string;
}

export type Figure = number | NotMeasured;

export interface DeviceReport {
  format: 'chunkwise-device';
  version: 1;
  /** `YYYY-MM-DD` */
  date: string;
  /** The browser's user agent, or Node and its version. */
  host: string;
  device: {
    /** From the GPU adapter's info. */
    name: string;
    /** `cpu`: a software adapter. */
    class: 'cpu' | 'gpu';
    /** Optional features that the kernels use. */
    features: readonly string[];
    /** If it is fixed. */
    subgroupSize?: number;
    maxBufferBytes: number;
    maxBindingBytes: number;
  };
  /** Kernel variant, from the device class or the autotuner. */
  variant: Readonly<Record<string, unknown>>;
  budgetMs: number;
  tookMs: number;
  ceilings: DeviceCeilings;
  latency: {
    /** From a minimal submission to its result in JavaScript; median. */
    readbackMs: Figure;
    /** From a new small kernel's text to its first result. */
    newKernelMs: Figure;
    /** All pipelines of the model compiled in parallel on a new device; the driver may have cached them. */
    modelPipelinesMs: Figure;
    modelPipelines: number;
  };
  /** The loaded model, then a 1B model with random weights. */
  models: readonly ModelSpeeds[];
}

/** GB are 10^9 bytes, GFLOP 10^9 operations; a multiply-add counts as two. Each figure is the best of several attempts. */
export interface DeviceCeilings {
  /** Coalesced read of a buffer of 128 MiB, or of the largest binding. */
  readGbPerSecond: Figure;
  /** Read of the same buffer in runs of 1 KiB per invocation, which suits CPUs. */
  readInRunsGbPerSecond: Figure;
  /** Copy; bytes read plus bytes written. */
  copyGbPerSecond: Figure;
  f32GflopPerSecond: Figure;
  /** Needs shader-f16. */
  f16GflopPerSecond: Figure;
}

export interface ModelSpeeds {
  name: string;
  /** GPU bytes of its weights; 0 if it was not opened. */
  weightBytes: number;
  contextLength: number;
  /** Why nothing was measured. */
  notMeasured?: string;
  /** Time to first token of a prompt of `promptTokens` tokens, without an adapter. */
  promptTokens: number;
  firstTokenMs: Figure;
  speeds: readonly ContextSpeeds[];
}

export interface ContextSpeeds {
  /** Cached tokens before a decode step (a few less at the end of the model's context), and after a prefill batch. */
  context: number;
  /** With a random adapter of rank 16 on every linear. */
  adapter: boolean;
  decode: DecodeSpeed | NotMeasured;
  prefill: PrefillSpeed | NotMeasured;
}

export interface DecodeSpeed {
  /** Time between two tokens of one sequence. As in chat, each step is submitted before the previous result is read. */
  msPerToken: number;
  msPerTokenP95: number;
  tokensPerSecond: number;
  steps: number;
  /** Least bytes that a step must read per time, over the fastest streaming; null without that ceiling. */
  fractionOfMemory: number | null;
}

export interface PrefillSpeed {
  /** Speed of the last batch before `context`. */
  tokensPerSecond: number;
  batchTokens: number;
  /** Least operations of the batch per time, over the peak of multiply-adds; null without that ceiling. */
  fractionOfCompute: number | null;
}

/** Progress of a measurement. */
export interface DeviceProgress {
  /** Share of the time budget, 0 to 1. */
  done: number;
  /** Current measurement, in words. */
  what: string;
}
