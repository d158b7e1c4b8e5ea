import { configOfLayer, type ModelConfig } from '../../config/model-config.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ErrorCode } from '../../errors/chunkwise-error.ts';
import { readFloats } from '../../weights/float-tensor.ts';
import { deinterleaveRows, orderedRows, rowOrder } from '../../weights/interleaved-rows.ts';
import { rowsOf, type TensorInfo } from '../../weights/tensor-info.ts';
import { readAdapterHeader } from './adapter-header.ts';
import type { AdapterHeader, AdapterSource, FactorPair, Invocation } from './adapter-header.ts';
import type { DecisionTemperatures } from './adapter-config.ts';
import { isOneOf, isPath } from './base-name.ts';
import { contentHash } from '../ladder/content-hash.ts';
import { architectureOf } from '../../architectures/index.ts';
import {
  FUSED,
  isRotated,
  type LinearName,
  linearShape,
  linearsOfGroup,
  placeInGroup,
} from '../../architectures/linears.ts';
import { ggufName, modulesOfLayer, tensorName, transformersName } from './module-names.ts';
import type { ModulePlace } from './module-names.ts';
import { valueColumns, valueHeadOrder, valueRows } from './value-heads.ts';

/** One linear's ΔW = scale · B · A, its rows in the model's own order, whatever the file's. */
export interface AdapterModule extends ModulePlace {
  /** As in the base's GGUF file, without the `.weight`: `blk.3.attn_q`. */
  name: string;
  rank: number;
  inFeatures: number;
  outFeatures: number;
  scale: number;
  /** `[rank, inFeatures]` */
  a: Float32Array;
  /** `[outFeatures, rank]` */
  b: Float32Array;
}

export interface AdapterModules {
  format: 'peft' | 'gguf';
  /** That of the weights; named in errors. */
  file: string;
  /** Equal for equal modules: of the files, and of how rows were reordered for the base. */
  contentHash: string;
  /** The adapter's own; single modules may differ. */
  rank: number;
  alpha: number;
  /** Of an activated adapter. */
  invocation?: Invocation;
  decisionTemperatures?: DecisionTemperatures | undefined;
  /** By layer. */
  modules: AdapterModule[];
  /** What may be wrong and is not refused. */
  warnings: string[];
}

/** The base an adapter is read for. */
export interface AdapterBase {
  config: ModelConfig;
  /** What the base may be called (`baseNames`), to be compared with what the adapter was trained on; none: it is not known. */
  names?: readonly string[];
}

/**
 * Reads an adapter for a base. Every name and shape is checked before the first tensor is read. Throws `bad_file`, and
 * `unsupported` for what cannot be honoured, naming the field or tensor.
 */
export async function readAdapter(source: AdapterSource, base: AdapterBase): Promise<AdapterModules> {
  const header = await readAdapterHeader(source);
  checkBase(header, base.config);
  const { format, file, rank, alpha, invocation, decisionTemperatures } = header;
  const modules: AdapterModule[] = [];
  for (const pair of header.pairs.flatMap((one) => unfused(one, base.config)))
    modules.push(await readModule(header, pair, base.config));
  const warnings = nameWarnings(header, base.names ?? []);
  const hash = [await contentHash(source), ...orderOf(header, base.config)].join('-');
  return { format, file, contentHash: hash, rank, alpha, invocation, decisionTemperatures, modules, warnings };
}

/** Whether q and k rows lie in the interleaved order of GGUF files of some architectures. */
const isPermuted = ({ format }: AdapterHeader, model: ModelConfig): boolean =>
  format === 'gguf' && architectureOf(model).ropeLayout === 'interleaved'; // whatever the order of the base's own rows

/** By what the base's heads make of one file's rows different modules. */
function orderOf(header: AdapterHeader, model: ModelConfig): number[] {
  const { headDim, rotaryDim, numHeads, numKvHeads } = model;
  const permuted = isPermuted(header, model) ? [headDim] : rotaryDim === undefined ? [] : [headDim, rotaryDim];
  if (model.gatesAttention) permuted.push(numHeads, ...(valueOrder(header, model) ?? []));
  return header.pairs.some(({ fused }) => fused) ? [...permuted, numHeads, numKvHeads] : permuted;
}

/** The adapters of a group's linears that are one in the file: they share A. */
function unfused(pair: FactorPair, model: ModelConfig): FactorPair[] {
  const { fused, ...own } = pair;
  if (!fused) return [pair];
  return linearsOfGroup(FUSED[fused].group).map((linear) => {
    const b = rowsOf(pair.b, pair.b.name, placeInGroup(model, linear).outputStart, linearShape(model, linear)[0]);
    return { ...own, linear, b };
  });
}

/** The order of a delta net's value heads, where a file has them in another than the base: in PEFT's they are as in safetensors. */
const valueOrder = ({ format }: AdapterHeader, { deltaNet }: ModelConfig): number[] | undefined =>
  deltaNet && valueHeadOrder(deltaNet, format === 'gguf' ? 'tiled' : 'grouped');

