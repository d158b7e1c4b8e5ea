import type { ModelConfig } from '../config/model-config.ts';
import type { Candidate, TuningCase } from '../gpu/autotuner.ts';
import type { Device } from '../gpu/device.ts';
import type { Groups } from '../gpu/kernel.ts';
import { createOperation } from '../gpu/recorder.ts';
import { partialFloats, storesTokens, attentionKernels, MOST_TILE_ROWS } from '../kernels/attention.ts';
import { pageEntry, pageUnits, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS, rowWidth } from '../kernels/heads.ts';
import { decodeKernel } from '../kernels/linear-decode.ts';
import { prefillKernel } from '../kernels/linear-prefill.ts';
import { probeFloats, PROBES } from '../kernels/pages.ts';
import { batchTable } from '../layers/batch.ts';
import { Linear } from '../layers/linear.ts';
import { blankMatrix, destroyMatrix, matrixBytes, sliceRows, type WeightMatrix } from '../layers/weight-matrix.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';

/** Larger than GPU caches. */
const BEYOND_CACHES = 64 << 20;

/**
 * Number of buffers of `bytes` that timed runs read in turn: one per layer, or enough to exceed the caches. In real decode
 * each layer's data was last read one step ago.
 */
const readInTurn = ({ numLayers }: Pick<ModelConfig, 'numLayers'>, bytes: number): number =>
  Math.min(numLayers, Math.ceil(BEYOND_CACHES / bytes));

/** Variants without shared pages, with one kernel for all batches. */
const ATTENTION_ALONE: readonly Candidate[] = [
  { attentionWorkgroup: 8, attentionHeads: 4 },
  { attentionWorkgroup: 32, attentionHeads: 1 },
  { attentionWorkgroup: 64, attentionHeads: 1 },
];
/** Variants with shared pages: decode, and prefill with more queries per page or fewer registers. */
const ATTENTION_DECODE: readonly Candidate[] = [
  { attentionWorkgroup: 64 },
  { attentionWorkgroup: 128 },
  { attentionWorkgroup: 256 },
];
const ATTENTION_PREFILL: readonly Candidate[] = [
  { attentionTile: 512, attentionVectors: 2 },
  { attentionTile: 256, attentionVectors: 2 },
  { attentionTile: 256, attentionVectors: 4 },
];

/** All attention variants, those with shared pages first. */
export const ATTENTION_CANDIDATES: readonly Candidate[] = [
  ...ATTENTION_DECODE,
  ...ATTENTION_PREFILL,
  ...ATTENTION_ALONE.map((alone) => ({ sharedPages: false, ...alone })),
];

/** Context of a timed decode, and of a timed prefill, in tokens. */
const CONTEXT = 1024;
const ATTENTION_TOKENS = 512;

