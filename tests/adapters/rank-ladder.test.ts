import { describe, expect, test } from 'vitest';
import { buildLadder, type RankLadder } from '../../src/adapters/rank-ladder.ts';
import { Random } from '../support/random.ts';
import { denseSingularValues } from './dense-svd.ts';

/** scale · B · A, `[out, in]`. */
function product(a: Float32Array, b: Float32Array, rank: number, scale: number): Float64Array {
  const columns = a.length / rank;
  const rows = b.length / rank;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < rank; c++) {
      for (let j = 0; j < columns; j++) out[i * columns + j]! += scale * b[i * rank + c]! * a[c * columns + j]!;
    }
  }
  return out;
}

/** B · A of the first k components of a ladder, `[out, in]`. */
function truncated({ a, bTransposed }: RankLadder, k: number, rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  a.slice(0, k).forEach((row, c) => {
    for (let i = 0; i < out.length; i++) out[i]! += bTransposed[c]![Math.floor(i / columns)]! * row[i % columns]!;
  });
  return out;
}

/** Frobenius norm of (x − y) · diag(weights). */
function distance(x: Float64Array, y: Float64Array, weights: Float32Array): number {
  return Math.sqrt(x.reduce((sum, value, i) => sum + ((value - y[i]!) * weights[i % weights.length]!) ** 2, 0));
}

interface Case {
  what: string;
  rank: number;
  rows: number;
  columns: number;
  /** Changes the factors before they are used. */
  shape?: (a: Float32Array, b: Float32Array, rank: number) => void;
  /** Numerical rank, if below `rank`. */
  actual?: number;
}

const decaying = (a: Float32Array, _: Float32Array, rank: number): void => {
  a.forEach((value, i) => (a[i] = value * 0.3 ** Math.floor(i / (a.length / rank))));
};

const CASES: Case[] = [
  { what: 'rank 1', rank: 1, rows: 7, columns: 5 },
  { what: 'wide', rank: 4, rows: 12, columns: 40 },
  { what: 'tall', rank: 8, rows: 48, columns: 20 },
  { what: 'a spectrum that decays', rank: 8, rows: 32, columns: 24, shape: decaying },
  { what: 'rank above both sizes', rank: 12, rows: 6, columns: 9, actual: 6 },
  { what: 'two equal rows of A', rank: 5, rows: 16, columns: 16, actual: 4, shape: (a) => a.copyWithin(16, 0, 16) },
  {
    what: 'B with a column of zeros',
    rank: 5,
    rows: 16,
    columns: 16,
    actual: 4,
    shape: (_, b) => b.forEach((__, i) => i % 5 === 2 && (b[i] = 0)),
  },
  { what: 'an untrained adapter: B is zero', rank: 4, rows: 16, columns: 16, actual: 0, shape: (_, b) => b.fill(0) },
];

