import { readFile } from 'node:fs/promises';
import { detokenize, tokenize } from '../../../tests/llama/llama.ts';
import { MODEL } from '../engine.ts';
import type { Question } from './peer.ts';

/** The repository's longest stable text: 2,215 tokens. */
const TEXT = new URL('../../../LICENSE', import.meta.url);
/** Offset between questions: no two share a prefix, so no runtime finds one in its cache. */
const STRIDE = 11;

let text: Promise<number[]> | undefined;

/** The `index`-th question of `length` tokens. */
export async function questionOf(index: number, length: number, count: number): Promise<Question> {
  const all = await (text ??= readFile(TEXT, 'utf8').then(
    async (license) => (await tokenize(MODEL, [license]))[0] ?? [],
  ));
  const start = STRIDE * index;
  if (start + length > all.length) throw new Error(`no ${length} tokens after ${start} of ${all.length}`);
  const tokens = all.slice(start, start + length);
  const [prompt = ''] = await detokenize(MODEL, [tokens]);
  const [again = []] = await tokenize(MODEL, [prompt]);
  if (String(again) !== String(tokens))
    throw new Error(`the text from token ${start} on is not read as it was written`);
  return { text: prompt, tokens, count };
}
