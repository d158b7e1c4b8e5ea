import { expect, it } from 'vitest';
import {
  calibrationError,
  fitTemperature,
  type Judged,
  meanNll,
  probabilities,
} from '../../../src/api/decisions/distribution.ts';
import { Random } from '../../support/random.ts';

it('computes probabilities with a temperature, averaged over the readings', () => {
  const logs = [0.1, 0.2, 0.1].map(Math.log);
  expect(probabilities([logs], 1).map((each) => each.toFixed(6))).toEqual(['0.250000', '0.500000', '0.250000']);
  expect(probabilities([logs], 0.5)[1]).toBeCloseTo(4 / 6, 12);
  expect(probabilities([logs, [Math.log(0.2), Math.log(0.1), -Infinity]], 1)[0]).toBeCloseTo((0.25 + 2 / 3) / 2, 12);
  expect(probabilities([[-1000, -1001]], 1)[0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 12);
});

/** Right answers sampled from `logits`, for a model whose logits are `sharper` times as large. */
function drawn(count: number, sharper: number): Judged[] {
  const random = new Random(3);
  return Array.from({ length: count }, () => {
    const logits = [...random.normals(4, 1.5)];
    const shares = probabilities([logits], 1);
    const at = random.next();
    let sum = 0;
    const right = shares.findIndex((share) => (sum += share) >= at);
    return { readings: [logits.map((logit) => sharper * logit)], right: right < 0 ? 3 : right };
  });
}

it('finds the temperature of an overconfident model, which lowers its calibration error', () => {
  const judged = drawn(4000, 3);
  const temperature = fitTemperature(judged);
  expect(temperature).toBeGreaterThan(2.7);
  expect(temperature).toBeLessThan(3.3);
  for (const other of [temperature * 0.99, temperature * 1.01, 1])
    expect(meanNll(judged, other)).toBeGreaterThan(meanNll(judged, temperature));
  expect(calibrationError(judged, 1)).toBeGreaterThan(0.1);
  expect(calibrationError(judged, temperature)).toBeLessThan(0.03);
});

it('gives a model that is always right the lowest temperature', () => {
  const judged = [0, 1].map((right): Judged => ({ readings: [[right === 0 ? 0 : -1, right === 0 ? -1 : 0]], right }));
  expect(fitTemperature(judged)).toBeCloseTo(0.05, 3);
  expect(calibrationError(judged, 0.05)).toBeCloseTo(0, 6);
});
