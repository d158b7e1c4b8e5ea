import { bootstrap, type Estimate } from '../../../cli/statistics.ts';

/** Longest compared n-grams. */
const LONGEST = 4;

/** Matching and total n-grams of a pair of texts, by length. */
interface Counts {
  matched: number[];
  all: number[];
  words: number;
  referenceWords: number;
}

/**
 * Corpus BLEU of `texts` against one reference each, 0 to 100, with n-grams up to four words (Papineni et al. 2002) and
 * an interval over the texts. Texts of fewer than four words count with shorter n-grams.
 */
export function bleu(texts: readonly string[], references: readonly string[]): Estimate {
  const counts = texts.map((text, i) => countsOf(wordsOf(text), wordsOf(references[i] ?? '')));
  return bootstrap(counts.length, (indices) => 100 * corpusBleu(indices.map((i) => counts[i]!)));
}

/** Splits a text into words, numbers and signs. */
const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];

function countsOf(words: readonly string[], reference: readonly string[]): Counts {
  const matched: number[] = [];
  const all: number[] = [];
  for (let length = 1; length <= LONGEST; length++) {
    const known = runsOf(reference, length);
    let found = 0;
    for (const [run, count] of runsOf(words, length)) found += Math.min(count, known.get(run) ?? 0);
    matched.push(found);
    all.push(Math.max(0, words.length - length + 1));
  }
  return { matched, all, words: words.length, referenceWords: reference.length };
}

function runsOf(words: readonly string[], length: number): Map<string, number> {
  const runs = new Map<string, number>();
  for (let at = 0; at + length <= words.length; at++) {
    const run = words.slice(at, at + length).join(' ');
    runs.set(run, (runs.get(run) ?? 0) + 1);
  }
  return runs;
}

/** Geometric mean of the matching shares, times the brevity penalty. */
function corpusBleu(pairs: readonly Counts[]): number {
  const sum = (of: (pair: Counts) => number): number => pairs.reduce((total, pair) => total + of(pair), 0);
  let logs = 0;
  let lengths = 0;
  for (let i = 0; i < LONGEST; i++) {
    const all = sum((pair) => pair.all[i]!);
    if (all === 0) break; // all texts are shorter
    logs += Math.log(sum((pair) => pair.matched[i]!) / all);
    lengths++;
  }
  if (lengths === 0) return 0;
  const [words, referenceWords] = [sum((pair) => pair.words), sum((pair) => pair.referenceWords)];
  const brevity = words < referenceWords ? Math.exp(1 - referenceWords / words) : 1;
  return brevity * Math.exp(logs / lengths);
}
