import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { pickleError } from '../errors/pickle-error.ts';
import type { HubFile, HubId, HubRepo } from './hub-api.ts';

/** Files of a safetensors model besides its weights. */
const MODEL_TEXTS = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'generation_config.json',
  'chat_template.jinja',
  'modules.json',
  'sentence_bert_config.json',
];
/** Files in sentence-transformers' own folders. */
const MODULE_FILES = /^(?:1_Pooling\/config\.json|\d_Dense\/(?:config\.json|model\.safetensors))$/;
const INDEX = 'model.safetensors.index.json';
const ADAPTER_FILES = ['adapter_config.json', 'adapter_model.safetensors'] as const;
/** Files that make a function of an adapter; the first that is there counts. */
export const FUNCTION_FILES = ['function.yaml', 'io.yaml'] as const;
const PICKLED_ADAPTER = 'adapter_model.bin';
/** Also matches shards. */
const PICKLED_MODEL = /^pytorch_model.*\.bin$/;

/** Supported weight types in file names; floats last, because they are largest. */
const QUANTIZED =
  /[-._](Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|Q2_K(_S)?|Q3_K(_[SML])?|Q4_K(_[SM])?|Q5_K(_[SM])?|Q6_K|IQ4_(NL|XS)|TQ[12]_0|MXFP4|Q1_0)(?=[-.])/i;
const FLOAT = /[-._](BF16|F16|FP16|F32)(?=[-.])/i;
const SAFETENSORS_SHARD = /^model-\d{5}-of-\d{5}\.safetensors$/;
const SHARD = /-(\d{5})-of-\d{5}(?=\.gguf$)/;

/**
 * The files of a model in a repository: those that belong to the file in `id`; else the largest quantized GGUF of at
 * most `budgetBytes`, or the smallest one if none fits; else safetensors and the files beside them. Throws
 * `bad_request` if there is no such file, `unsupported` if there are only pickles.
 */
export function pickModelFiles(id: HubId, repo: HubRepo, budgetBytes: number): HubFile[] {
  if (id.file !== undefined) {
    const named = findFile(id, repo, id.file);
    return named.path.endsWith('.safetensors') ? safetensorsFiles(id, repo, named) : shardsOf(named, repo);
  }
  const first = ({ path }: HubFile): boolean => (SHARD.exec(path)?.[1] ?? '00001') === '00001';
  const models = repo.files.filter(
    (file) => /\.gguf$/i.test(file.path) && !/mmproj|imatrix/i.test(file.path) && first(file),
  );
  const candidates = [QUANTIZED, FLOAT, /./]
    .map((type) => models.filter(({ path }) => type.test(path)))
    .find((found) => found.length > 0);
  if (candidates === undefined) return safetensorsFiles(id, repo);
  const sized = candidates.map((file) => shardsOf(file, repo)).map((files) => ({ files, bytes: bytesOf(files) }));
  sized.sort((a, b) => a.bytes - b.bytes);
  return (sized.findLast(({ bytes }) => bytes <= budgetBytes) ?? sized[0])?.files ?? [];
}

/**
 * The two files of a PEFT adapter, in the repository or in the folder that `id.file` names, and the file of its function
 * if there is one. Throws `bad_request` if one of the two is missing, `unsupported` if the weights are a pickle.
 */
export function pickAdapterFiles(
  id: HubId,
  repo: HubRepo,
): { config: HubFile; weights: HubFile; definition: HubFile | undefined } {
  const folder = id.file === undefined ? '' : id.file.replace(/\/*$/, '/');
  const find = (name: string): HubFile | undefined => repo.files.find(({ path }) => path === folder + name);
  if (find(PICKLED_ADAPTER) && !find(ADAPTER_FILES[1]))
    throw pickleError(`${id.repo}/${folder}${PICKLED_ADAPTER}`, 'adapter');
  const [config, weights] = ADAPTER_FILES.map((name) => findFile(id, repo, folder + name)) as [HubFile, HubFile];
  return { config, weights, definition: FUNCTION_FILES.map(find).find((file) => file) };
}

function safetensorsFiles(id: HubId, repo: HubRepo, named?: HubFile): HubFile[] {
  const inRoot = repo.files.filter(({ path }) => !path.includes('/'));
  const single =
    (named && !SAFETENSORS_SHARD.test(named.path) ? named : undefined) ??
    inRoot.find(({ path }) => path === 'model.safetensors');
  const shards = inRoot.filter(({ path }) => SAFETENSORS_SHARD.test(path) || path === INDEX);
  const weights = single ? [single] : shards;
  if (weights.length === 0) {
    const pickle = inRoot.find(({ path }) => PICKLED_MODEL.test(path));
    if (pickle) throw pickleError(`${id.repo}/${pickle.path}`, 'model');
    throw new ChunkwiseError('bad_request', {
      file: id.repo,
      field: 'model',
      reason: 'holds neither a GGUF nor a safetensors model',
    });
  }
  return [...repo.files.filter(({ path }) => MODEL_TEXTS.includes(path) || MODULE_FILES.test(path)), ...weights];
}

function shardsOf(file: HubFile, repo: HubRepo): HubFile[] {
  if (!SHARD.test(file.path)) return [file];
  const family = file.path.replace(SHARD, '');
  return repo.files
    .filter(({ path }) => SHARD.test(path) && path.replace(SHARD, '') === family)
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function findFile({ repo: name, revision }: HubId, repo: HubRepo, path: string): HubFile {
  const file = repo.files.find((each) => each.path === path);
  if (file) return file;
  const reason = `the repository has no ${path} at ${revision}`;
  throw new ChunkwiseError('bad_request', { file: name, field: 'model', reason });
}

const bytesOf = (files: readonly HubFile[]): number => files.reduce((sum, { size }) => sum + size, 0);
