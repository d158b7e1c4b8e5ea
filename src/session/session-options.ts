import type { TuningStore } from '../gpu/autotuner.ts';
import type { GpuAdapterOptions } from '../gpu/device.ts';
import type { OptionalFeature } from '../gpu/features.ts';
import type { SubmissionLimits } from '../gpu/submission-limits.ts';
import type { Wait } from '../gpu/wait.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import type { WeightType } from '../weights/quantize.ts';

/** When a batch of a prompt was planned and computed: times of performance.now(). */
export interface BatchTrace {
  /** Its first token, and the one after its last. */
  start: number;
  end: number;
  planBegan: number;
  planEnded: number;
  /** From when the batch could have been recorded to when its plan was there. */
  waitedMs: number;
  submitted: number;
  completed: number;
}

export interface LoadProgress {
  /** `verify`: what is stored is read and held against its checksums. */
  phase: 'header' | 'download' | 'verify' | 'upload' | 'compile';
  /** Bytes done and to do; 0 of 0 where a phase has none. */
  bytes: number;
  total: number;
  /** Bytes a second, lately, and seconds that the phase will still take at that rate; absent until they are known. */
  rate?: number;
  timeLeft?: number;
}

/** What a model is brought onto a device with. */
export interface SessionOptions {
  gpu: GPU | undefined;
  /** Which of the machine's GPUs; default: the fast one. */
  gpuAdapter?: GpuAdapterOptions | undefined;
  /** The model: one file, or all parts of a split one. Kept: a lost device is rebuilt from them. */
  sources: readonly ByteSource[];
  /** In place of what `sources` say: a model that lies in no file. */
  header?: ModelHeader;
  contextLength?: number;
  memoryLimitBytes?: number;
  /** What a safetensors model's matrices become; see `ModelLimits`. */
  weights?: WeightType;
  /** Opens the model's draft head beside it, where it has one; default: no. */
  withDraftHead?: boolean;
  /** Where the autotuner keeps what it found; default: nowhere, and nothing is timed. */
  tuning?: TuningStore;
  /** Times kernel variants, where it is not kept which is fastest; default: but on software adapters, which are known. */
  autotunes?: boolean | undefined;
  /** Told of each batch of a prompt when it is computed. */
  onTrace?: (batch: BatchTrace) => void;
  onProgress?: (progress: LoadProgress) => void;
  onDeviceLost?: (reason: string) => void;
  signal?: AbortSignal;
  wait?: Wait;
  /** How much the device is given at once; default: `USUAL_LIMITS`. */
  submissions?: SubmissionLimits | undefined;
  /** For tests of the kernel variants an adapter would not get. */
  without?: readonly OptionalFeature[];
  deviceClass?: 'cpu' | 'gpu';
}