describe.each(CASES)('$what', ({ rank, rows, columns, shape, actual = rank }) => {
  const random = new Random(rank * 1000 + rows);
  const a = random.normals(rank * columns);
  const b = random.normals(rows * rank);
  shape?.(a, b, rank);
  const scale = -1.7;
  const delta = product(a, b, rank, scale);
  const ones = new Float32Array(columns).fill(1);
  const skewed = Float32Array.from({ length: columns }, () => Math.exp(2 * random.normal()));

  test.each([
    ['plain', undefined, ones],
    ['weighted by the input', skewed, skewed],
  ])('%s: the first k components are the best of rank k, and all give the whole', (_, inputRms, weights) => {
    const ladder = buildLadder(a, b, rank, scale, inputRms);
    const optimum = denseSingularValues(
      delta.map((value, i) => value * weights[i % columns]!),
      rows,
      columns,
    );
    const size = distance(delta, new Float64Array(delta.length), weights);
    expect([ladder.rank, ladder.singularValues.length]).toEqual([actual, actual]);
    for (let k = 0; k <= rank; k++) {
      const error = distance(delta, truncated(ladder, k, rows, columns), weights);
      const best = Math.sqrt(optimum.slice(k).reduce((sum, value) => sum + value ** 2, 0));
      if (k >= actual) expect(error).toBeLessThanOrEqual(1e-6 * size);
      else expect(Math.abs(error / best - 1), `rank ${k}`).toBeLessThan(1e-4);
    }
    const plainSize = distance(delta, new Float64Array(delta.length), ones);
    expect(distance(delta, truncated(ladder, rank, rows, columns), ones)).toBeLessThanOrEqual(1e-6 * plainSize);
    ladder.singularValues.forEach((value, k) => {
      expect(Math.abs(value - (optimum[k] ?? 0))).toBeLessThanOrEqual(1e-6 * (optimum[0] ?? 0));
      expect(value).toBeLessThanOrEqual(ladder.singularValues[k - 1] ?? Infinity);
      expect(value).toBeGreaterThan(0);
    });
    expect([...ladder.a, ...ladder.bTransposed].every((values) => values.every(Number.isFinite))).toBe(true);
  });
});

test('dead input channels keep their part of the product', () => {
  const random = new Random(5);
  const a = random.normals(3 * 16);
  const b = random.normals(16 * 3);
  const rms = Float32Array.from({ length: 16 }, (_, i) => (i < 14 ? 0 : 1));
  const delta = product(a, b, 3, 1);
  for (const inputRms of [rms, new Float32Array(16)]) {
    const ladder = buildLadder(a, b, 3, 1, inputRms);
    const whole = truncated(ladder, 3, 16, 16);
    const ones = new Float32Array(16).fill(1);
    expect(distance(delta, whole, ones)).toBeLessThan(1e-6 * distance(delta, new Float64Array(256), ones));
  }
});

test('factors near the ends of f32 neither overflow nor vanish', () => {
  const random = new Random(6);
  const a = random.normals(4 * 8).map((value) => value * 1e30);
  const b = random.normals(8 * 4).map((value) => value * 1e-30);
  const delta = product(a, b, 4, 1);
  const ladder = buildLadder(a, b, 4, 1);
  const ones = new Float32Array(8).fill(1);
  const size = distance(delta, new Float64Array(64), ones);
  expect(distance(delta, truncated(ladder, 4, 8, 8), ones)).toBeLessThan(1e-6 * size);
});

test('a component whose factors differ by twenty orders of magnitude is kept', () => {
  const random = new Random(8);
  const a = random.normals(4 * 16).map((value, i) => value * (i < 16 ? 1e-10 : 1));
  const b = random.normals(16 * 4).map((value, i) => value * (i % 4 === 0 ? 1e10 : 1));
  const delta = product(a, b, 4, 1);
  const ladder = buildLadder(a, b, 4, 1);
  expect(ladder.rank).toBe(4);
  const ones = new Float32Array(16).fill(1);
  const size = distance(delta, new Float64Array(256), ones);
  expect(distance(delta, truncated(ladder, 4, 16, 16), ones)).toBeLessThan(1e-6 * size);
});

test('210 modules of rank 16 of the default model: time', () => {
  const random = new Random(7);
  const shapes = [
    [576, 576],
    [192, 576],
    [192, 576],
    [576, 576],
    [1536, 576],
    [1536, 576],
    [576, 1536],
  ];
  const factors = shapes.map(([out = 0, inside = 0]) => ({
    a: random.normals(16 * inside),
    b: random.normals(out * 16),
  }));
  const start = performance.now();
  const norms = Array.from({ length: 30 }, () =>
    factors.map(({ a, b }) => buildLadder(a, b, 16, 2).singularValues[0]!),
  ).flat();
  console.log(`210 ladders of rank 16: ${(performance.now() - start).toFixed(0)} ms`);
  expect(norms).toHaveLength(210);
  expect(norms.every((value) => value > 0)).toBe(true);
});
