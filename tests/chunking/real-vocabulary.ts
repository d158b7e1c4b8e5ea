import { openAsBlob } from 'node:fs';
import type { Vocabulary } from '../../src/chunking/complexity.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';

/** The default model's tokenizer. */
export const tokenizer = createTokenizer(
  readTokenizerMetadata(await readGguf(new BlobSource('SmolLM2.gguf', await openAsBlob(REAL_MODEL)))),
);

export const vocabulary: Vocabulary = { size: tokenizer.vocabSize, text: (token) => tokenizer.decode([token]) };
