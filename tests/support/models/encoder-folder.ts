import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTokenizer, type Tokenizer } from '../../../src/tokenizer/tokenizer.ts';
import { GgufMetadata } from '../../../src/weights/gguf/gguf-metadata.ts';
import { JsonFields } from '../../../src/weights/safetensors/json-file.ts';
import { wordPieceMetadata } from '../../../src/weights/safetensors/word-piece-files.ts';
import { readTokenizerMetadata } from '../../../src/weights/tokenizer-metadata.ts';
import { BytesSource } from '../bytes-source.ts';

/** Written by tools/fixtures/encoders.py. */
const FIXTURES = join(import.meta.dirname, '../../fixtures/encoders');

const bytesOf = (...path: string[]): Uint8Array<ArrayBuffer> => Uint8Array.from(readFileSync(join(FIXTURES, ...path))); // not a Buffer, whose slices share its memory

/** A JSON file of the fixtures. */
export const encoderFixture = (...path: string[]): unknown => JSON.parse(new TextDecoder().decode(bytesOf(...path)));

/** The tiny BERT's files by name; `change` gives other values for those of a JSON file, or none to leave it out. */
export function encoderFolder(change: Record<string, ((values: Record<string, unknown>) => unknown) | undefined> = {}): BytesSource[] {
  const names = readdirSync(join(FIXTURES, 'bert'), { recursive: true, encoding: 'utf8' }).filter((name) => /\.(json|safetensors)$/.test(name));
  return names.flatMap((name) => {
    const bytes = bytesOf('bert', name);
    if (!(name in change)) return [new BytesSource(name, bytes)];
    const changed = change[name]?.(JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>);
    return changed === undefined ? [] : [new BytesSource(name, new TextEncoder().encode(JSON.stringify(changed)))];
  });
}

interface ExpectedTexts {
  texts: string[];
  ids: number[][];
}

export const expectedTexts = (): ExpectedTexts => encoderFixture('bert', 'expected.json') as ExpectedTexts;

/** The last states of each text's tokens. */
export function expectedStates(): Float32Array[][] {
  const all = new Float32Array(bytesOf('bert', 'states.f32').buffer);
  const { ids } = expectedTexts();
  const width = all.length / ids.flat().length;
  let at = 0;
  return ids.map((text) => text.map(() => all.subarray(at, (at += width))));
}

/** That of a `tokenizer.json` with WordPiece. */
export async function encoderTokenizer(text: string): Promise<Tokenizer> {
  const { model } = JSON.parse(text) as { model: { vocab: object } };
  const fields = (name: string, json: string): Promise<JsonFields> => JsonFields.read(new BytesSource(name, new TextEncoder().encode(json)));
  const config = await fields('config.json', JSON.stringify({ vocab_size: Object.keys(model.vocab).length }));
  const values = wordPieceMetadata(await fields('tokenizer.json', text), config);
  return createTokenizer(readTokenizerMetadata({ metadata: new GgufMetadata('tokenizer.json', values) }));
}
