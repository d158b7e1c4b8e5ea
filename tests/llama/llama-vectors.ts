import { writeFileSync } from 'node:fs';
import { scaled } from '../support/encoder-under-test.ts';
import { temporaryFile } from '../support/temporary-file.ts';
import { embed, ensureLlama } from './llama.ts';

/** Normalized vectors of token lists that llama.cpp computes from an encoder's GGUF file. */
export async function llamaVectors(file: Uint8Array, inputs: readonly number[][]): Promise<Float32Array[]> {
  await ensureLlama();
  const path = temporaryFile();
  writeFileSync(path, file);
  return (await embed(path, inputs)).map((vector) => scaled(Float32Array.from(vector)));
}
