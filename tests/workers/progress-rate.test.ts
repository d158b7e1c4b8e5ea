import { expect, test } from 'vitest';
import type { LoadProgress } from '../../src/session/session-options.ts';
import { withRate } from '../../workers/model-store.ts';

test('reports the rate of the last seconds and the time left, for each phase', () => {
  let now = 0;
  const told: LoadProgress[] = [];
  const tell = withRate(
    (progress) => told.push(progress),
    () => now,
  );
  const step = (phase: LoadProgress['phase'], bytes: number, ms: number): void => {
    now += ms;
    tell({ phase, bytes, total: 10_000 });
  };
  step('download', 0, 0);
  step('download', 1000, 1000);
  step('download', 2000, 1000);
  // Faster from here on; the rate ignores events older than three seconds.
  for (let i = 1; i <= 4; i++) step('download', 2000 + i * 1500, 1000);
  step('verify', 100, 10);
  step('verify', 600, 500);
  expect(told[0]).toEqual({ phase: 'download', bytes: 0, total: 10_000 });
  expect(told[1]).toEqual({ phase: 'download', bytes: 1000, total: 10_000, rate: 1000, timeLeft: 9 });
  expect(told[2]).toMatchObject({ rate: 1000, timeLeft: 8 });
  expect(told[6]).toMatchObject({ bytes: 8000, rate: 1500 });
  expect(told[6]?.timeLeft).toBeCloseTo(2000 / 1500);
  expect(told[7]).toEqual({ phase: 'verify', bytes: 100, total: 10_000 });
  expect(told[8]).toMatchObject({ rate: 1000, timeLeft: 9.4 });
});
