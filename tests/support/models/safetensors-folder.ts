import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BytesSource } from '../bytes-source.ts';

/** Written by tools/fixtures/safetensors_models.py. */
const FOLDER = join(import.meta.dirname, '../../fixtures/safetensors');

/** A model's files by name. `change` returns other bytes for a file, or none to omit it. */
export function modelFolder(
  model: string,
  change: Record<string, (text: string) => string | undefined> = {},
): BytesSource[] {
  return readdirSync(join(FOLDER, model)).flatMap((name) => {
    // Not a Buffer, whose slices share its memory.
    const bytes = Uint8Array.from(readFileSync(join(FOLDER, model, name)));
    const changed = change[name];
    if (!changed) return [new BytesSource(name, bytes)];
    const text = changed(new TextDecoder().decode(bytes));
    return text === undefined ? [] : [new BytesSource(name, new TextEncoder().encode(text))];
  });
}

export interface Expected {
  text: string;
  ids: number[];
  chat: { role: string; content: string }[];
  chatText: string;
}

export const expectedOf = (model: string): Expected =>
  JSON.parse(readFileSync(join(FOLDER, model, 'expected.json'), 'utf8')) as Expected;

/** Logits of the last tokens, `[tokens][vocabSize]`. */
export function expectedLogits(model: string, tokens = 4): Float32Array[] {
  const all = new Float32Array(Uint8Array.from(readFileSync(join(FOLDER, model, 'logits.f32'))).buffer);
  const vocabSize = all.length / tokens;
  return Array.from({ length: tokens }, (_, t) => all.subarray(t * vocabSize, (t + 1) * vocabSize));
}
