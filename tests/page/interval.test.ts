import { expect, test } from 'vitest';
import { CONFIDENCE, formatInterval, isWide, medianInterval } from '../../demo/basics/interval.ts';
import { formatMs, formatRate } from '../../demo/basics/format.ts';

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** Probability that `count` fair coins show at most `heads` heads. */
function tail(count: number, heads: number): number {
  let sum = 0;
  for (let i = 0, ways = 1; i <= heads; ways = (ways * (count - i)) / (i + 1), i++) sum += ways;
  return sum / 2 ** count;
}

test('the interval contains the true median with a probability of at least 93 %, and no narrower one does', () => {
  for (let count = 5; count <= 40; count++) {
    const { low, high } = medianInterval(upTo(count))!;
    expect(low + high).toBe(count + 1); // symmetric
    expect(1 - 2 * tail(count, low - 1)).toBeGreaterThanOrEqual(CONFIDENCE);
    expect(1 - 2 * tail(count, low)).toBeLessThan(CONFIDENCE);
  }
});

test('the interval of five values is minimum to maximum, of sixteen from the fourth to the fourth last; four are too few', () => {
  expect(medianInterval([3, 9, 1, 7, 5])).toEqual({ median: 5, low: 1, high: 9 });
  expect(medianInterval(upTo(16).reverse())).toEqual({ median: 8.5, low: 4, high: 13 });
  expect(medianInterval([1, 2, 3, 4])).toBeUndefined();
});

test('an interval wider than a tenth is shown by its ends, otherwise by the median', () => {
  expect(isWide({ median: 100, low: 95, high: 105 })).toBe(false);
  expect(isWide({ median: 100, low: 95, high: 105.1 })).toBe(true);
  expect(formatInterval({ median: 12, low: 11.8, high: 12.2 }, formatRate)).toBe('12.0 tokens/s');
  expect(formatInterval({ median: 12, low: 10, high: 19 }, formatRate)).toBe('10.0–19.0 tokens/s');
  expect(formatInterval({ median: 9e3, low: 9e3, high: 12e3 }, formatMs)).toBe('9000 ms–12.0 s');
  expect(formatInterval({ median: 1, low: 0.9, high: 1.2 }, (ratio) => ratio.toFixed(2))).toBe('0.90–1.20');
});
