import { describe, expect, it } from 'vitest';
import { openDevice } from '../../src/gpu/device.ts';
import { planeNames, type PlaneName, WEIGHT_FORMATS } from '../../src/kernels/formats/weight-formats.ts';
import type { MatrixSlice } from '../../src/layers/weight-matrix.ts';
import type { RowSource } from '../../src/layers/upload/weight-upload.ts';
import { dequantize } from '../../src/reference/dequantize.ts';
import { type Planes, unpackPlanes } from '../../src/reference/kernels/repack.ts';
import { repack } from '../../src/kernels/formats/repack.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { deinterleaveRows } from '../../src/weights/interleaved-rows.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { gpuWithBindings } from '../support/gpu/small-bindings.ts';
import { FLOATS } from '../support/models/poisoned.ts';
import { Random } from '../support/random.ts';
import { ALL_TYPES, fits, randomBytes, TYPES, uploaded } from '../support/kernels/random-matrix.ts';
import { CLASSES, describeVariants, Runner } from '../support/kernels/runner.ts';

/** Whole words; of Q2_K's and Q6_K's scales whole fours of runs, which are 20 words. */
function planeWords(type: GgmlType, name: PlaneName, weights: number): number {
  if (name === 'weight_scales' && isInFours(type)) return 20 * Math.ceil(weights / 1024);
  return Math.ceil(((WEIGHT_FORMATS[type].planes[name]?.bytes ?? 0) * weights) / 1024);
}

/** Runs lack what makes them fours in small matrices alone, 20 bytes each. */
const isInFours = (type: GgmlType): boolean => type === 'Q2_K' || type === 'Q6_K';