/** `buffer` creates a buffer of `bytes` bytes. */
function attentionCandidates(
  device: Device,
  config: ModelConfig,
  buffer: (name: string, bytes: number) => GPUBuffer,
): TuningCase[] {
  const { numHeads, numKvHeads, headDim } = config;
  const { sharedPages } = device.variant;
  const most = sharedPages ? ATTENTION_TOKENS : 1;
  const pages = CONTEXT / PAGE_TOKENS;
  const units = pageUnits('f16', config);
  const bytes = pages * units * UNIT_BYTES;
  const layers = readInTurn(config, bytes);
  let made: Record<string, GPUBuffer>[] | undefined;
  /** Bindings per layer read in turn. */
  const bound = (): Record<string, GPUBuffer>[] => {
    const shared = {
      qkv: buffer('qkv', most * rowWidth(config) * 4),
      batch_table: buffer('batch table', most * 16),
      pages: buffer('pages', pages * 16),
      rope: buffer('rope', CONTEXT * headDim * 4),
      y: buffer('y', most * numHeads * headDim * 4),
      probes: buffer('probes', PROBES * numHeads * probeFloats(headDim) * 4),
      partial_outputs: buffer('partial outputs', Math.max(most, pages) * numHeads * partialFloats(headDim) * 4),
    };
    const { queue } = device.gpuDevice;
    const table = Array.from({ length: pages }, (_, i) => pageEntry(i * units, 'f16', PAGE_TOKENS, i * PAGE_TOKENS));
    queue.writeBuffer(shared.pages, 0, Uint32Array.from(table.flat()));
    return Array.from({ length: layers }, () => ({ ...shared, kv: buffer('kv', bytes) }));
  };
  const form = { allF16: true, stores: storesTokens(device, config) };
  const shape = `${numHeads} / ${numKvHeads} × ${headDim}`;
  const tuningCase = (
    name: string,
    kind: 'decode' | 'prefill',
    shareOf: Share,
    candidates: readonly Candidate[],
  ): TuningCase => ({
    name: `${name} ${shape}`,
    candidates,
    kernel: () => attentionKernels(device, config, form)[kind],
    make() {
      made ??= bound();
      const kernel = attentionKernels(device, config, form)[kind];
      const operations = made.map((one) => createOperation(device, kernel, one));
      let next = 0;
      let shown = 0;
      return (recorder, share) => {
        const { tokens, length, groupsOf } = shareOf(share);
        const split = kernel.split({ tokens, length });
        if (share !== shown) device.gpuDevice.queue.writeBuffer(made![0]!['batch_table']!, 0, endOf(tokens, length));
        shown = share;
        const operation = operations[next++ % operations.length]!;
        recorder.run(operation, groupsOf(operation.groups({ tokens, splits: split.splits })), {
          ...split,
          tokens,
          slotPages: pages,
          firstToken: 0,
        });
      };
    },
  });
  if (!sharedPages) return [tuningCase('attention', 'decode', whole, ATTENTION_ALONE)];
  return [
    tuningCase('attention-decode', 'decode', ofOne(config), ATTENTION_DECODE),
    tuningCase('attention-prefill', 'prefill', ofMany(config), ATTENTION_PREFILL),
  ];
}

/** A share of the work: its queries, the tokens they attend to, and the workgroups to dispatch. */
type Share = (share: number) => { tokens: number; length: number; groupsOf: (groups: Groups) => Groups };

const whole: Share = () => ({ tokens: 1, length: CONTEXT, groupsOf: (groups) => groups });

// A share of decode runs fewer KV heads, since fewer pages would favour other candidates.
const ofOne =
  ({ numKvHeads }: ModelConfig): Share =>
  (share) => {
    const heads = Math.max(1, Math.round(share * numKvHeads));
    return { tokens: 1, length: CONTEXT, groupsOf: ([x, y, z]) => [(x / numKvHeads) * heads, y, z] };
  };

/** A share of prefill has whole tiles of every candidate, since a half-empty tile costs as much, and at least two, to keep cores busy. */
const ofMany =
  ({ numHeads, numKvHeads }: ModelConfig): Share =>
  (share) => {
    const tileTokens = MOST_TILE_ROWS / (numHeads / numKvHeads);
    const tiles = Math.max(2, Math.floor((share * ATTENTION_TOKENS) / tileTokens));
    const tokens = Math.min(Math.floor(tiles * tileTokens), ATTENTION_TOKENS);
    const seen = (share * numKvHeads * ATTENTION_TOKENS ** 2) / 2 / tokens; // per token, in all heads
    const heads = Math.min(Math.max(Math.round(seen / (ATTENTION_TOKENS - tokens / 2)), 1), numKvHeads);
    const length = Math.max(tokens, Math.min(Math.ceil(seen / heads + tokens / 2), ATTENTION_TOKENS));
    return { tokens, length, groupsOf: ([x, y]) => [x, y, heads] };
  };

/** Batch table of the last `tokens` of `length` tokens. */
function endOf(tokens: number, length: number): Uint32Array<ArrayBuffer> {
  const page = Math.ceil(length / PAGE_TOKENS) - 1;
  return batchTable(
    Array.from({ length: tokens }, (_, i) => ({ place: i, position: length - tokens + i, firstPage: 0, page })),
  );
}

