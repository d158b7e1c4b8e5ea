import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, Contest } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import { decodeKernel, prefillKernel } from '../kernels/linears/linear-kernels.ts';
import { Linear } from '../layers/linear.ts';
import { blankMatrix, destroyMatrix, matrixBytes, sliceRows, type WeightMatrix } from '../layers/weight-matrix.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import { attentionContests } from './attention-contests.ts';
import { readInTurn } from './read-in-turn.ts';

/** Of decoding's linears and norms: a row to one invocation, or shared out among several of a workgroup's. */
export const ROWS: readonly Candidate[] = [
  { rowWorkgroup: 8, lanes: 1 },
  ...[
    { decodeWorkgroup: 256, decodeLanes: 32, decodeRows: 4 },
    { decodeWorkgroup: 256, decodeLanes: 64, decodeRows: 2 },
    { decodeWorkgroup: 128, decodeLanes: 32, decodeRows: 4 },
    { decodeWorkgroup: 128, decodeLanes: 16, decodeRows: 2 },
    { decodeWorkgroup: 64, decodeLanes: 16, decodeRows: 4 },
    { decodeWorkgroup: 64, decodeLanes: 16, decodeRows: 2 },
  ].map((shape) => ({ rowWorkgroup: 32, lanes: 32, ...shape })),
];
/** Of a prefill's: in registers, or in tiles of 32 or 64 tokens. */
export const PREFILL: readonly Candidate[] = [
  { prefillWorkgroup: 8, tileRows: 0 },
  { prefillWorkgroup: 256, tileRows: 64 },
  { prefillWorkgroup: 256, tileRows: 32 },
  { prefillWorkgroup: 128, tileRows: 64 },
  { prefillWorkgroup: 128, tileRows: 32 },
];

/** Rows of a share: whole tiles of them. */
const TILE_ROWS = 64;
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
  const { hiddenSize, experts } = config;
  const { intermediateSize } = experts?.firstLayer === 0 ? experts : config;
  const made: GPUBuffer[] = [];
  const buffer = (name: string, bytes: number): GPUBuffer => {
    const one = device.buffers.storage(name, 'staging', bytes);
    made.push(one);
    return one;
  };
  const type = tensors.get(`blk.0.ffn_gate${experts?.firstLayer === 0 ? '_exps' : ''}.weight`)?.type ?? 'F32';
  const rows = Math.min(2 * intermediateSize, sliceRows(device.limits, type, hiddenSize));
  const count = readInTurn(config, matrixBytes(type, rows, hiddenSize));
  const matrices: WeightMatrix[] = [];
  const x = buffer('x', PREFILL_TOKENS * hiddenSize * 4);
  const y = buffer('y', PREFILL_TOKENS * rows * 4);
  const linear = (kind: 'decode' | 'prefill', tokens: number, candidates: readonly Candidate[]): Contest => ({
    name: `linear-${kind} ${type} ${rows} × ${hiddenSize}`,
    candidates,
    kernel: () => (kind === 'decode' ? decodeKernel : prefillKernel)(device, { type, columns: hiddenSize }),
    make() {
      while (matrices.length < count) matrices.push(blankMatrix(device, type, rows, hiddenSize));
      const made = matrices.map((matrix) => new Linear(device, matrix, { x, y, kind }));
      let next = 0;
      return (recorder, share) => {
        const place = next++ % made.length;
        for (const slice of matrices[place]!.slices) slice.rows = Math.ceil((share * rows) / TILE_ROWS) * TILE_ROWS;
        made[place]!.record(recorder, { kind, tokens });
      };
    },
  });
  return {
    contests: [
      linear('decode', 1, ROWS),
      linear('prefill', PREFILL_TOKENS, PREFILL),
      ...attentionContests(device, config, buffer),
    ],
    release() {
      for (const matrix of matrices) destroyMatrix(device, matrix);
      for (const one of made) device.buffers.destroy(one);
    },
  };
}
