import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { dequantize as reference } from '../reference/dequantize.ts';
import { dequantize } from '../../src/weights/dequantize.ts';
import { GGML_TYPES, type GgmlType } from '../../src/weights/ggml-types.ts';

/** Written by tools/fixtures/gguf_blocks.py. */
const read = (name: string): Uint8Array =>
  Uint8Array.from(readFileSync(new URL(`../fixtures/gguf-blocks/${name}`, import.meta.url)));

/** Types that gguf-py does not read. */
const UNREAD: GgmlType[] = ['Q1_0', 'Q2_0'];
const blocked = (Object.keys(GGML_TYPES) as GgmlType[]).filter(
  (type) => GGML_TYPES[type].blockSize > 1 && !UNREAD.includes(type),
);

test.each(blocked)('%s: any bits decode as in gguf-py', (type) => {
  const bytes = read(`${type}.blocks`);
  const expected = new Float32Array(read(`${type}.f32`).buffer);
  for (const values of [reference(type, bytes), dequantize(type, bytes)]) {
    expect(values.length).toBe(expected.length);
    // gguf-py rounds each product to float32.
    const wrong = Array.from(values, (value, i) => ({ i, value, expected: expected[i] ?? NaN })).filter(
      ({ value, expected }) => !(Math.abs(value - expected) <= 4e-7 * Math.max(Math.abs(expected), 0.1)),
    );
    expect(wrong.slice(0, 3)).toEqual([]);
  }
});
