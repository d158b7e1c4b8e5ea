import {
  FUSED,
  isRotated,
  type LinearName,
  linearShape,
  linearsOfGroup,
  placeInGroup,
} from '../architectures/linears.ts';
import { architectureOf } from '../architectures/registry.ts';
import { configOfLayer, type DeltaNet, type ModelConfig } from '../config/model-config.ts';
import { ChunkwiseError, type ErrorCode } from '../errors/chunkwise-error.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { hexDigest } from '../util/digest.ts';
import { readFloats } from '../weights/float-tensor.ts';
import type { GgufMetadata } from '../weights/gguf/gguf-metadata.ts';
import { deinterleaveRows, orderedRows, rowOrder } from '../weights/interleaved-rows.ts';
import { rowsOf, type TensorInfo } from '../weights/tensor-info.ts';
import type { DecisionTemperatures } from './adapter-config.ts';
import {
  type AdapterHeader,
  type AdapterSource,
  type FactorPair,
  type Invocation,
  readAdapterHeader,
} from './adapter-header.ts';
import { ggufName, type ModulePlace, tensorName, transformersName } from './module-names.ts';
import { modulesOfLayer } from './module-places.ts';

/** One linear's ΔW = scale · B · A, with rows in the model's order. */
export interface AdapterModule extends ModulePlace {
  /** Name in the base's GGUF file, without `.weight`: `blk.3.attn_q`. */
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
  /** Name of the weights' file, for errors. */
  file: string;
  /** Hash of the files and of the row order for the base; equal for equal modules. */
  contentHash: string;
  /** The adapter's default; modules may differ. */
  rank: number;
  alpha: number;
  /** Activated adapters only. */
  invocation?: Invocation;
  decisionTemperatures?: DecisionTemperatures | undefined;
  /** In order of layers. */
  modules: AdapterModule[];
  /** Possible problems that are not errors. */
  warnings: string[];
}

/** The base model of an adapter. */
interface AdapterBase {
  config: ModelConfig;
  /** Possible names of the base (`baseNames`), compared with the adapter's base name; none: unknown. */
  names?: readonly string[];
}

/**
 * Reads an adapter for a base model. Checks all names and shapes before it reads tensors. Errors: `bad_file`, and
 * `unsupported` for settings that this runtime does not support, naming the field or tensor.
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

/** Whether the file has q and k rows in the interleaved order of some architectures' GGUF files. */
const isPermuted = ({ format }: AdapterHeader, model: ModelConfig): boolean =>
  format === 'gguf' && architectureOf(model).ropeLayout === 'interleaved'; // independent of the base file's row order

/** The base's sizes that determine the row order; part of the content hash. */
function orderOf(header: AdapterHeader, model: ModelConfig): number[] {
  const { headDim, rotaryDim, numHeads, numKvHeads } = model;
  const permuted = isPermuted(header, model) ? [headDim] : rotaryDim === undefined ? [] : [headDim, rotaryDim];
  if (model.gatesAttention) permuted.push(numHeads, ...(valueOrder(header, model) ?? []));
  return header.pairs.some(({ fused }) => fused) ? [...permuted, numHeads, numKvHeads] : permuted;
}

/** Splits a fused pair into the group's linears, which share A. */
function unfused(pair: FactorPair, model: ModelConfig): FactorPair[] {
  const { fused, ...own } = pair;
  if (!fused) return [pair];
  return linearsOfGroup(FUSED[fused].group).map((linear) => {
    const b = rowsOf(pair.b, pair.b.name, placeInGroup(model, linear).outputStart, linearShape(model, linear)[0]);
    return { ...own, linear, b };
  });
}

/** Order of a delta net's value heads, if the file's differs from the base's; PEFT files use the order of safetensors. */
const valueOrder = ({ format }: AdapterHeader, { deltaNet }: ModelConfig): number[] | undefined =>
  deltaNet && valueHeadOrder(deltaNet, format === 'gguf' ? 'tiled' : 'grouped');

/** Reorders a linear's output rows `[rows, columns]` from the file's order to the kernels'. */
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
 * Reads one linear's factors of a checked adapter. Without a model, rows stay in the file's order. Errors: `bad_file` for a
 * number that is not finite.
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

/** For each value head of the base, its index in the adapter file; undefined if the orders are equal. */
function valueHeadOrder(
  { numKeyHeads, numValueHeads, valueHeads }: DeltaNet,
  ofFile: DeltaNet['valueHeads'],
): number[] | undefined {
  const each = numValueHeads / numKeyHeads;
  if (ofFile === valueHeads || each === 1 || numKeyHeads === 1) return undefined;
  const [across, down] = valueHeads === 'tiled' ? [numKeyHeads, each] : [each, numKeyHeads];
  return Array.from({ length: numValueHeads }, (_, head) => (head % across) * down + Math.floor(head / across));
}

