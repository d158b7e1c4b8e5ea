/**
 * Learns up to `count` merges from texts as lists of symbols, most frequent pair first, without cutting them into
 * words, so that tokens cross every boundary at which a pre-tokenizer should cut.
 */
export function trainMerges(texts: readonly string[][], count: number): [string, string][] {
  const merges: [string, string][] = [];
  const known = new Set<string>();
  let current = texts.map((text) => [...text]);
  while (merges.length < count) {
    const best = mostFrequentPair(current, known);
    if (best === undefined) break;
    merges.push(best);
    known.add(best.join(''));
    current = current.map((text) => mergePair(text, best));
  }
  return merges;
}

/** Skips pairs whose joined text is a token already. */
function mostFrequentPair(texts: readonly string[][], known: ReadonlySet<string>): [string, string] | undefined {
  const counts = new Map<string, { pair: [string, string]; count: number }>();
  for (const text of texts) {
    for (let i = 0; i + 1 < text.length; i++) {
      const pair: [string, string] = [text[i]!, text[i + 1]!];
      const key = pair.join('\0');
      const entry = counts.get(key) ?? { pair, count: 0 };
      entry.count++;
      counts.set(key, entry);
    }
  }
  let best: { pair: [string, string]; count: number } | undefined;
  for (const entry of counts.values()) {
    if (entry.count > (best?.count ?? 1) && !known.has(entry.pair.join(''))) best = entry;
  }
  return best?.pair;
}

function mergePair(text: readonly string[], [left, right]: [string, string]): string[] {
  const merged: string[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === left && text[i + 1] === right) {
      merged.push(left + right);
      i++;
    } else merged.push(text[i]!);
  }
  return merged;
}
