import { readFile } from 'node:fs/promises';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** A text file. Errors: `bad_file`. */
export function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ChunkwiseError('bad_file', { file: path, reason: `cannot be read: ${String(cause)}` }, { cause });
  });
}