/** Candidates for linears and norms in decode: one invocation per row, or several. */
export const DECODE_CANDIDATES: readonly Candidate[] = [
  { rowWorkgroup: 8, lanes: 1 },
  ...[
    { decodeWorkgroup: 256, decodeLanes: 32, decodeRows: 4 },
    { decodeWorkgroup: 256, decodeLanes: 64, decodeRows: 2 },
    { decodeWorkgroup: 128, decodeLanes: 32, decodeRows: 4 },
    { decodeWorkgroup: 128, decodeLanes: 16, decodeRows: 2 },
    { decodeWorkgroup: 64, decodeLanes: 16, decodeRows: 4 },
    { decodeWorkgroup: 64, decodeLanes: 16, decodeRows: 2 },
  ].map((shape) => ({ rowWorkgroup: 32, lanes: 32, decodeSubgroups: true, ...shape })),
  {
    ...{ rowWorkgroup: 32, lanes: 32, decodeSubgroups: false },
    ...{ decodeWorkgroup: 256, decodeLanes: 32, decodeRows: 4 },
  },
];
/** Candidates for linears in prefill: in registers, or in tiles of 32 or 64 rows. */
export const PREFILL_CANDIDATES: readonly Candidate[] = [
  { prefillWorkgroup: 8, tileRows: 0, roundsInputs: false },
  { prefillWorkgroup: 256, tileRows: 64, roundsInputs: false },
  { prefillWorkgroup: 256, tileRows: 32, roundsInputs: false },
  { prefillWorkgroup: 128, tileRows: 64, roundsInputs: false },
  { prefillWorkgroup: 128, tileRows: 32, roundsInputs: false },
];
/** `fast`: kernels that round inputs to 8 bits may be chosen. */
export type Precision = 'exact' | 'fast';

/** One more candidate, with rounded inputs, if the user prefers speed; tiles for types that it does not know. */
const FAST_PREFILL: Candidate = { prefillWorkgroup: 256, tileRows: 64, roundsInputs: true };

/** Whether only software adapters may choose it: a row per invocation needs more registers than a GPU has. */
const isForSoftware = ({ lanes, tileRows }: Candidate): boolean => lanes === 1 || tileRows === 0;

/** A share of the work has a multiple of these rows. */
const TILE_ROWS = 64;
/** Tokens of a timed prefill. */
const PREFILL_TOKENS = 64;

/**
 * Tuning cases of a model's main kernels at its shapes: gate and up (for all linears) in decode and prefill, and attention.
 * `release` destroys their buffers.
 */
export function kernelCandidates(
  device: Device,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  precision: Precision = 'exact',
): { tuningCases: TuningCase[]; release: () => void } {
  const { hiddenSize, experts } = config;
  const isFast = precision === 'fast' && device.features.has('packed_4x8_integer_dot_product');
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
  const linear = (kind: 'decode' | 'prefill', tokens: number, candidates: readonly Candidate[]): TuningCase => ({
    name: `linear-${kind} ${type} ${rows} × ${hiddenSize}`,
    candidates: device.deviceClass === 'gpu' ? candidates.filter((each) => !isForSoftware(each)) : candidates,
    kernel: () => (kind === 'decode' ? decodeKernel : prefillKernel)(device, { type, columns: hiddenSize }),
    make() {
      while (matrices.length < count) matrices.push(blankMatrix(device, type, rows, hiddenSize));
      const made = matrices.map((matrix) => new Linear(device, matrix, { x, y, kind, mostTokens: tokens }));
      let next = 0;
      return (recorder, share) => {
        const place = next++ % made.length;
        for (const slice of matrices[place]!.slices) slice.rows = Math.ceil((share * rows) / TILE_ROWS) * TILE_ROWS;
        made[place]!.record(recorder, { kind, tokens });
      };
    },
  });
  return {
    tuningCases: [
      linear('decode', 1, DECODE_CANDIDATES),
      linear('prefill', PREFILL_TOKENS, [...PREFILL_CANDIDATES, ...(isFast ? [FAST_PREFILL] : [])]),
      ...attentionCandidates(device, config, buffer),
    ],
    release() {
      for (const matrix of matrices) destroyMatrix(device, matrix);
      for (const one of made) device.buffers.destroy(one);
    },
  };
}
