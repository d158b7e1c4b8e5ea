import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BytesSource } from './bytes-source.ts';

/** Not a Buffer, whose slices share its memory. */
export const bytesOf = (path: string): Uint8Array => Uint8Array.from(readFileSync(path));

/** An adapter as PEFT saved it. */
export function peftFolder(folder: string) {
  const file = (name: string) => new BytesSource(name, bytesOf(join(folder, name)));
  return { config: file('adapter_config.json'), weights: file('adapter_model.safetensors') };
}

/** `[count][vocabSize]`, as transformers and PEFT computed them. */
export function storedLogits(path: string, count: number): Float32Array[] {
  const all = new Float32Array(bytesOf(path).buffer);
  const vocabSize = all.length / count;
  return Array.from({ length: count }, (_, t) => all.subarray(t * vocabSize, (t + 1) * vocabSize));
}
