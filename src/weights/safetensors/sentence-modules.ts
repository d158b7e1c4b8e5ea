import type { EncoderConfig, Pooling } from '../../config/encoder-config.ts';
import type { ByteSource } from '../byte-source.ts';
import { DENSE, POOLINGS } from '../encoder-config.ts';
import { GgufMetadata } from '../gguf/gguf-metadata.ts';
import type { ModelHeader } from '../model-header.ts';
import { type LoadedType, quantized } from '../quantize.ts';
import type { TensorInfo } from '../tensor-info.ts';
import { JsonFields } from './json-file.ts';
import { readSafetensors } from './safetensors-reader.ts';

/** sentence-transformers' files of a model. */
export interface SentenceFiles {
  config: JsonFields;
  /** Entries of `modules.json`, and the pooling's `config.json`. */
  modules: readonly JsonFields[] | undefined;
  pooling: JsonFields | undefined;
  /** `sentence_bert_config.json` */
  sentences: JsonFields | undefined;
}

type Pooled = Pick<EncoderConfig, 'pooling' | 'isNormalized'>;

/** sentence-transformers' names of poolings, as flags `pooling_mode_NAME` or as one `pooling_mode`. */
const POOLING_NAMES: Readonly<Record<string, Pooling>> = {
  mean_tokens: 'mean',
  mean: 'mean',
  cls_token: 'cls',
  cls: 'cls',
  lasttoken: 'last',
};

/**
 * Reads the modules after the model, which its weights do not show; without them vectors would silently differ.
 * `mayHaveDense`: two dense layers may come between pooling and normalisation. Throws `bad_file`, `unsupported`.
 */
export function readModules(
  { config, modules, pooling }: SentenceFiles,
  mayHaveDense = false,
): Pooled & { hasDense: boolean } {
  if (!modules) return config.fail('modules.json', 'this file of the model, which names its pooling, is missing');
  const kinds = modules.map((module) => module.string('type').split('.').at(-1) ?? '');
  const dense = mayHaveDense ? ['Dense', 'Dense'] : [];
  const known = ['Transformer', 'Pooling', ...dense, 'Normalize'];
  const isKnown = [[], dense].some((between) =>
    ['', ',Normalize'].some((end) => kinds.join() === `${['Transformer', 'Pooling', ...between].join()}${end}`),
  );
  if (!isKnown) {
    const reason = `modules ${kinds.join(', ').slice(0, 200)} are not supported; ${known.join(', ')} are, Normalize optional${mayHaveDense ? ', Dense twice or never' : ''}`;
    return modules[0]?.fail('type', reason, 'unsupported') ?? config.fail('modules.json', 'it is empty');
  }
  if (!pooling)
    return config.fail('1_Pooling/config.json', 'this file of the model, which modules.json names, is missing');
  return {
    pooling: readPooling(pooling),
    isNormalized: kinds.includes('Normalize'),
    hasDense: kinds.includes('Dense'),
  };
}

function readPooling(config: JsonFields): Pooling {
  const flags = Object.entries(config.values).filter(
    ([key, value]) => key.startsWith('pooling_mode_') && value === true,
  );
  const modes = config.has('pooling_mode')
    ? [config.string('pooling_mode')]
    : flags.map(([key]) => key.slice('pooling_mode_'.length));
  const [mode = 'none', ...others] = modes;
  const found = Object.hasOwn(POOLING_NAMES, mode) ? POOLING_NAMES[mode] : undefined;
  if (found && others.length === 0) return found;
  return config.fail(
    'pooling_mode',
    `${modes.join(' and ').slice(0, 80) || mode} is not supported; mean, cls or lasttoken is`,
    'unsupported',
  );
}

/** Longest intended text in tokens, if the files state it. */
export function readUsualLength({ sentences, config }: SentenceFiles, contextLength: number): number | undefined {
  const length = sentences?.optional('max_seq_length', (key) =>
    sentences.size(key, config.number('max_position_embeddings')),
  );
  return length && Math.min(length, contextLength); // some files count positions that no text can use
}

