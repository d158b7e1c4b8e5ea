import { describe, test } from 'vitest';
import { GGML_TYPES } from '../../src/weights/ggml-types.ts';
import { quantized } from '../../src/weights/quantize.ts';
import type { TensorInfo } from '../../src/weights/tensor-info.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { TYPES, uploaded } from '../support/kernels/random-matrix.ts';
import { CLASSES, describeVariants } from '../support/kernels/runner.ts';
import { BITS, FLOATS, writeBits } from '../support/models/poisoned.ts';
import { quantize } from '../support/models/quantize.ts';
import { Random } from '../support/random.ts';

const BLOCKS = 6;

function tensorOf(type: TensorInfo['type'], bytes: Uint8Array, name = 'x.weight'): TensorInfo {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  return {
    name,
    shape: [1, (bytes.length / blockBytes) * blockSize],
    type,
    bytes: bytes.length,
    offset: 0,
    source: new BytesSource('model.gguf', bytes),
  };
}

describe('uploaded weights', () => {
  describeVariants(CLASSES, (getRunner) => {
    test.each(TYPES)(
      '%s: a single non-finite number is detected at any place, and the largest finite ones are accepted',
      async (type) => {
        const { device, recorder } = getRunner();
        const upload = async (bytes: Uint8Array): Promise<void> => {
          const { slices } = await uploaded(device, [{ tensor: tensorOf(type, bytes) }], recorder);
          for (const { buffer } of slices) device.buffers.destroy(buffer);
        };
        const { blockSize, blockBytes } = GGML_TYPES[type];
        const blocks = blockSize === 1 ? 32 : BLOCKS;
        const whole = quantize(type, new Random(1).normals(blocks * blockSize));
        const { kind, at } = FLOATS[type];
        // Quants and scales of blocks are integers: any bits are valid.
        const codes = whole.map((byte, i) =>
          at.some((place) => i % blockBytes === place || (i % blockBytes === place + 1 && kind === 'F16')) ||
          blockSize === 1
            ? byte
            : 0xff,
        );
        await upload(codes);
        for (let block = 0; block < blocks; block++) {
          for (const place of at) {
            const withBits = (bits: number): Uint8Array => {
              const bytes = whole.slice();
              writeBits(bytes, block * blockBytes + place, kind, bits);
              return bytes;
            };
            for (const bits of BITS[kind].finite) await upload(withBits(bits));
            for (const bits of BITS[kind].poison) {
              await expectError(() => upload(withBits(bits)), 'bad_file', {
                file: 'model.gguf',
                field: 'x.weight',
                reason: /NaN/,
              });
            }
          }
        }
      },
    );

    test('the error names the first of several non-finite tensors', async () => {
      const { device, recorder } = getRunner();
      const sources = ['good', 'first', 'second'].map((name) => {
        const values = new Random(3).normals(64);
        if (name !== 'good') values[5] = NaN;
        return { tensor: tensorOf('F32', new Uint8Array(values.buffer), name) };
      });
      await expectError(() => uploaded(device, sources, recorder), 'bad_file', {
        file: 'model.gguf',
        field: 'first',
        reason: /NaN/,
      });
    });

    test.each(['F16', 'Q8_0', 'Q4_1'] as const)(
      'floats that are converted to %s keep what is not finite, or becomes so',
      async (type) => {
        const { device, recorder } = getRunner();
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
          const error = { file: 'model.safetensors', field: 'x.weight', reason: new RegExp(type) };
          await expectError(() => uploaded(device, [{ tensor: quantized(tensor, type) }], recorder), 'bad_file', error);
        }
      },
    );
  });
});
