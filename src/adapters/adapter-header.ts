import { ChunkwiseError, type ErrorCode } from '../errors/chunkwise-error.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { GgufMetadata } from '../weights/gguf/gguf-metadata.ts';
import { type GgufFile, readGguf } from '../weights/gguf/gguf-reader.ts';
import { refusePickle } from '../weights/open-model-file.ts';
import { readSafetensors } from '../weights/safetensors/safetensors-reader.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import {
  type AdapterConfig,
  type DecisionTemperatures,
  INVOCATION_FIELD,
  parseAdapterConfig,
  isTokens,
  MAX_RANK,
  NO_TOKENS,
} from './adapter-config.ts';
import { ARCHITECTURES } from '../architectures/registry.ts';
import { LINEAR_NAMES } from '../architectures/linears.ts';
import { ggufName, type ModulePlace, transformersName } from './module-names.ts';
import { parseGgufName, parseTransformersName } from './module-places.ts';

/** A PEFT directory's two files, or a GGUF LoRA file. */
export type AdapterSource = { config: ByteSource; weights: ByteSource } | { gguf: ByteSource };

/** File tensors of the two factors of one linear's ΔW = scale · B · A. */
export interface FactorPair extends ModulePlace {
  /** `[rank, inFeatures]` */
  a: TensorInfo;
  /** `[outFeatures, rank]` */
  b: TensorInfo;
  rank: number;
  scale: number;
}

/**
 * Invocation tokens of an activated adapter (aLoRA): the base runs alone up to their last occurrence in a text, and the
 * adapter from there on; without an occurrence the adapter does not run.
 */
export interface Invocation {
  tokens: readonly number[];
  /** Source of the tokens, for errors. */
  file: string;
  field: string;
}

/** An adapter's names, shapes and settings, without its tensors' values. */
export interface AdapterHeader {
  format: 'peft' | 'gguf';
  /** Name in errors. */
  file: string;
  /** The adapter's default; modules may differ. */
  rank: number;
  alpha: number;
  baseModel?: string;
  /** GGUF only: the base's `general.architecture`. */
  architecture?: string;
  /** Activated adapters only. */
  invocation?: Invocation;
  pairs: readonly FactorPair[];
  /** PEFT only. */
  decisionTemperatures?: DecisionTemperatures | undefined;
  /** PEFT only: whether the config targets this module. */
  isTargeted?: (place: ModulePlace) => boolean;
}

const MAX_CONFIG_BYTES = 2 ** 20;
const GGUF_INVOCATION = 'adapter.alora.invocation_tokens';
/** Known keys of GGUF adapters; the last two describe its purpose. */
const GGUF_KEYS = [
  'adapter.type',
  'adapter.lora.alpha',
  GGUF_INVOCATION,
  'adapter.lora.task_name',
  'adapter.lora.prompt_prefix',
];

/**
 * Reads an adapter's settings and its tensors' names and shapes, which must form complete pairs of the configured ranks.
 * Errors: `bad_file`, and `unsupported` for settings that this runtime does not support, naming the field or tensor.
 */
export async function readAdapterHeader(source: AdapterSource): Promise<AdapterHeader> {
  if (!('gguf' in source)) return peftHeader(source.config, source.weights);
  return ggufHeader(await readGguf(source.gguf).catch((error: unknown) => refusePickle(source.gguf, 'adapter', error)));
}

async function peftHeader(configSource: ByteSource, weights: ByteSource): Promise<AdapterHeader> {
  const config = parseAdapterConfig(await readText(configSource), configSource.name);
  const { invocationTokens } = config;
  const { tensors } = await readSafetensors(weights).catch((error: unknown) => refusePickle(weights, 'adapter', error));
  const pairs = pairUp(weights.name, tensors, {
    prefix: 'base_model.model.',
    suffixes: ['.lora_A.weight', '.lora_B.weight'],
    parse: parseTransformersName,
    format: transformersName,
  }).map((pair) => withConfig(config, pair));
  return {
    format: 'peft',
    file: weights.name,
    rank: config.rank,
    alpha: config.alpha,
    baseModel: config.baseModel,
    invocation: invocationTokens && { tokens: invocationTokens, file: configSource.name, field: INVOCATION_FIELD },
    pairs,
    decisionTemperatures: config.decisionTemperatures,
    isTargeted: (place) => config.isTargeted(transformersName(place)),
  };
}

async function readText(source: ByteSource): Promise<string> {
  if (source.size > MAX_CONFIG_BYTES) {
    const reason = `${source.size} bytes; at most ${MAX_CONFIG_BYTES} are read of a config`;
    throw new ChunkwiseError('bad_file', { file: source.name, reason });
  }
  return new TextDecoder().decode(await source.read(0, source.size));
}

function withConfig(config: AdapterConfig, pair: Pair): FactorPair {
  const name = transformersName(pair);
  if (!config.isTargeted(name)) fail(pair.a, 'is of a module that the config does not target');
  const rank = config.rankOf(name);
  if (rank !== pair.rank) fail(pair.a, `its rank is ${pair.rank}, but the config calls for ${rank}`);
  return { ...pair, scale: config.scaleOf(name) };
}

