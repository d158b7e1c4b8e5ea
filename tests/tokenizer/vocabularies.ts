import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { writeGguf } from '../support/models/gguf-writer.ts';
import type { MetadataValue } from '../support/models/gguf-writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'vocabulary-'));
process.once('exit', () => rmSync(folder, { recursive: true })); // files of one process share it

/** A GGUF file without tensors, for both implementations: its path, and our tokenizer read back from its bytes. */
export async function vocabularyFile(
  name: string,
  tokenizer: Record<string, MetadataValue>,
): Promise<{ path: string; tokenizer: Tokenizer }> {
  const metadata = {
    'general.architecture': 'llama',
    'llama.block_count': 1,
    'llama.context_length': 128,
    'llama.embedding_length': 32,
    'llama.feed_forward_length': 32,
    'llama.attention.head_count': 1,
    'llama.attention.layer_norm_rms_epsilon': { type: 'f32', value: 1e-5 } as const,
    ...tokenizer,
  };
  const bytes = writeGguf({ metadata, tensors: [] });
  const path = join(folder, `${name}.gguf`);
  writeFileSync(path, bytes);
  const file = await readGguf(new BytesSource(`${name}.gguf`, bytes));
  return { path, tokenizer: createTokenizer(readTokenizerMetadata(file)) };
}
