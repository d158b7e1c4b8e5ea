import { describe, expect, it } from 'vitest';
import { checkThresholds, DEFAULT_THRESHOLDS, levelOf, nextLevel } from '../../src/chunking/chunk-plan.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';

const THRESHOLDS = [0.2, 0.5, 0.8];

describe('levels', () => {
  it('split complexities at the thresholds, which belong to the level above', () => {
    expect([0, 0.19, 0.2, 0.49, 0.5, 0.79, 0.8, 1].map((c) => levelOf(c, THRESHOLDS))).toEqual([
      0, 0, 1, 1, 2, 2, 3, 3,
    ]);
    expect(levelOf(0.7, [])).toBe(0);
  });

  it('stay while complexity is near a threshold, and change when complexity passes the threshold by the margin', () => {
    const walk = (margin: number) => {
      let level = 1;
      return [0.48, 0.52, 0.49, 0.54, 0.56, 0.46, 0.44, 0.9, 0.79, 0.1].map(
        (c) => (level = nextLevel(level, c, THRESHOLDS, margin)),
      );
    };
    expect(walk(0.05)).toEqual([1, 1, 1, 1, 2, 2, 1, 3, 3, 0]);
    expect(walk(0)).toEqual([1, 2, 1, 2, 2, 1, 1, 3, 2, 0]);
  });

  it('follow the thresholds without a margin, regardless of the previous level', () => {
    const random = new Random(1);
    for (let i = 0; i < 500; i++) {
      const complexity = random.next();
      const level = levelOf(complexity, DEFAULT_THRESHOLDS);
      expect(nextLevel(random.below(4), complexity, DEFAULT_THRESHOLDS, 0)).toBe(level);
    }
  });

  it.each([[[0.5, 0.5]], [[0.5, 0.2]], [[NaN]]])('need ascending thresholds, not %j', (thresholds) =>
    expectError(() => checkThresholds(thresholds), 'bad_request', { field: 'thresholds' }),
  );
});