/** Keys and the scale's rule as in llama.cpp (src/llama-adapter.cpp, llama_adapter_lora_weight::get_scale). */
function ggufHeader({ metadata, tensors }: GgufFile): AdapterHeader {
  const { file } = metadata;
  const refuse = (field: string, reason: string, code: ErrorCode = 'bad_file'): never => {
    throw new ChunkwiseError(code, { file, field, reason });
  };
  if (metadata.optionalString('general.type') !== 'adapter') refuse('general.type', 'is not "adapter"');
  if (metadata.string('adapter.type') !== 'lora') refuse('adapter.type', 'is not "lora"', 'unsupported');
  const unknown = metadata.keys.find((key) => key.startsWith('adapter.') && !GGUF_KEYS.includes(key));
  if (unknown !== undefined)
    refuse(unknown, 'is not known to this version, and may change what the adapter computes', 'unsupported');
  const alpha = metadata.optionalNumber('adapter.lora.alpha') ?? 0;
  if (!Number.isFinite(alpha)) refuse('adapter.lora.alpha', `must be a finite number, not ${alpha}`);
  const { isFused } = ARCHITECTURES.get(metadata.optionalString('general.architecture') ?? '') ?? {};
  const pairs = pairUp(file, tensors, {
    prefix: '',
    suffixes: ['.weight.lora_a', '.weight.lora_b'],
    parse: (name) => parseGgufName(name, isFused),
    format: ggufName,
  });
  return {
    format: 'gguf',
    file,
    rank: Math.max(...pairs.map(({ rank }) => rank)),
    alpha,
    baseModel: metadata.optionalString('general.base_model.0.name'),
    architecture: metadata.string('general.architecture'),
    invocation: ggufInvocation(metadata),
    // A missing alpha, or 0, means a scale of 1.
    pairs: pairs.map((pair) => ({ ...pair, scale: alpha === 0 ? 1 : alpha / pair.rank })),
  };
}

function ggufInvocation(metadata: GgufMetadata): Invocation | undefined {
  if (!metadata.has(GGUF_INVOCATION)) return undefined;
  const { file } = metadata;
  const tokens = [...metadata.numbers(GGUF_INVOCATION)];
  if (!isTokens(tokens)) throw new ChunkwiseError('bad_file', { file, field: GGUF_INVOCATION, reason: NO_TOKENS });
  return { tokens, file, field: GGUF_INVOCATION };
}

type Pair = Omit<FactorPair, 'scale'>;

interface Naming {
  prefix: string;
  /** Suffixes of A and of B. */
  suffixes: readonly [string, string];
  parse: (name: string) => ModulePlace | undefined;
  format: (place: ModulePlace) => string;
}

/** Pairs up all tensors, in the model's order. Every tensor must belong to a pair. */
function pairUp(file: string, tensors: readonly TensorInfo[], naming: Naming): Pair[] {
  const { prefix, suffixes, parse, format } = naming;
  const found = new Map<string, { place: ModulePlace; factors: (TensorInfo | undefined)[] }>();
  for (const tensor of tensors) {
    const factor = suffixes.findIndex((suffix) => tensor.name.endsWith(suffix));
    const end = tensor.name.length - (suffixes[factor]?.length ?? 0);
    const place = tensor.name.startsWith(prefix) ? parse(tensor.name.slice(prefix.length, end)) : undefined;
    if (factor < 0 || !place) return fail(tensor, unexpected(tensor.name), 'unsupported');
    const [first] = found.values();
    if (first && first.place.root !== place.root)
      return fail(tensor, 'names its layers in another way than the tensors before it');
    const entry = found.get(format(place)) ?? { place, factors: [] };
    entry.factors[factor] = tensor;
    found.set(format(place), entry);
  }
  if (found.size === 0) throw new ChunkwiseError('bad_file', { file, field: 'tensors', reason: 'there are none' });
  return [...found.values()]
    .map(({ place, factors: [a, b] }) => {
      const missing = prefix + format(place) + suffixes[a ? 1 : 0];
      if (a && b) return checkPair(place, a, b);
      throw new ChunkwiseError('bad_file', { file, field: missing, reason: 'the tensor is missing' });
    })
    .sort((x, y) => x.layer - y.layer || LINEAR_NAMES.indexOf(x.linear) - LINEAR_NAMES.indexOf(y.linear));
}

function unexpected(name: string): string {
  const embedding = /lora_embedding|embed_tokens|token_embd|trainable_tokens/;
  if (embedding.test(name)) return 'adapters of embeddings are not supported';
  if (name.includes('lora_magnitude_vector')) return 'DoRA is not supported';
  return 'is not a factor of a linear that this runtime adapts';
}

function checkPair(place: ModulePlace, a: TensorInfo, b: TensorInfo): Pair {
  for (const tensor of [a, b]) {
    if (tensor.shape.length !== 2) fail(tensor, `its shape is [${tensor.shape.join(', ')}], not that of a matrix`);
    if (tensor.type !== 'F32' && tensor.type !== 'F16' && tensor.type !== 'BF16') {
      fail(tensor, `is in ${tensor.type}; F32, F16 and BF16 are read`, 'unsupported');
    }
  }
  const [rank = 0, inFeatures = 0] = a.shape;
  const [outFeatures = 0, rankOfB = 0] = b.shape;
  if (rank < 1 || rank > MAX_RANK) fail(a, `its rank is ${rank}; 1 to ${MAX_RANK} are supported`);
  if (rankOfB !== rank) fail(b, `its rank is ${rankOfB}, but that of ${a.name} is ${rank}`);
  if (inFeatures === 0) fail(a, 'has no columns');
  if (outFeatures === 0) fail(b, 'has no rows');
  return { ...place, a, b, rank };
}

function fail(tensor: TensorInfo, reason: string, code: ErrorCode = 'bad_file'): never {
  throw new ChunkwiseError(code, { file: tensor.source.name, field: tensor.name.slice(0, 200), reason });
}