/** Last folder in a file's path, without the query. */
const folderOf = ({ name }: ByteSource): string =>
  name
    .replace(/[?#].*$/, '')
    .split(/[/\\]/)
    .at(-2) ?? '';

/** Whether a file is in a dense layer's folder, independent of `modules.json`. */
export const isOfDense = (source: ByteSource): boolean => /^\d_Dense$/.test(folderOf(source));

/** Folders of the dense layers, in order. */
const densePaths = (modules: readonly JsonFields[] = []): string[] =>
  modules.filter((module) => module.string('type').endsWith('.Dense')).map((module) => module.string('path'));

/** sentence-transformers' defaults of a dense layer's `config.json` (base/modules/dense.py). */
const DENSE_DEFAULTS = {
  activation_function: 'torch.nn.modules.activation.Tanh',
  bias: true,
  use_residual: false,
  module_input_name: 'sentence_embedding',
  module_output_name: null,
};
const DENSE_WANTED = {
  activation_function: ['torch.nn.modules.linear.Identity'],
  bias: [false],
  use_residual: [false],
  module_input_name: ['sentence_embedding'],
  module_output_name: [null, 'sentence_embedding'],
};

type Modules = ReturnType<typeof readModules> & { dense: readonly TensorInfo[] };

/**
 * Reads the modules after an encoder made of decoder layers, with the weights of its dense layers. Throws `bad_file`,
 * `unsupported`.
 */
export const readDenseModules = async (files: SentenceFiles, sources: readonly ByteSource[]): Promise<Modules> => ({
  ...readModules(files, true),
  dense: await readDense(files, sources),
});

/** Adds these modules to the encoder's header. */
export function withModules(
  header: ModelHeader,
  files: SentenceFiles,
  { pooling, dense, ...said }: Modules,
  type: LoadedType | undefined,
): ModelHeader {
  const { metadata } = header;
  const values = new Map(metadata.keys.map((key) => [key, metadata.get(key)!] as const));
  const key = (name: string): string => `${metadata.string('general.architecture')}.${name}`;
  values.set(key('pooling_type'), [...POOLINGS].find(([, one]) => one === pooling)![0]);
  const tensors = [...header.tensors, ...dense.map((tensor) => (type ? quantized(tensor, type) : tensor))];
  const contextLength = metadata.number(key('context_length'));
  const config = files.config.withDefaults({ max_position_embeddings: contextLength });
  return {
    ...header,
    ...said,
    metadata: new GgufMetadata(metadata.file, values),
    tensors,
    usualLength: readUsualLength({ ...files, config }, contextLength),
  };
}

/** Weights of both dense layers under llama.cpp's names. */
async function readDense({ config, modules }: SentenceFiles, sources: readonly ByteSource[]): Promise<TensorInfo[]> {
  const tensors: TensorInfo[] = [];
  for (const [i, path] of densePaths(modules).entries()) {
    const file = (name: string): ByteSource => {
      const found = sources.find(
        (source) => isOfDense(source) && folderOf(source) === path && source.name.replace(/[?#].*$/, '').endsWith(name),
      );
      return (
        found ??
        config.fail(
          `${path}/${name}`,
          'this file of the model, whose folder modules.json names, is missing (files of dense layers need the folder in their names)',
        )
      );
    };
    const fields = (await JsonFields.read(file('config.json'))).withDefaults(DENSE_DEFAULTS);
    for (const [key, wanted] of Object.entries(DENSE_WANTED)) {
      if (!wanted.some((one) => one === fields.values[key]))
        fields.fail(
          key,
          `${JSON.stringify(fields.values[key])?.slice(0, 60)} is not supported; ${String(wanted[0])} is`,
          'unsupported',
        );
    }
    const found = (await readSafetensors(file('model.safetensors'))).tensors;
    const [weight] = found;
    const sizes = ['out_features', 'in_features'].map((key) => fields.number(key));
    if (found.length !== 1 || weight?.name !== 'linear.weight')
      fields.fail(
        'model.safetensors',
        `tensors ${found
          .map(({ name }) => name)
          .join(', ')
          .slice(0, 200)} are not supported; linear.weight alone is`,
        'unsupported',
      );
    if (weight!.shape.join() !== sizes.join())
      fields.fail(
        'out_features',
        `the layer is [${sizes.join(', ')}], but its weights are [${weight!.shape.join(', ')}]`,
      );
    tensors.push({ ...weight!, name: DENSE[i] ?? path });
  }
  return tensors;
}
