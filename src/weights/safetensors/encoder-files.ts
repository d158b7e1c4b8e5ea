import {
  EMBEDDING_PATHS,
  ENCODER_LINEARS,
  ENCODER_NORMS,
  ENCODER_TYPES,
  type EncoderType,
  POOLER,
} from '../../architectures/encoder.ts';
import type { Pooling } from '../../config/encoder-config.ts';
import { isOnGpu, POOLINGS } from '../encoder-config.ts';
import { GgufMetadata, type GgufValue } from '../gguf/gguf-metadata.ts';
import { MOST } from '../model-config.ts';
import type { ModelHeader } from '../model-header.ts';
import { type LoadedType, quantized } from '../quantize.ts';
import { rowsOf, type TensorInfo } from '../tensor-info.ts';
import { checkVocabSize } from './hf-config.ts';
import type { JsonFields } from './json-file.ts';
import { readModules, readUsualLength, type SentenceFiles } from './sentence-modules.ts';
import { isUnigram, unigramMetadata, wordPieceMetadata } from './hf-encoder-tokenizers.ts';

/** Files of a BERT or XLM-RoBERTa model of transformers, with sentence-transformers' files. */
export interface EncoderFiles extends SentenceFiles {
  tokenizer: JsonFields;
  tensors: readonly TensorInfo[];
}

/** transformers' defaults for missing keys (configuration_bert.py, configuration_xlm_roberta.py). */
const DEFAULTS = {
  hidden_act: 'gelu',
  layer_norm_eps: 1e-12,
  position_embedding_type: 'absolute',
  max_position_embeddings: 512,
  pad_token_id: 1,
};

const SIZES = {
  block_count: 'num_hidden_layers',
  embedding_length: 'hidden_size',
  feed_forward_length: 'intermediate_size',
  'attention.head_count': 'num_attention_heads',
} as const;

/** Converts the model's header to GGUF's names. Throws `bad_file`, `unsupported`, naming file and field. */
export function encoderHeader(files: EncoderFiles, type: LoadedType | undefined): ModelHeader {
  const config = files.config.withDefaults(DEFAULTS);
  checkConfig(config);
  const encoder = ENCODER_TYPES.get(config.string('model_type'))!; // namesEncoder checked it
  const { architecture } = encoder;
  const values = new Map<string, GgufValue>([['general.architecture', architecture]]);
  const name =
    config.optional('_name_or_path', (key) => config.string(key)) || /([^/]+)\/resolve\//.exec(config.file)?.[1];
  if (name) values.set('general.name', name);
  for (const [key, field] of Object.entries(SIZES))
    values.set(`${architecture}.${key}`, config.size(field, MOST[key as keyof typeof MOST]));
  values.set(`${architecture}.attention.layer_norm_epsilon`, config.number('layer_norm_eps'));
  const positions = config.size('max_position_embeddings', MOST.context_length);
  const firstPosition = readFirstPosition(config, encoder, positions);
  values.set(`${architecture}.context_length`, positions - firstPosition);
  const { pooling, isNormalized } = isCrossEncoder(config, encoder) ? readClassifier(files) : readModules(files);
  values.set(`${architecture}.pooling_type`, [...POOLINGS].find(([, one]) => one === pooling)![0]);
  const nameOf = namer(encoder, pooling);
  const tensors = files.tensors.flatMap((tensor): TensorInfo[] => {
    const own = nameOf(tensor.name);
    if (own === undefined) return [];
    const isPositions = own === 'position_embd.weight' && tensor.shape[0] === positions;
    const named = isPositions
      ? rowsOf(tensor, own, firstPosition, positions - firstPosition)
      : { ...tensor, name: own };
    if (tensor.shape.length === 1 || !isOnGpu(own)) return [quantized(named, 'F32')];
    return [type ? quantized(named, type) : named];
  });
  checkVocabSize(
    config,
    files.tensors.find((tensor) => nameOf(tensor.name) === 'token_embd.weight'),
  );
  const tokenizerMetadata = isUnigram(files.tokenizer) ? unigramMetadata : wordPieceMetadata;
  for (const [key, value] of tokenizerMetadata(files.tokenizer, config, pooling === 'rank')) values.set(key, value);
  return {
    metadata: new GgufMetadata(config.file, values),
    tensors,
    isNormalized,
    usualLength: readUsualLength(files, positions - firstPosition),
  };
}

