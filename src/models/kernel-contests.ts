import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, Contest } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import { linearDecodeKernel } from '../kernels/linear-decode.ts';
import { linearPrefillKernel } from '../kernels/linear-prefill.ts';
import { Linear } from '../layers/linear.ts';
import { blankMatrix, destroyMatrix } from '../layers/weight-matrix.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import { attentionContests } from './attention-contests.ts';

/** Of decoding's linears and norms: a row to one invocation, or shared out among a workgroup's. */
export const ROWS: readonly Candidate[] = [
  { rowWorkgroup: 8, lanes: 1 },
  { rowWorkgroup: 32, lanes: 32 },
  { rowWorkgroup: 64, lanes: 64 },
];
export const PREFILL: readonly Candidate[] = [{ prefillWorkgroup: 8 }, { prefillWorkgroup: 32 }, { prefillWorkgroup: 64 }];

/** Tokens of a prefill that is timed. */
const PREFILL_TOKENS = 64;

/**
 * The kernels that a model spends its time in, at its shapes: gate and up stand for all linears, decoding and prefill
 * apart. `release` gives their buffers back.
 */
export function kernelContests(
  device: Device,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): { contests: Contest[]; release: () => void } {
  const { hiddenSize, intermediateSize } = config;
  const made: GPUBuffer[] = [];
  const buffer = (name: string, bytes: number): GPUBuffer => {
    const one = device.buffers.storage(name, 'staging', bytes);
    made.push(one);
    return one;
  };
  const type = tensors.get('blk.0.ffn_gate.weight')?.type ?? 'F32';
  const matrix = blankMatrix(device, type, 2 * intermediateSize, hiddenSize);
  const x = buffer('x', PREFILL_TOKENS * hiddenSize * 4);
  const y = buffer('y', PREFILL_TOKENS * matrix.rows * 4);
  const linear = (kind: 'decode' | 'prefill', tokens: number, candidates: readonly Candidate[]): Contest => ({
    name: `linear-${kind} ${type} ${matrix.rows} × ${hiddenSize}`,
    candidates,
    kernel: () => (kind === 'decode' ? linearDecodeKernel : linearPrefillKernel)(device, { type, columns: hiddenSize }),
    make() {
      const made = new Linear(device, matrix, { x, y, kind });
      return (recorder) => made.record(recorder, { kind, tokens });
    },
  });
  return {
    contests: [linear('decode', 1, ROWS), linear('prefill', PREFILL_TOKENS, PREFILL), ...attentionContests(device, config, buffer)],
    release() {
      destroyMatrix(device, matrix);
      for (const one of made) device.buffers.destroy(one);
    },
  };
}
