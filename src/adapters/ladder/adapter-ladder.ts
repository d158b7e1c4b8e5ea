import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { AdapterModule, AdapterModules } from '../formats/adapter-file.ts';
import { roundComponent } from './half-factors.ts';
import type { ModulePlace } from '../formats/module-names.ts';
import { ggufName, tensorName } from '../formats/module-names.ts';
import { buildLadder } from './rank-ladder.ts';

/** One linear's ladder, as the GPU holds it: ΔW = B · A with the adapter's scale in both. */
export interface LadderModule extends ModulePlace {
  /** As in the base's GGUF file, without the `.weight`: `blk.3.attn_q`. */
  name: string;
  /** The numerical rank: 0 where nothing was trained, and never above the file's. */
  rank: number;
  inFeatures: number;
  outFeatures: number;
  /** `[rank, inFeatures]`, bits of binary16. */
  a: Uint16Array;
  /** `[rank, outFeatures]`, bits of binary16. */
  bTransposed: Uint16Array;
  /** `[rank]`, descending; of a weighted ladder, in the norm of its inputs. */
  singularValues: Float64Array;
}

export interface AdapterLadder {
  /** Of what it was built from (`AdapterModules.contentHash`). */
  contentHash: string;
  /** By layer, those of the adapter. */
  modules: LadderModule[];
  /** What binary16 loses of the adapter's delta: NMSE, as roundings add up where they are independent. */
  halfError: number;
  /** Those of the adapter, and of the ladder. */
  warnings: string[];
}

/** RMS of every module's input by channel, `[inFeatures]`, by the module's name (`blk.3.attn_q`). */
export type InputRms = ReadonlyMap<string, Float32Array>;

export interface LadderOptions {
  /** Makes ladders the best on such inputs, not on white ones. */
  inputRms?: InputRms;
}

/** How an engine comes by ladders: at once, in a worker, from a cache. Errors: those of `buildAdapterLadder`. */
export type LadderBuilder = (adapter: AdapterModules, options?: LadderOptions) => Promise<AdapterLadder>;

/** More than this lost to binary16 is worth a warning. */
const MOST_HALF_ERROR = 1e-6;

/**
 * Builds the rank ladders of an adapter's modules. Throws `unsupported` for a delta too large for binary16, naming the
 * module's tensor.
 */
export function buildAdapterLadder(adapter: AdapterModules, { inputRms }: LadderOptions = {}): AdapterLadder {
  const built = adapter.modules.map((module) => {
    const rms = inputRms?.get(module.name);
    // Singular values of two norms could not be compared.
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

/** What is known of a ladder from its adapter, beside what was computed, or kept. */
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