/** `[rows, columns]` of a linear's outputs, rows from the order of the file to that of the kernels. */
function inOrder(
  matrix: Float32Array,
  columns: number,
  { header, model, linear }: { header: AdapterHeader; model: ModelConfig; linear: LinearName },
): Float32Array {
  const bytes = new Uint8Array(matrix.buffer, matrix.byteOffset, matrix.byteLength);
  if (isRotated(linear) && isPermuted(header, model))
    return new Float32Array(deinterleaveRows(bytes, columns * 4, model.headDim).buffer);
  const values = valueOrder(header, model);
  const order = isRotated(linear)
    ? rowOrder(model, linear)
    : model.deltaNet && values && valueRows(model.deltaNet, linear, values);
  return order ? new Float32Array(orderedRows(bytes, columns * 4, order).buffer) : matrix;
}

/**
 * Reads the factors of one linear of a checked adapter. Without a model, rows stay in the file's order. Throws
 * `bad_file` where a number is not finite.
 */
export async function readModule(header: AdapterHeader, pair: FactorPair, model?: ModelConfig): Promise<AdapterModule> {
  const { layer, linear, path, rank, scale } = pair;
  const a = await readFinite(pair.a);
  const b = await readFinite(pair.b);
  const values = linear === 'ssm_out' && model ? valueOrder(header, model) : undefined;
  return {
    layer,
    linear,
    ...(path !== undefined && { path }),
    name: ggufName(pair),
    rank,
    inFeatures: pair.a.shape[1] ?? 0,
    outFeatures: pair.b.shape[0] ?? 0,
    scale,
    a: model?.deltaNet && values ? valueColumns(a, model.deltaNet, values) : a,
    b: model ? inOrder(b, rank, { header, model, linear }) : b,
  };
}

function checkBase(header: AdapterHeader, model: ModelConfig): void {
  const { format, architecture, file, invocation, pairs, isTargeted } = header;
  if (architecture !== undefined && architecture !== model.architecture) {
    const reason = `the adapter is for ${architecture.slice(0, 40)}, but the base is ${model.architecture}`;
    throw new ChunkwiseError('unsupported', { file, field: 'general.architecture', reason });
  }
  const unknown = invocation?.tokens.find((token) => token >= model.vocabSize);
  if (invocation && unknown !== undefined) {
    const reason = `token ${unknown} is not in the base's vocabulary of ${model.vocabSize}`;
    throw new ChunkwiseError('bad_file', { file: invocation.file, field: invocation.field, reason });
  }
  const inText = (place: ModulePlace): string => transformersName({ ...place, root: undefined });
  const nameOf = format === 'gguf' ? ggufName : inText;
  for (const pair of pairs) {
    const { a, b, layer, linear, fused } = pair;
    if (layer >= model.numLayers) fail(a, `the base has ${model.numLayers} layers only`);
    const isOfBase = modulesOfLayer(model, layer).some((own) => nameOf(own) === nameOf(pair));
    if (!isOfBase)
      fail(a, `layer ${layer} of the base, a ${model.architecture} model, has no such linear`, 'unsupported');
    const [rows, columns] = linearShape(configOfLayer(model, layer), linear);
    const outputs = fused ? placeInGroup(model, linear).outputWidth : rows;
    if (a.shape[1] !== columns)
      fail(a, `takes ${a.shape[1]} features, but ${fused ?? linear} of the base has ${columns}`);
    if (b.shape[0] !== outputs)
      fail(b, `gives ${b.shape[0]} features, but ${fused ?? linear} of the base has ${outputs}`);
  }
  const found = new Set(pairs.map(inText));
  for (let layer = 0; layer < model.numLayers && isTargeted; layer++) {
    for (const own of modulesOfLayer(model, layer)) {
      const place = { ...own, root: pairs[0]?.root };
      if (!isTargeted(place) || found.has(inText(place))) continue;
      const field = tensorName('peft', place, 'a');
      throw new ChunkwiseError('bad_file', { file, field, reason: 'the config calls for this tensor; it is missing' });
    }
  }
}

function nameWarnings({ baseModel, file }: AdapterHeader, names: readonly string[]): string[] {
  if (baseModel === undefined || names.length === 0 || isPath(baseModel) || isOneOf(baseModel, names)) return [];
  return [`${file}: the adapter was trained on ${baseModel.slice(0, 200)}, but the base is ${names.join(' or ')}`];
}

async function readFinite(tensor: TensorInfo): Promise<Float32Array> {
  const values = await readFloats(tensor);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) fail(tensor, `element ${i} is ${values[i]}, which is not finite`);
  }
  return values;
}

function fail(tensor: TensorInfo, reason: string, code: ErrorCode = 'bad_file'): never {
  throw new ChunkwiseError(code, { file: tensor.source.name, field: tensor.name, reason });
}
