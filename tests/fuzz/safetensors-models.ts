import { openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { BytesSource } from '../support/bytes-source.ts';
import type { Random } from '../support/random.ts';
import { encoderFolder } from '../support/models/encoder-folder.ts';
import { modelFolder } from '../support/models/safetensors-folder.ts';
import { FILE_CODES, type FuzzCase, type FuzzKind } from './kind.ts';
import { loadModel } from './load-model.ts';
import { encode, mutateBytes, mutateJson, pick } from './mutate.ts';

type Files = Map<string, Uint8Array>;

const TYPES = [undefined, 'F16', 'Q8_0', 'Q4_1'] as const;

async function readFolder(sources: readonly BytesSource[]): Promise<Files> {
  const files = new Map<string, Uint8Array>();
  for (const source of sources) {
    if (!/^(expected|logits)\./.test(source.name)) files.set(source.name, await source.read(0, source.size));
  }
  return files;
}

async function load(files: Files, type: (typeof TYPES)[number]): Promise<void> {
  const sources = [...files].map(([name, bytes]) => new BytesSource(name, bytes));
  await loadModel(await openSafetensorsModel(sources, type));
}

const parse = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

interface Pieces {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
}

/** Cuts the SentencePiece fixture, which is only a tokenizer, to the model's vocabulary rows. */
function cutTokenizer(bytes: Uint8Array, rows: number): Uint8Array {
  const tokenizer = parse(bytes) as Pieces;
  const { vocab, merges } = tokenizer.model;
  const kept = Object.fromEntries(Object.entries(vocab).filter(([, id]) => id < rows));
  const joined = (merge: string | [string, string]): string =>
    (typeof merge === 'string' ? merge.split(' ') : merge).join('');
  const model = { ...tokenizer.model, vocab: kept, merges: merges.filter((merge) => joined(merge) in kept) };
  return encode(JSON.stringify({ ...tokenizer, model }));
}

/** A weights file with a mutated header. */
function mutateHeader(bytes: Uint8Array, random: Random): [string, Uint8Array] {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const [what, text] = mutateJson(parse(bytes.subarray(8, 8 + length)), random);
  const header = encode(text);
  const mutated = new Uint8Array(8 + header.length + bytes.length - 8 - length);
  new DataView(mutated.buffer).setBigUint64(0, BigInt(header.length), true);
  mutated.set(header, 8);
  mutated.set(bytes.subarray(8 + length), 8 + header.length);
  return [what, mutated];
}

interface Normalized {
  normalizer?: { precompiled_charsmap?: string };
}

/** Mutates Unigram's map of replaced characters, a binary format in base64. */
function mutateCharsmap(bytes: Uint8Array, random: Random): [string, Uint8Array] | undefined {
  const tokenizer = parse(bytes) as Normalized;
  const text = tokenizer.normalizer?.precompiled_charsmap;
  if (text === undefined) return undefined;
  const map = Uint8Array.from(Buffer.from(text, 'base64'));
  const [what, mutated] = mutateBytes(map, 0, map.length, random);
  const normalizer = { ...tokenizer.normalizer, precompiled_charsmap: Buffer.from(mutated).toString('base64') };
  return [`map: ${what}`, encode(JSON.stringify({ ...tokenizer, normalizer }))];
}

function mutateFile(name: string, bytes: Uint8Array, random: Random): [string, Uint8Array] {
  if (name.endsWith('.safetensors') && random.below(2) === 0) return mutateHeader(bytes, random);
  if (!name.endsWith('.json') || random.below(5) === 0) return mutateBytes(bytes, 0, bytes.length, random);
  const map = name === 'tokenizer.json' && random.below(3) === 0 ? mutateCharsmap(bytes, random) : undefined;
  if (map) return map;
  const [what, text] = mutateJson(parse(bytes), random);
  return [what, encode(text)];
}

/** Folders of transformers' models with one file damaged, missing, or with unusual values. */
export const safetensorsModels: FuzzKind = {
  codes: FILE_CODES,
  async open() {
    const folders = new Map<string, Files>();
    for (const model of [
      'llama',
      'llama3',
      'qwen2',
      'qwen3',
      'granite',
      'smollm3',
      'gemma3',
      'gemma3-images',
      'gemma4',
      'lfm2',
      'qwen35',
      'qwen3moe',
      'lfm2moe',
      'olmoe',
    ])
      folders.set(model, await readFolder(modelFolder(model)));
    for (const model of ['bert', 'cross', 'xlmr', 'xlmr-cross', 'gemma'] as const)
      folders.set(model, await readFolder(encoderFolder({}, model)));
    const pieces = await readFolder(modelFolder('llama2'));
    pieces.set('tokenizer.json', cutTokenizer(pieces.get('tokenizer.json')!, 273));
    folders.set('llama2', new Map([...folders.get('llama')!, ...pieces]));
    for (const files of folders.values()) for (const type of TYPES) await load(files, type);
    return (random): FuzzCase => {
      const [model, files] = pick([...folders], random);
      // Prefers the files that are read first and matter most.
      const name = pick(random.below(3) === 0 ? [...files.keys()] : ['config.json', 'tokenizer.json'], random);
      const type = pick(TYPES, random);
      const isMissing = random.below(30) === 0;
      const [what, bytes] = mutateFile(name, files.get(name)!, random);
      const mutated = new Map(files).set(name, bytes);
      if (isMissing) mutated.delete(name);
      const size = [...mutated.values()].reduce((sum, { length }) => sum + length, 0);
      return {
        what: `${model}, ${name}: ${isMissing ? 'missing' : what}`,
        bytes: size,
        run: () => load(mutated, type),
      };
    };
  },
};
