import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, Contest } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation } from '../gpu/operation.ts';
import { attentionKernel, partialFloats, splitPages } from '../kernels/attention.ts';
import { PAGE_TOKENS, pageBytes } from '../kernels/heads.ts';
import { batchTable } from '../layers/batch.ts';
import { Linear } from '../layers/linear.ts';
import { blankMatrix, destroyMatrix } from '../layers/weight-matrix.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

/** Of decoding's linears and norms: a row to one invocation, or shared out among several of a workgroup's. */
const ROWS: readonly Candidate[] = [
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
const PREFILL: readonly Candidate[] = [
  { prefillWorkgroup: 8, tileRows: 0 },
  { prefillWorkgroup: 256, tileRows: 128 },
  { prefillWorkgroup: 256, tileRows: 64 },
  { prefillWorkgroup: 128, tileRows: 128 },
  { prefillWorkgroup: 128, tileRows: 64 },
];
const ATTENTION: readonly Candidate[] = [
  { attentionWorkgroup: 8, attentionHeads: 4 },
  { attentionWorkgroup: 32, attentionHeads: 1 },
  { attentionWorkgroup: 64, attentionHeads: 1 },
];

/** Tokens of a prefill that is timed, and of the context that is attended to. */
const PREFILL_TOKENS = 64;
const CONTEXT = 1024;

/**
 * The kernels that a model spends its time in, at its shapes: gate and up stand for all linears, decoding and prefill
 * apart. `release` gives their buffers back.
 */
export function kernelContests(
  device: Device,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): { contests: Contest[]; release: () => void } {
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = config;
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
    make() {
      const made = new Linear(device, matrix, { x, y, kind });
      return (recorder) => made.record(recorder, { kind, tokens });
    },
  });
  const { splits, pagesPerSplit } = splitPages(1, CONTEXT);
  const bound = {
    qkv: buffer('qkv', (numHeads + 2 * numKvHeads) * headDim * 4),
    batch_table: buffer('batch table', 16),
    pages: buffer('pages', (CONTEXT / PAGE_TOKENS) * 16), // all of them the first page, in f16
    rope: buffer('rope', CONTEXT * headDim * 4),
    kv: buffer('kv', pageBytes(config)),
    partial_outputs: buffer('partial outputs', splits * numHeads * partialFloats(headDim) * 4),
  };
  const last = batchTable([{ place: 0, position: CONTEXT - 1, firstPage: 0, page: CONTEXT / PAGE_TOKENS - 1 }]);
  device.gpuDevice.queue.writeBuffer(bound.batch_table, 0, last);
  const attention: Contest = {
    name: `attention ${numHeads} / ${numKvHeads} × ${headDim}`,
    candidates: ATTENTION,
    make() {
      const operation = createOperation(device, attentionKernel(device, config, true), bound);
      return (recorder) => recorder.run(operation, operation.groups({ tokens: 1, splits }), { tokens: 1, splits, pagesPerSplit });
    },
  };
  return {
    contests: [linear('decode', 1, ROWS), linear('prefill', PREFILL_TOKENS, PREFILL), attention],
    release() {
      destroyMatrix(device, matrix);
      for (const one of made) device.buffers.destroy(one);
    },
  };
}