/** Row order of a linear's B for that order of value heads; undefined if it has no value heads. */
function valueRows(
  { numKeyHeads, numValueHeads, headDim }: DeltaNet,
  linear: LinearName,
  order: readonly number[],
): number[] | undefined {
  const keys = linear === 'attn_qkv' ? 2 * numKeyHeads * headDim : 0;
  const size = linear === 'ssm_beta' || linear === 'ssm_alpha' ? 1 : headDim;
  if (!['attn_qkv', 'attn_gate', 'ssm_beta', 'ssm_alpha'].includes(linear)) return undefined;
  const rows = Array.from(
    { length: numValueHeads * size },
    (_, row) => keys + order[Math.floor(row / size)]! * size + (row % size),
  );
  return [...Array.from({ length: keys }, (_, row) => row), ...rows];
}

/** Reorders the columns of A `[rank, numValueHeads headDim]` to that order of value heads. */
function valueColumns(a: Float32Array, { numValueHeads, headDim }: DeltaNet, order: readonly number[]): Float32Array {
  const width = numValueHeads * headDim;
  return a.map((_, at) => {
    const column = at % width;
    return a[at - column + order[Math.floor(column / headDim)]! * headDim + (column % headDim)]!;
  });
}

/** Hash of an adapter's content, settings included: the SHA-256 of its files' SHA-256, in hexadecimal. */
export async function contentHash(source: AdapterSource): Promise<string> {
  const files = 'gguf' in source ? [source.gguf] : [source.config, source.weights];
  return hexDigest(await Promise.all(files.map(digest)));
}

async function digest(file: ByteSource): Promise<ArrayBuffer> {
  return crypto.subtle.digest('SHA-256', (await file.read(0, file.size)).slice());
}

/** File name suffixes with the quantization: `.Q4_1.gguf`, `-Q4_K_M-00001-of-00002.gguf`, `-f16.gguf`. */
const FILE_SUFFIX = /(?:[.-](?:I?Q\d[a-z0-9_]*|B?F16|F32))?(?:-\d{5}-of-\d{5})?\.gguf$/i;
/** Generic names of models without one. */
const NAMELESS = /^((ggml-)?model|weights|base)?$/i;
/** Repository name in a URL of the Hugging Face hub, and in the cache of its Python library. */
const HUB_PLACES = [/\/([^/]+)\/resolve\//, /models--[^/\\]+--([^/\\]+)[/\\]snapshots[/\\]/];

/**
 * Possible names of a base model, from its metadata and its file's name or URL. For safetensors, metadata come from
 * `config.json`, whose folder's name counts too, if any other name is known. Empty if nothing identifies the model: a folder
 * or path alone may have any name.
 */
export function baseNames(metadata: GgufMetadata): string[] {
  const file = metadata.file.replace(/[?#].*$/, '');
  const key = (name: string): string | undefined => {
    const value = metadata.get(`general.${name}`);
    return typeof value === 'string' ? value : undefined;
  };
  const isGguf = !file.endsWith('.json');
  const fileName = lastPart(file).replace(FILE_SUFFIX, '');
  const parts = [key('basename'), key('size_label'), key('finetune')].filter((part) => part !== undefined);
  const hub = HUB_PLACES.map((place) => place.exec(file)?.[1]).find((name) => name !== undefined);
  const telling = [isGguf ? fileName : hub, key('name'), parts.join('-'), key('base_model.0.name')];
  const names = telling.filter((name) => name !== undefined && !NAMELESS.test(name)) as string[];
  if (names.every(isPath)) return [];
  const folder = isGguf || hub !== undefined ? '' : lastPart(file.replace(/[^/\\]*$/, ''));
  return [...new Set([...names, folder])].filter((name) => name !== '');
}

/** Whether a name is a local path. */
const isPath = (name: string): boolean => /^([/\\~.]|[a-z]:[/\\])/i.test(name);

/** Whether `baseModel` (a name or path) is one of `names`: their last parts have equal letters and digits. */
export const isOneOf = (baseModel: string, names: readonly string[]): boolean =>
  names.some((name) => plain(name) === plain(baseModel));

const lastPart = (path: string): string =>
  path
    .replace(/[/\\]+$/, '')
    .split(/[/\\]/)
    .at(-1) ?? '';
/** Suffixes of the same weights in other packages: transformers, GGUF, quantized for training. */
const PACKAGED = /(-(unsloth-)?bnb-[48]bit|-hf|-gguf)$/;
const plain = (name: string): string =>
  lastPart(name)
    .toLowerCase()
    .replace(PACKAGED, '')
    .replace(/[^a-z0-9]/g, '');
