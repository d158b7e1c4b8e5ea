/** Standard normal quantile of 1 − 1e-4: a statistic above it has p < 1e-4. */
export const CRITICAL = 3.719;

/**
 * Pearson's chi-square of the tokens `sampled` against `probabilities` of `tokens`, as a standard normal statistic (Wilson and
 * Hilferty, 1931). Rare tokens are pooled in the order of `tokens` until a pool has `least` samples. Infinite if a sample has
 * probability 0.
 */
export function chiSquare(
  sampled: readonly number[],
  tokens: readonly number[],
  probabilities: readonly number[],
  least = 5,
): number {
  const counts = new Map<number, number>();
  for (const token of sampled) counts.set(token, (counts.get(token) ?? 0) + 1);
  const cells: { expected: number; observed: number }[] = [];
  let open = { expected: 0, observed: 0 };
  let seen = 0;
  tokens.forEach((token, i) => {
    open.expected += (probabilities[i] ?? 0) * sampled.length;
    open.observed += counts.get(token) ?? 0;
    seen += counts.get(token) ?? 0;
    if (open.expected < least) return;
    cells.push(open);
    open = { expected: 0, observed: 0 };
  });
  const last = cells.at(-1);
  if (seen < sampled.length || !last) return Infinity;
  last.expected += open.expected;
  last.observed += open.observed;
  const degrees = cells.length - 1;
  if (degrees === 0) return 0;
  const sum = cells.reduce((total, { expected, observed }) => total + (observed - expected) ** 2 / expected, 0);
  const spread = 2 / (9 * degrees);
  return (Math.cbrt(sum / degrees) - (1 - spread)) / Math.sqrt(spread);
}
