import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { floatToHalf, halfToFloat } from '../weights/float-tensor.ts';
import type { AdapterModule, AdapterModules } from './adapter-file.ts';
import { ggufName, type ModulePlace, tensorName } from './module-names.ts';
import { addScaled, combine, dot, orthonormalizeRows, rowsOf, smallSvd, TOLERANCE } from './linear-algebra.ts';

/** One linear's rank ladder, as stored on the GPU: ΔW = B · A, with the adapter's scale split between both. */
export interface LadderModule extends ModulePlace {
  /** Name in the base's GGUF file, without `.weight`: `blk.3.attn_q`. */
  name: string;
  /** Numerical rank, at most the file's; 0 if the module was not trained. */
  rank: number;
  inFeatures: number;
  outFeatures: number;
  /** `[rank, inFeatures]`, bits of binary16. */
  a: Uint16Array;
  /** `[rank, outFeatures]`, bits of binary16. */
  bTransposed: Uint16Array;
  /** `[rank]`, descending; of ΔW · diag(inputRms) in a weighted ladder. */
  singularValues: Float64Array;
}

export interface AdapterLadder {
  /** `AdapterModules.contentHash` of its source. */
  contentHash: string;
  /** The adapter's modules, in order of layers. */
  modules: LadderModule[];
  /** Normalized squared error of the adapter's delta in binary16, assuming independent rounding errors. */
  halfError: number;
  /** Warnings of the adapter and of the ladder. */
  warnings: string[];
}

/** RMS of each module's input channels `[inFeatures]`, by module name (`blk.3.attn_q`). */
export type InputRms = ReadonlyMap<string, Float32Array>;

export interface LadderOptions {
  /** Optimizes ladders for inputs of these channel RMS values; default: equal ones. */
  inputRms?: InputRms;
}

/** Builds or loads ladders: synchronously, in a worker, or from a cache. Errors: those of `buildAdapterLadder`. */
export type LadderBuilder = (adapter: AdapterModules, options?: LadderOptions) => Promise<AdapterLadder>;

/** A larger error in binary16 gives a warning. */
const MOST_HALF_ERROR = 1e-6;

/**
 * Builds the rank ladders of an adapter's modules. Errors: `unsupported` for a delta too large for binary16, naming the
 * module's tensor.
 */
export function buildAdapterLadder(adapter: AdapterModules, { inputRms }: LadderOptions = {}): AdapterLadder {
  const built = adapter.modules.map((module) => {
    const rms = inputRms?.get(module.name);
    // Singular values of different norms are not comparable.
    if (inputRms && !rms) throw new Error(`no input RMS of ${module.name}`);
    return buildModule(adapter, module, rms);
  });
  const largest = Math.max(0, ...built.map(({ module }) => module.singularValues[0] ?? 0));
  let lost = 0;
  let total = 0;
  for (const { module, errors } of built) {
    errors.forEach((error, k) => {
      const part = (module.singularValues[k]! / largest) ** 2;
      lost += part * error;
      total += part;
    });
  }
  const modules = built.map(({ module }) => module);
  return asLadder(adapter, modules, total === 0 ? 0 : lost / total);
}

/** Completes a built or cached ladder with its adapter's data. */
export function asLadder(adapter: AdapterModules, modules: LadderModule[], halfError: number): AdapterLadder {
  const { contentHash, file, warnings } = adapter;
  if (halfError <= MOST_HALF_ERROR) return { contentHash, modules, halfError, warnings };
  const percent = (Math.sqrt(halfError) * 100).toPrecision(2);
  const warning = `${file}: in half precision the adapter's delta is off by ${percent} %`;
  return { contentHash, modules, halfError, warnings: [...warnings, warning] };
}

function buildModule(
  { file, format }: AdapterModules,
  { layer, linear, path, a, b, rank: fileRank, scale, inFeatures, outFeatures }: AdapterModule,
  inputRms: Float32Array | undefined,
): { module: LadderModule; errors: number[] } {
  const ladder = buildLadder(a, b, fileRank, scale, inputRms);
  const { rank, singularValues } = ladder;
  const halvesOfA = new Uint16Array(rank * inFeatures);
  const halvesOfB = new Uint16Array(rank * outFeatures);
  const errors = ladder.a.map((row, k) => {
    const error = roundComponent(
      row,
      ladder.bTransposed[k]!,
      halvesOfA.subarray(k * inFeatures, (k + 1) * inFeatures),
      halvesOfB.subarray(k * outFeatures, (k + 1) * outFeatures),
    );
    if (error !== undefined) return error;
    const reason = `with its scale of ${scale}, its delta is too large for half precision (norm ${singularValues[k]})`;
    throw new ChunkwiseError('unsupported', { file, field: tensorName(format, { layer, linear, path }, 'b'), reason });
  });
  return {
    module: {
      ...{ name: ggufName({ layer, linear }), layer, linear, rank, inFeatures, outFeatures },
      ...{ a: halvesOfA, bTransposed: halvesOfB, singularValues },
    },
    errors,
  };
}

/**
 * A module's ΔW = B · A, refactored so that the first k components are its best rank-k approximation. The adapter's scale is
 * in the factors, its square root in each.
 */
export interface RankLadder {
  /** Numerical rank; the file's may be higher. */
  rank: number;
  /** `[rank, inFeatures]` */
  a: Float64Array[];
  /** `[rank, outFeatures]` */
  bTransposed: Float64Array[];
  /** `[rank]`, descending, above 0; with `inputRms`, of ΔW · diag(inputRms). */
  singularValues: Float64Array;
}

