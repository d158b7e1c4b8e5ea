import { expect, test } from 'vitest';
import { checkFinite } from '../../src/kernels/formats/finite-weights.ts';
import { repack } from '../../src/kernels/formats/repack.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';
import { quantized } from '../../src/weights/quantize.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { BITS, FLOATS, writeBits } from '../support/models/poisoned.ts';
import { quantize } from '../support/models/quantize.ts';
import { Random } from '../support/random.ts';

const BLOCKS = 6;
const types = Object.keys(GGML_TYPES) as GgmlType[];

test.each(types)(
  '%s: one number that is not finite is found wherever it lies, and the largest ones are taken',
  async (type) => {
    const { blockSize, blockBytes } = GGML_TYPES[type];
    const whole = quantize(type, new Random(1).normals(BLOCKS * blockSize));
    const tensor = {
      name: 'x.weight',
      shape: [1, BLOCKS * blockSize],
      type,
      bytes: whole.length,
      offset: 0,
      source: new BytesSource('model.gguf', whole),
    };
    const { kind, at } = FLOATS[type];
    // Codes and scales of blocks are integers, so any bits are valid.
    const codes = whole.map((byte, i) =>
      at.some((place) => i % blockBytes === place || (i % blockBytes === place + 1 && kind === 'F16')) ||
      blockSize === 1
        ? byte
        : 0xff,
    );
    checkFinite(tensor, repack(type, codes));
    for (let block = 0; block < BLOCKS; block++) {
      for (const place of at) {
        const withBits = (bits: number): Uint8Array => {
          const bytes = whole.slice();
          writeBits(bytes, block * blockBytes + place, kind, bits);
          return bytes;
        };
        for (const bits of BITS[kind].finite) checkFinite(tensor, repack(type, withBits(bits)));
        for (const bits of BITS[kind].poison) {
          await expectError(() => checkFinite(tensor, repack(type, withBits(bits))), 'bad_file', {
            file: 'model.gguf',
            field: 'x.weight',
            reason: /NaN/,
          });
        }
      }
    }
  },
);

test.each(['F16', 'Q8_0', 'Q4_1'] as const)(
  'floats that are converted to %s keep what is not finite, or becomes so',
  async (type) => {
    for (const value of [NaN, Infinity, -Infinity, 3e38]) {
      const values = new Random(2).normals(64);
      values[40] = value;
      const bytes = new Uint8Array(values.buffer);
      const tensor = {
        name: 'x.weight',
        shape: [1, 64],
        type: 'F32' as const,
        bytes: 256,
        offset: 0,
        source: new BytesSource('model.safetensors', bytes),
      };
      const converted = quantized(tensor, type);
      const planes = repack(type, await converted.source.read(0, converted.bytes));
      await expectError(() => checkFinite(converted, planes), 'bad_file', {
        file: 'model.safetensors',
        field: 'x.weight',
        reason: new RegExp(type),
      });
    }
  },
);

test('unaligned bytes of floats are copied, others are not', () => {
  const bytes = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
  expect(repack('F32', bytes).weight?.buffer).toBe(bytes.buffer);
  const shifted = new Uint8Array(13);
  shifted.set(bytes, 1);
  expect(repack('F32', shifted.subarray(1)).weight).toEqual(new Uint32Array(bytes.buffer));
});