function checkConfig(config: JsonFields): void {
  const wanted = { hidden_act: 'gelu', position_embedding_type: 'absolute' } as const;
  for (const [field, value] of Object.entries(wanted)) {
    if (config.string(field) !== value)
      config.fail(
        field,
        `${JSON.stringify(config.string(field).slice(0, 40))} is not supported; ${value} is`,
        'unsupported',
      );
  }
  for (const field of ['is_decoder', 'add_cross_attention']) {
    if (config.values[field] === true) config.fail(field, 'is not supported; only encoders are', 'unsupported');
  }
  if (config.has('quantization_config'))
    config.fail('quantization_config', 'quantized safetensors are not read; F32, F16 and BF16 are', 'unsupported');
}

/** First position: RoBERTa's positions start after the padding token's id. */
function readFirstPosition(config: JsonFields, { startsBehindPadding }: EncoderType, positions: number): number {
  if (!startsBehindPadding) return 0;
  const first = config.number('pad_token_id') + 1;
  return Number.isInteger(first) && first >= 1 && first < positions
    ? first
    : config.fail('pad_token_id', `is ${first - 1}, and the model's ${positions} positions start after it`);
}

const isCrossEncoder = (config: JsonFields, { crossEncoder }: EncoderType): boolean =>
  config.optional('architectures', (key) => config.list(key))?.includes(crossEncoder) ?? false;

/** A cross-encoder needs no modules: its weights hold everything. */
function readClassifier({
  config,
  modules,
  pooling,
}: EncoderFiles): Pick<ReturnType<typeof readModules>, 'pooling' | 'isNormalized'> {
  if (modules || pooling) config.fail('modules.json', 'modules after a cross-encoder are not supported', 'unsupported');
  return { pooling: 'rank', isNormalized: false };
}

const OUTER = new Map(Object.entries(EMBEDDING_PATHS).map(([name, path]) => [path as string, name]));
const PARTS = new Map([
  ...Object.entries(ENCODER_LINEARS).map(([name, { path }]) => [path as string, name] as const),
  ...Object.entries(ENCODER_NORMS).map(([name, path]) => [path as string, name] as const),
]);

/**
 * GGUF's name of a tensor; an unknown tensor keeps its own name, which is rejected later; undefined for one that an
 * encoder does not use.
 */
function namer({ prefix, classifier }: EncoderType, pooling: Pooling): (whole: string) => string | undefined {
  const classifiers = new Map(Object.entries(classifier).map(([name, path]) => [path, name]));
  return (whole) => {
    const name = whole.startsWith(prefix) ? whole.slice(prefix.length) : whole;
    if (name === 'embeddings.position_ids') return undefined; // a buffer that older versions saved
    const [, head = '', headEnd] = /^(pooler\.dense|classifier(?:\.\w+)?)\.(weight|bias)$/.exec(name) ?? [];
    if (pooling === 'rank' && classifiers.has(head)) return `${classifiers.get(head)}.${headEnd}`;
    if (head === POOLER) return undefined; // trained on top of the first token
    const [, outer = '', outerEnd] = /^embeddings\.(.+)\.(weight|bias)$/.exec(name) ?? [];
    if (OUTER.has(outer)) return `${OUTER.get(outer)}.${outerEnd}`;
    const [, layer, part = '', end] = /^encoder\.layer\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
    return PARTS.has(part) ? `blk.${layer}.${PARTS.get(part)}.${end}` : whole;
  };
}
