import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTokenizer, type Tokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { GgufMetadata } from '../../../src/weights/gguf/gguf-metadata.ts';
import { JsonFields } from '../../../src/weights/safetensors/json-file.ts';
import {
  isUnigram,
  unigramMetadata,
  wordPieceMetadata,
} from '../../../src/weights/safetensors/hf-encoder-tokenizers.ts';
import { readTokenizerMetadata, SPACES } from '../../../src/weights/tokenizer-metadata.ts';
import { openModelFile } from '../../../src/weights/open-model-file.ts';
import { BytesSource } from '../bytes-source.ts';
import { f32, writeGguf } from './gguf-writer.ts';

/** Written by tools/fixtures/encoders.py. */
export const FIXTURES = join(import.meta.dirname, '../../fixtures/encoders');

const bytesOf = (...path: string[]): Uint8Array<ArrayBuffer> => Uint8Array.from(readFileSync(join(FIXTURES, ...path))); // not a Buffer, whose slices share its memory

/** A JSON file of the fixtures. */
export const encoderFixture = (...path: string[]): unknown => JSON.parse(new TextDecoder().decode(bytesOf(...path)));

/** By file name: a function that changes the values of a JSON file, or undefined to omit the file. */
export type Change = Record<string, ((values: Record<string, unknown>) => unknown) | undefined>;

/** Fixtures of embedding models (`Embedding`) and of cross-encoders (`Scoring`). */
export type Embedding = 'bert' | 'xlmr' | 'gemma';
export type Scoring = 'cross' | 'xlmr-cross';

/** The files of a tiny encoder by name. */
export function encoderFolder(change: Change = {}, model: Embedding | Scoring = 'bert'): BytesSource[] {
  const names = readdirSync(join(FIXTURES, model), { recursive: true, encoding: 'utf8' }).filter(
    (name) => /\.(json|safetensors)$/.test(name) && name !== 'expected.json',
  );
  return names.flatMap((name) => {
    const bytes = bytesOf(model, name);
    if (!(name in change)) return [new BytesSource(name, bytes)];
    const changed = change[name]?.(JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>);
    return changed === undefined ? [] : [new BytesSource(name, new TextEncoder().encode(JSON.stringify(changed)))];
  });
}

/** An encoder as a GGUF file with changed metadata. */
export async function encoderGguf(
  folder: readonly BytesSource[],
  change: Record<string, string | number | boolean | undefined> = {},
): Promise<BytesSource[]> {
  const { metadata, tensors } = await openModelFile(folder);
  const values: Record<string, unknown> = Object.fromEntries(metadata.keys.map((key) => [key, metadata.get(key)]));
  const architecture = metadata.string('general.architecture');
  for (const name of [
    'attention.layer_norm_epsilon',
    'attention.layer_norm_rms_epsilon',
    'rope.freq_base',
    'rope.freq_base_swa',
  ]) {
    const key = `${architecture}.${name}`;
    if (metadata.has(key)) values[key] = f32(metadata.number(key));
  }
  delete values[SPACES];
  if (metadata.has('tokenizer.ggml.scores'))
    values['tokenizer.ggml.scores'] = Float32Array.from(metadata.numbers('tokenizer.ggml.scores'));
  values[`${architecture}.attention.causal`] = false;
  const shapeOf = (name: string): readonly number[] | undefined =>
    tensors.find((tensor) => tensor.name === name)?.shape;
  values['tokenizer.ggml.token_type_count'] = shapeOf('token_types.weight')?.[0] ?? 1;
  // llama.cpp needs the sizes of dense layers. It derives the windowed layers and the attention scale itself.
  for (const name of ['dense_2', 'dense_3']) {
    const [outputs, inputs] = shapeOf(`${name}.weight`) ?? [];
    if (outputs !== undefined)
      Object.assign(values, {
        [`${architecture}.${name}_feat_out`]: outputs,
        [`${architecture}.${name}_feat_in`]: inputs,
      });
  }
  for (const name of ['attention.sliding_window_pattern', 'attention.scale']) delete values[`${architecture}.${name}`];
  // As in llama.cpp's files, only the vocabulary shows that the tokenizer ignores case.
  for (const key of ['lowercase', 'strip_accents']) delete values[`tokenizer.ggml.${key}`];
  values['tokenizer.ggml.tokens'] = metadata
    .strings('tokenizer.ggml.tokens')
    .map((token) => (token === '▁The' ? '▁[unused0]' : token));
  for (const [key, value] of Object.entries(change)) {
    if (value === undefined) delete values[key];
    else values[key] = value;
  }
  const written = await Promise.all(
    tensors.map(async ({ name, shape, type, source, offset, bytes }) => ({
      name,
      shape,
      type,
      bytes: await source.read(offset, bytes),
    })),
  );
  return [
    new BytesSource(
      'encoder.gguf',
      writeGguf({ metadata: values as Parameters<typeof writeGguf>[0]['metadata'], tensors: written }),
    ),
  ];
}

interface ExpectedTexts {
  texts: string[];
  ids: number[][];
}

export const expectedTexts = (model: Embedding = 'bert'): ExpectedTexts =>
  encoderFixture(model, 'expected.json') as ExpectedTexts;

interface ExpectedScores {
  queries: string[];
  documents: string[];
  /** `[queries][documents]` */
  scores: number[][];
}

export const expectedScores = (model: Scoring = 'cross'): ExpectedScores =>
  encoderFixture(model, 'expected.json') as ExpectedScores;

/** The vectors of sentence-transformers for all texts at once. */
export function expectedVectors(model: Embedding): Float32Array[] {
  const all = new Float32Array(bytesOf(model, 'vectors.f32').buffer);
  const { length } = expectedTexts(model).texts;
  return Array.from({ length }, (_, i) => all.subarray((i * all.length) / length, ((i + 1) * all.length) / length));
}

/** The final hidden states of each text's tokens. */
export function expectedStates(model: Embedding = 'bert'): Float32Array[][] {
  const all = new Float32Array(bytesOf(model, 'states.f32').buffer);
  const { ids } = expectedTexts(model);
  const width = all.length / ids.flat().length;
  let at = 0;
  return ids.map((text) => text.map(() => all.subarray(at, (at += width))));
}

/** The tokenizer of a `tokenizer.json` with WordPiece or Unigram. */
export async function encoderTokenizer(text: string): Promise<Tokenizer> {
  const { model } = JSON.parse(text) as { model: { vocab: object } };
  const fields = (name: string, json: string): Promise<JsonFields> =>
    JsonFields.read(new BytesSource(name, new TextEncoder().encode(json)));
  const config = await fields('config.json', JSON.stringify({ vocab_size: Object.keys(model.vocab).length }));
  const tokenizer = await fields('tokenizer.json', text);
  const values = (isUnigram(tokenizer) ? unigramMetadata : wordPieceMetadata)(tokenizer, config);
  return createTokenizer(readTokenizerMetadata({ metadata: new GgufMetadata('tokenizer.json', values) }));
}
