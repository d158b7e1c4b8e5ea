/** An answer as SQuAD 1.1's own evaluation compares it: lower case, without punctuation, articles and extra spaces. */
export function normalizeAnswer(text: string): string {
  return text
    .toLowerCase()
    .replace(/[!-/:-@[-`{-~]/g, '')
    .replace(/\b(a|an|the)\b/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '')
    .join(' ');
}

export interface Scores {
  exactMatch: number;
  f1: number;
}

/** Of the gold answer that it fits best; 0 to 1. */
export function score(answer: string, golds: readonly string[]): Scores {
  const given = normalizeAnswer(answer);
  const wanted = golds.map(normalizeAnswer);
  return {
    exactMatch: wanted.includes(given) ? 1 : 0,
    f1: Math.max(0, ...wanted.map((gold) => f1(given.split(' '), gold.split(' ')))),
  };
}

/** Harmonic mean of precision and recall over words. */
function f1(given: readonly string[], gold: readonly string[]): number {
  const left = [...gold];
  const shared = given.filter((word) => {
    const at = left.indexOf(word);
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  }).length;
  return (2 * shared) / (given.length + gold.length);
}
