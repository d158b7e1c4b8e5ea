import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { pickleError } from '../errors/pickle-error.ts';
import type { HubFile, HubRepo } from './hub-api.ts';
import type { HubId } from './model-id.ts';

/** What of a safetensors model is read beside its weights. */
const MODEL_TEXTS = [
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'generation_config.json',
  'chat_template.jinja',
  'modules.json',
  'sentence_bert_config.json',
];
/** And what sentence-transformers has in folders of their own. */
const MODULE_FILES = /^(?:1_Pooling\/config\.json|\d_Dense\/(?:config\.json|model\.safetensors))$/;
const INDEX = 'model.safetensors.index.json';
const ADAPTER_FILES = ['adapter_config.json', 'adapter_model.safetensors'] as const;
const PICKLED_ADAPTER = 'adapter_model.bin';
/** Also of a model in several files. */
const PICKLED_MODEL = /^pytorch_model.*\.bin$/;

/** Types of weights that run here, as file names tell them; floats last, since they take most. */
const QUANTIZED =
  /[-._](Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|Q2_K(_S)?|Q3_K(_[SML])?|Q4_K(_[SM])?|Q5_K(_[SM])?|Q6_K|IQ4_(NL|XS)|TQ[12]_0|MXFP4|Q1_0)(?=[-.])/i;
const FLOAT = /[-._](BF16|F16|FP16|F32)(?=[-.])/i;
const SAFETENSORS_SHARD = /^model-\d{5}-of-\d{5}\.safetensors$/;
const SHARD = /-(\d{5})-of-\d{5}(?=\.gguf$)/;

/**
 * The files of a repository that make up a model: those of the file that `id` names; else the largest quantized GGUF of
 * at most `budgetBytes`, the smallest where none is so small; else safetensors with what belongs to them. Throws
 * `bad_request` where there is no such file, `unsupported` where there are pickles alone.
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

/** The two files of a PEFT adapter. Throws `bad_request` where one is missing, `unsupported` where its weights are a pickle. */
export function pickAdapterFiles(id: HubId, repo: HubRepo): { config: HubFile; weights: HubFile } {
  const has = (name: string): boolean => repo.files.some(({ path }) => path === name);
  if (has(PICKLED_ADAPTER) && !has(ADAPTER_FILES[1])) throw pickleError(`${id.repo}/${PICKLED_ADAPTER}`, 'adapter');
  const [config, weights] = ADAPTER_FILES.map((name) => findFile(id, repo, name)) as [HubFile, HubFile];
  return { config, weights };
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