it.each(ALL_TYPES)('repack: planes of %s hold the same weights, in as many bytes', (type) => {
  const random = new Random(18);
  for (const [rows, columns] of [
    [2, 256],
    [64, 256],
    [10, 1536],
    [6, 96],
    [2, 32],
  ] as const) {
    if (!fits(type, columns)) continue;
    const bytes = randomBytes(type, rows, columns, random);
    const planes = repack(type, bytes);
    expect(Object.keys(planes).sort()).toEqual(planeNames(type).sort());
    let total = 0;
    for (const name of planeNames(type)) {
      const size = planes[name]?.byteLength ?? 0;
      expect(size).toBe(4 * planeWords(type, name, rows * columns));
      total += size;
    }
    const lacking = isInFours(type) ? 20 * (-((rows * columns) / 256) & 3) : 0;
    expect(total).toBeLessThanOrEqual(1.05 * 4 * Math.ceil(bytes.length / 4) + lacking);
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

/** As `randomBytes`, but scales are of all finite halves: of either sign, subnormal, zero. */
function anyBytes(type: GgmlType, rows: number, columns: number, random: Random): Uint8Array {
  const bytes = randomBytes(type, rows, columns, random);
  const { blockSize, blockBytes } = GGML_TYPES[type];
  if (blockSize === 1) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const { kind, at: places } = FLOATS[type];
    for (const place of places) {
      if (kind === 'E8M0') {
        view.setUint8(at + place, random.below(253));
        continue;
      }
      const exponent = random.below(3) === 0 ? 0 : random.below(31);
      view.setUint16(at + place, (random.below(2) << 15) | (exponent << 10) | random.below(1024), true);
    }
  }
  return bytes;
}

/** Rows as a source that begins at an odd byte, and what is to become of them. */
function rowsOf(type: GgmlType, rows: number, columns: number, { headDim, seed }: { headDim?: number; seed: number }) {
  const bytes = anyBytes(type, rows, columns, new Random(seed));
  const file = new Uint8Array(bytes.length + 3);
  file.set(bytes, 3);
  const tensor = {
    name: `rows ${seed}`,
    shape: [rows, columns],
    type,
    bytes: bytes.length,
    offset: 3,
    source: new BytesSource('file', file),
  };
  const source: RowSource = headDim === undefined ? { tensor } : { tensor, interleavedHeadDim: headDim };
  return { source, ordered: headDim === undefined ? bytes : deinterleaveRows(bytes, bytes.length / rows, headDim) };
}

async function planesOf(
  runner: Runner,
  type: GgmlType,
  { buffer, planes }: MatrixSlice,
  weights: number,
): Promise<Planes> {
  const bytes = await runner.read(buffer);
  return Object.fromEntries(
    planeNames(type).map((name) => [
      name,
      new Uint32Array(bytes, planes[name]?.offset, planeWords(type, name, weights)),
    ]),
  );
}

/** Uploads `sources` and holds each slice to JavaScript's planes of its rows, bit for bit. */
async function expectPlanes(
  runner: Runner,
  type: GgmlType,
  columns: number,
  sources: readonly ReturnType<typeof rowsOf>[],
): Promise<number> {
  const matrix = await uploaded(
    runner.device,
    sources.map(({ source }) => source),
    runner.recorder,
  );
  const all = new Uint8Array(await new Blob(sources.map(({ ordered }) => ordered as BlobPart)).arrayBuffer());
  const rowBytes = all.length / matrix.rows;
  for (const slice of matrix.slices) {
    const rows = all.subarray(slice.rowStart * rowBytes, (slice.rowStart + slice.rows) * rowBytes);
    expect(await planesOf(runner, type, slice, slice.rows * columns)).toEqual(repack(type, rows.slice()));
    runner.device.buffers.destroy(slice.buffer);
  }
  return matrix.slices.length;
}

describe('rows on the GPU', () => {
  describeVariants(CLASSES, (getRunner, variant) => {
    it.each(TYPES)('%s: have the planes that JavaScript gives, bit for bit', async (type) => {
      for (const columns of [32, 96, 256, 480, 1536].filter((each) => fits(type, each))) {
        await expectPlanes(getRunner(), type, columns, [rowsOf(type, 1, columns, { seed: 1 })]);
        await expectPlanes(getRunner(), type, columns, [
          rowsOf(type, 68, columns, { seed: 2 }),
          rowsOf(type, 7, columns, { seed: 3 }),
        ]);
        const [q, k] = [
          rowsOf(type, 60, columns, { headDim: 12, seed: 4 }),
          rowsOf(type, 24, columns, { headDim: 12, seed: 5 }),
        ];
        await expectPlanes(getRunner(), type, columns, [q, k, rowsOf(type, 24, columns, { seed: 6 })]);
      }
    });

    it.each(TYPES)('%s: in several pieces, heads across them', async (type) => {
      const columns = 4096;
      const rows =
        30 * Math.ceil((6 << 20) / 30 / ((columns / GGML_TYPES[type].blockSize) * GGML_TYPES[type].blockBytes));
      await expectPlanes(getRunner(), type, columns, [rowsOf(type, rows, columns, { headDim: 30, seed: 7 })]);
    });

    it('take little memory beside them, however many they are', async () => {
      const { device, recorder } = getRunner();
      const [rows, columns] = [10_240, 4096];
      const bytes = (rows * columns * 34) / 32;
      const file = { name: 'zeros', size: bytes, read: async (_: number, length: number) => new Uint8Array(length) };
      const source: RowSource = {
        tensor: { name: 'zeros', shape: [rows, columns], type: 'Q8_0', bytes, offset: 0, source: file },
      };
      const before = device.buffers.report();
      device.buffers.watchPeak();
      const { slices } = await uploaded(device, [source], recorder);
      const { peak } = device.buffers;
      const most = variant === 'gpu' ? 4.01 * (1 << 20) : 1;
      expect(peak.staging - before.staging).toBeGreaterThan(most / 4 - 1);
      expect(peak.staging - before.staging).toBeLessThan(most);
      for (const { buffer } of slices) device.buffers.destroy(buffer);
      expect(device.buffers.report()).toEqual(before);
    });
  });

  it.each(TYPES)('%s: in slices, heads across them', async (type) => {
    const columns = fits(type, 96) ? 96 : 256;
    const largest = Math.max(...planeNames(type).map((name) => WEIGHT_FORMATS[type].planes[name]?.bytes ?? 0));
    const device = await openDevice(gpuWithBindings(largest * columns), { deviceClass: 'gpu' });
    const runner = new Runner(device);
    const slices = await expectPlanes(runner, type, columns, [
      rowsOf(type, 480, columns, { headDim: 96, seed: 9 }),
      rowsOf(type, 130, columns, { seed: 10 }),
    ]);
    expect(slices).toBe(3);
    device.close();
  });
});
