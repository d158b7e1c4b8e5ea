import { Random } from './random.ts';

/** Random ids from 3 on; lower ids are control tokens in the tiny vocabularies. */
export function randomTokens(count: number, vocabSize: number, seed = 1): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => 3 + random.below(vocabSize - 3));
}
