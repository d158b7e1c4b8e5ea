import { expect, it } from 'vitest';
import { repack } from '../../src/kernels/formats/repack.ts';
import { planeNames, WEIGHT_FORMATS } from '../../src/kernels/formats/weight-formats.ts';
import { dequantize } from '../../src/reference/dequantize.ts';
import { unpackPlanes } from '../../src/reference/kernels/repack.ts';
import { Random } from '../support/random.ts';
import { ALL_TYPES, fits, randomBytes } from '../support/kernels/random-matrix.ts';

it.each(ALL_TYPES)('repack: planes of %s hold the same weights, in as many bytes', (type) => {
  const random = new Random(18);
  for (const [rows, columns] of [[2, 256], [64, 256], [10, 1536], [6, 96], [2, 32]] as const) {
    if (!fits(type, columns)) continue;
    const bytes = randomBytes(type, rows, columns, random);
    const planes = repack(type, bytes);
    expect(Object.keys(planes).sort()).toEqual(planeNames(type).sort());
    let total = 0;
    for (const name of planeNames(type)) {
      const size = planes[name]?.byteLength ?? 0;
      expect(size).toBe(((WEIGHT_FORMATS[type].planes[name]?.bytes ?? 0) * rows * columns) / 256);
      total += size;
    }
    expect(total).toBeLessThanOrEqual(1.05 * bytes.length);
    expect(Float32Array.from(unpackPlanes(type, planes))).toEqual(dequantize(type, bytes));
  }
});

it('repack takes a view into a larger buffer', () => {
  for (const type of ALL_TYPES) {
    const bytes = randomBytes(type, 2, 256, new Random(19));
    const file = new Uint8Array(bytes.length + 7);
    file.set(bytes, 6);
    expect(repack(type, file.subarray(6, 6 + bytes.length))).toEqual(repack(type, bytes));
  }
});
