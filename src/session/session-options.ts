import type { TuningStore } from '../gpu/autotuner.ts';
import type { GpuAdapterOptions, OptionalFeature, Wait } from '../gpu/device.ts';
import type { SubmissionLimits } from '../gpu/submissions.ts';
import type { Precision } from '../models/kernel-candidates.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import type { WeightType } from '../weights/quantize.ts';

/** When a prompt batch was planned and computed: times of performance.now(). */
export interface BatchTrace {
  /** Its first token, and the one after its last. */
  start: number;
  end: number;
  planBegan: number;
  planEnded: number;
  /** Milliseconds that the batch waited for its plan. */
  waitedMs: number;
  submitted: number;
  completed: number;
}

export interface LoadProgress {
  /** `verify`: reads stored files and compares their checksums. */
  phase: 'header' | 'download' | 'verify' | 'upload' | 'compile';
  /** Bytes done and to do; both 0 if a phase has none. */
  bytes: number;
  total: number;
  /** Phase `compile`: kernels compiled so far, and all that the load has asked for until now. */
  kernels?: { compiled: number; total: number };
  /** Recent bytes per second, and seconds left at that rate; absent until known. */
  rate?: number;
  timeLeft?: number;
}

/** Options of opening a model on a device. */
export interface SessionOptions {
  gpu: GPU | undefined;
  /** Which GPU of the machine; default: the fast one. */
  gpuAdapter?: GpuAdapterOptions | undefined;
  /** The model: one file, or all parts of a split one. Kept: a lost device is reopened from them. */
  sources: readonly ByteSource[];
  /** Replaces the header of `sources`, for a model without a file. */
  header?: ModelHeader;
  contextLength?: number;
  memoryLimitBytes?: number;
  /** Weight type for the matrices of a safetensors model; see `ModelLimits`. */
  weights?: WeightType;
  /** Opens the model's draft head, if it has one; default: no. */
  withDraftHead?: boolean;
  /** Store of the autotuner's results; default: none, and no autotuning. */
  tuning?: TuningStore;
  /**
   * Times kernel variants if the store has no result; default: yes, except on software adapters, whose fastest
   * variants are known.
   */
  autotunes?: boolean | undefined;
  /** Default: `exact`. `fast` needs autotuning. */
  precision?: Precision | undefined;
  /** Called with each prompt batch when it is computed. */
  onTrace?: (batch: BatchTrace) => void;
  onProgress?: (progress: LoadProgress) => void;
  onDeviceLost?: (reason: string) => void;
  signal?: AbortSignal;
  wait?: Wait;
  /** Limits of a submission; default: `USUAL_LIMITS`. */
  submissions?: SubmissionLimits | undefined;
  /** For tests of kernel variants that the adapter would not get. */
  without?: readonly OptionalFeature[];
  deviceClass?: 'cpu' | 'gpu';
}
