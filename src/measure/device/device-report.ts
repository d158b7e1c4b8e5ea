/** What measuring a device gives: the form of the files in bench/results/devices, of the page and of Node alike. */

/** Raised where a field changes its meaning or goes. */
export const DEVICE_REPORT_VERSION = 1;

/** A figure that is missing, and why: no time was left, or the device or the model does not go so far. */
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
    /** As the GPU adapter tells it. */
    name: string;
    /** `cpu`: a software adapter. */
    class: 'cpu' | 'gpu';
    /** Optional ones that the kernels use. */
    features: readonly string[];
    /** Where it is always the same. */
    subgroupSize?: number;
    maxBufferBytes: number;
    maxBindingBytes: number;
  };
  /** What was chosen of each kernel's variants, by the class or by the autotuner. */
  variant: Readonly<Record<string, unknown>>;
  budgetMs: number;
  tookMs: number;
  ceilings: DeviceCeilings;
  latency: {
    /** From a submission that does next to nothing to its result in the program: median. */
    readbackMs: Figure;
    /** A small kernel that was never seen before, from its text to its first result. */
    newKernelMs: Figure;
    /** All pipelines of the model anew, at once, on a device of their own; the driver may have kept what it made of them. */
    modelPipelinesMs: Figure;
    modelPipelines: number;
  };
  /** The model that was loaded, then one of random weights in the shape of a model of 1B. */
  models: readonly ModelSpeeds[];
}

/** GB are 10^9 bytes, GFLOP 10^9 operations; a multiply-add counts as two. Each is the best of what was tried. */
export interface DeviceCeilings {
  /** Of a buffer of 128 MiB, or the largest binding: neighbours read neighbours. */
  readGbPerSecond: Figure;
  /** The same, each invocation reading 1 KiB on end, as suits processors. */
  readInRunsGbPerSecond: Figure;
  /** Bytes read and bytes written. */
  copyGbPerSecond: Figure;
  f32GflopPerSecond: Figure;
  /** Where shader-f16 is offered. */
  f16GflopPerSecond: Figure;
}

export interface ModelSpeeds {
  name: string;
  /** Bytes of its weights on the GPU; 0 where it was not opened. */
  weightBytes: number;
  contextLength: number;
  /** Why none of it was measured. */
  notMeasured?: string;
  /** Of a prompt of `promptTokens` tokens: until the first token of the answer is read. No adapter. */
  promptTokens: number;
  firstTokenMs: Figure;
  speeds: readonly ContextSpeeds[];
}

export interface ContextSpeeds {
  /** Tokens in the cache before a decode step, or a few less where the model's context ends there; and when a batch of the prompt is done. */
  context: number;
  /** With a random adapter of rank 16 on every linear. */
  adapter: boolean;
  decode: DecodeSpeed | NotMeasured;
  prefill: PrefillSpeed | NotMeasured;
}

export interface DecodeSpeed {
  /** Between two tokens of one stream, as an answer has them: each step is asked for before the one before is read. */
  msPerToken: number;
  msPerTokenP95: number;
  tokensPerSecond: number;
  steps: number;
  /** Bytes that a step must read at least, over the fastest streaming; null without that ceiling. */
  fractionOfMemory: number | null;
}

export interface PrefillSpeed {
  /** Of the last batch before `context` is reached. */
  tokensPerSecond: number;
  batchTokens: number;
  /** Operations that the batch needs at least, over the most multiply-adds a second; null without that ceiling. */
  fractionOfCompute: number | null;
}

/** How far the measuring is. */
export interface DeviceProgress {
  /** Of the time, 0 to 1. */
  done: number;
  /** What is measured now, in words. */
  what: string;
}
