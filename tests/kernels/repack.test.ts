import { describe, expect, it } from 'vitest';
import { openDevice } from '../../src/gpu/device.ts';
import { WEIGHT_FORMATS, type WeightBufferName, weightBufferNames } from '../../src/kernels/formats/weight-formats.ts';
import type { MatrixSlice } from '../../src/layers/weight-matrix.ts';
import type { RowSource } from '../../src/layers/weight-upload.ts';
import { dequantize } from '../reference/dequantize.ts';
import { type Planes, unpackBuffers } from '../reference/kernels/repack.ts';
import { repack } from '../../src/kernels/formats/repack.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { deinterleaveRows } from '../../src/weights/interleaved-rows.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { gpuWithBindings } from '../support/gpu/small-bindings.ts';
import { FLOATS } from '../support/models/poisoned.ts';
import { Random } from '../support/random.ts';
import { ALL_TYPES, fits, randomBytes, TYPES, uploaded } from '../support/kernels/random-matrix.ts';
import { CLASSES, describeVariants, Runner } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

/** Words of a buffer; the scales of Q2_K and Q6_K have whole groups of four runs, 20 words each. */
function bufferWords(type: GgmlType, name: WeightBufferName, weights: number): number {
  if (name === 'weight_scales' && isInFours(type)) return 20 * Math.ceil(weights / 1024);
  return Math.ceil(((WEIGHT_FORMATS[type].buffers[name]?.bytes ?? 0) * weights) / 1024);
}

/** Only small matrices have incomplete groups of four runs, 20 bytes a run. */
const isInFours = (type: GgmlType): boolean => type === 'Q2_K' || type === 'Q6_K';

it.each(ALL_TYPES)('repack: quants and scales of %s hold the same weights in the same number of bytes', (type) => {
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
    const buffers = repack(type, bytes);
    expect(Object.keys(buffers).sort()).toEqual(weightBufferNames(type).sort());
    let total = 0;
    for (const name of weightBufferNames(type)) {
      const size = buffers[name]?.byteLength ?? 0;
      expect(size).toBe(4 * bufferWords(type, name, rows * columns));
      total += size;
    }
    const lacking = isInFours(type) ? 20 * (-((rows * columns) / 256) & 3) : 0;
    expect(total).toBeLessThanOrEqual(1.05 * 4 * Math.ceil(bytes.length / 4) + lacking);
    expect(Float32Array.from(unpackBuffers(type, buffers))).toEqual(dequantize(type, bytes));
  }
});

it('repack accepts a view into a larger buffer', () => {
  for (const type of ALL_TYPES) {
    const bytes = randomBytes(type, 2, 256, new Random(19));
    const file = new Uint8Array(bytes.length + 7);
    file.set(bytes, 6);
    expect(repack(type, file.subarray(6, 6 + bytes.length))).toEqual(repack(type, bytes));
  }
});

/** As `randomBytes`, with all finite halves as scales: both signs, subnormal, zero. */
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

/** A source of rows that begins at an odd byte, and the rows in the order of upload. */
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

async function buffersOf(
  runner: Runner,
  type: GgmlType,
  { buffer, ranges }: MatrixSlice,
  weights: number,
): Promise<Planes> {
  const bytes = await runner.read(buffer);
  return Object.fromEntries(
    weightBufferNames(type).map((name) => [
      name,
      new Uint32Array(bytes, ranges[name]?.offset, bufferWords(type, name, weights)),
    ]),
  );
}

/** Uploads `sources` and expects each slice to equal JavaScript's buffers of its rows, bit for bit. */
async function expectBuffers(
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
    expect(await buffersOf(runner, type, slice, slice.rows * columns)).toEqual(repack(type, rows.slice()));
    runner.device.buffers.destroy(slice.buffer);
  }
  return matrix.slices.length;
}

const PIECES = byTier<GgmlType>(TYPES, ['F32', 'Q4_0', 'Q8_0', 'MXFP4', 'Q2_K', 'Q6_K']);

describe('rows on the GPU', () => {
  describeVariants(CLASSES, (getRunner, variant) => {
    it.each(TYPES)('%s: equal the buffers that JavaScript repacks, bit for bit', async (type) => {
      // Rows of one block, of an odd number of them, and of several runs.
      for (const columns of [32, 480, 256, 1536].filter((each) => fits(type, each))) {
        await expectBuffers(getRunner(), type, columns, [rowsOf(type, 1, columns, { seed: 1 })]);
        await expectBuffers(getRunner(), type, columns, [
          rowsOf(type, 68, columns, { seed: 2 }),
          rowsOf(type, 7, columns, { seed: 3 }),
        ]);
        const [q, k] = [
          rowsOf(type, 60, columns, { headDim: 12, seed: 4 }),
          rowsOf(type, 24, columns, { headDim: 12, seed: 5 }),
        ];
        await expectBuffers(getRunner(), type, columns, [q, k, rowsOf(type, 24, columns, { seed: 6 })]);
      }
    });

    // Pieces are of bytes, whatever they hold: blocks of even, odd and large sizes.
    it.each(PIECES)('%s: are right in several pieces with heads across them', async (type) => {
      const columns = 4096;
      const rows =
        30 * Math.ceil((6 << 20) / 30 / ((columns / GGML_TYPES[type].blockSize) * GGML_TYPES[type].blockBytes));
      await expectBuffers(getRunner(), type, columns, [rowsOf(type, rows, columns, { headDim: 30, seed: 7 })]);
    });

    it('take little extra memory for any number of rows', async () => {
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

  it.each(TYPES)('%s: are right in slices with heads across them', async (type) => {
    const columns = fits(type, 96) ? 96 : 256;
    const largest = Math.max(...weightBufferNames(type).map((name) => WEIGHT_FORMATS[type].buffers[name]?.bytes ?? 0));
    const device = await openDevice(gpuWithBindings(largest * columns), { deviceClass: 'gpu' });
    const runner = new Runner(device);
    const slices = await expectBuffers(runner, type, columns, [
      rowsOf(type, 480, columns, { headDim: 96, seed: 9 }),
      rowsOf(type, 130, columns, { seed: 10 }),
    ]);
    expect(slices).toBe(3);
    device.close();
  });
});
