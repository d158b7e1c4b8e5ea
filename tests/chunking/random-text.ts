import type { Random } from '../support/random.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** Invented words, each used occasionally. */
export function randomWords(random: Random, count: number): string[] {
  return Array.from({ length: count }, () =>
    Array.from({ length: 2 + random.below(7) }, () => LETTERS[random.below(LETTERS.length)]!).join(''),
  );
}

/** Sentences of these words, with occasional numbers, line breaks and code blocks. */
export function randomText(random: Random, words: readonly string[], sentences: number): string {
  let text = '';
  for (let i = 0; i < sentences; i++) {
    // The square makes some words frequent.
    const pick = () => words[Math.floor(words.length * random.next() ** 2)]!;
    text += Array.from({ length: 3 + random.below(20) }, pick).join(' ');
    if (random.below(6) === 0) text += ` ${random.below(100_000)}`;
    text += ['. ', '! ', '.\n', '.\n\n', '.\n```\ncode\n```\n'][random.below(5)]!;
  }
  return text;
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