/** Least weight of a channel relative to the strongest, so that none is ignored. */
const LEAST_RMS = 1e-6;

/**
 * Builds the ladder of `scale · b · a`, with `a [rank, inFeatures]` and `b [outFeatures, rank]`: QR of both thin
 * factors and an SVD of the core (Eckart and Young, 1936). With `inputRms [inFeatures]`, the module's input by channel,
 * "best" is in the norm of ΔW · diag(inputRms): the expected output error for uncorrelated channels. The full product does
 * not change.
 */
export function buildLadder(
  a: Float32Array,
  b: Float32Array,
  rank: number,
  scale: number,
  inputRms?: ArrayLike<number>,
): RankLadder {
  const inFeatures = a.length / rank;
  const weights = inputRms && inputWeights(inputRms, inFeatures);
  const rowsOfA = rowsOf(Float64Array.from(a), rank);
  for (const row of weights ? rowsOfA : []) row.forEach((value, i) => (row[i] = value * weights![i]!));
  const columnsOfB = rowsOf(transposed(b, b.length / rank, rank), rank);
  balance(rowsOfA, columnsOfB);
  const qrA = orthonormalizeRows(rowsOfA);
  const qrB = orthonormalizeRows(columnsOfB);
  // b · a = Q_Bᵀ · core · Q_A; the scale is applied last.
  const { singularValues, left, right } = smallSvd(coreOf(qrB.lower, qrA.lower, qrB.rank, qrA.rank));
  const largest = singularValues[0] ?? 0;
  const size = Math.abs(scale);
  const actual = singularValues.filter((value) => value > largest * TOLERANCE && value * size > 0).length;
  const values = singularValues.slice(0, actual);
  const rows = combine(right.slice(0, actual), qrA.orthonormal);
  const columns = combine(left.slice(0, actual), qrB.orthonormal);
  values.forEach((value, k) => {
    const root = Math.sqrt(value) * Math.sqrt(size);
    const row = rows[k]!;
    for (let i = 0; i < row.length; i++) row[i]! *= root / value / (weights?.[i] ?? 1);
    const column = columns[k]!;
    for (let i = 0; i < column.length; i++) column[i]! *= root * Math.sign(scale);
  });
  return { rank: actual, a: rows, bTransposed: columns, singularValues: values.map((value) => value * size) };
}

/** `rms` with a floor; all 1 if the input was always zero. */
function inputWeights(rms: ArrayLike<number>, inFeatures: number): Float64Array {
  const weights = Float64Array.from(rms);
  if (weights.length !== inFeatures || !weights.every((value) => value >= 0 && value < Infinity)) {
    throw new Error(`input RMS: ${weights.length} values for ${inFeatures} channels, or not all finite`);
  }
  const floor = LEAST_RMS * weights.reduce((max, value) => Math.max(max, value), 0);
  return floor === 0 ? weights.fill(1) : weights.map((value) => Math.max(value, floor));
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(matrix.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = matrix[i * columns + j]!;
  }
  return result;
}

/** Gives both factors of a component about equal norms; otherwise a small factor of a large partner would count as a rounding error. */
function balance(rowsOfA: readonly Float64Array[], columnsOfB: readonly Float64Array[]): void {
  rowsOfA.forEach((row, k) => {
    const column = columnsOfB[k]!;
    const ratio = Math.sqrt(dot(column, column) / dot(row, row));
    if (!(ratio > 0 && ratio < Infinity)) return; // a factor is zero
    const factor = 2 ** Math.round(Math.log2(ratio) / 2);
    for (let i = 0; i < row.length; i++) row[i]! *= factor;
    for (let i = 0; i < column.length; i++) column[i]! /= factor;
  });
}

/** lowerBᵀ · lowerA, `[rank of B, rank of A]`. */
function coreOf(
  lowerB: readonly Float64Array[],
  lowerA: readonly Float64Array[],
  rows: number,
  columns: number,
): Float64Array[] {
  const core = Array.from({ length: rows }, () => new Float64Array(columns));
  lowerB.forEach((weights, k) => {
    for (let i = 0; i < rows; i++) if (weights[i] !== 0) addScaled(core[i]!, lowerA[k]!, weights[i]!);
  });
  return core;
}

const LARGEST_HALF = 65_504;

/**
 * Rounds the factors of one component, `x` and `y`, into `xHalves` and `yHalves` (binary16 bits). First balances their
 * largest elements by a power of two, which keeps both farthest from the limits of binary16. Returns the relative squared
 * error of rounding, or undefined if the factors do not fit.
 */
function roundComponent(
  x: Float64Array,
  y: Float64Array,
  xHalves: Uint16Array,
  yHalves: Uint16Array,
): number | undefined {
  const [largestX, largestY] = [largestOf(x), largestOf(y)];
  const factor = 2 ** Math.round(Math.log2(largestY / largestX) / 2);
  if (!(largestX * factor <= LARGEST_HALF && largestY / factor <= LARGEST_HALF)) return undefined;
  return roundAll(x, factor, xHalves) + roundAll(y, 1 / factor, yHalves);
}

/** Largest magnitude; NaN if any element is. */
function largestOf(values: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  return largest;
}

/** Returns the squared error of `factor · values` in binary16, relative to their square. */
function roundAll(values: Float64Array, factor: number, halves: Uint16Array): number {
  let error = 0;
  let square = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]! * factor;
    const half = floatToHalf(value);
    halves[i] = half;
    error += (halfToFloat(half) - value) ** 2;
    square += value ** 2;
  }
  return square === 0 ? 1 : error / square;
}
