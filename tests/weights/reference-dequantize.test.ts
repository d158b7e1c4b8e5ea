import { expect, test } from 'vitest';
import { dequantize } from '../reference/dequantize.ts';
import { floatToHalf } from '../reference/half.ts';
import { GGML_TYPES } from '../../src/weights/ggml-types.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { quantize } from '../support/models/quantize.ts';
import { Random } from '../support/random.ts';

/** A block from its fields in order; numbers in `halves` become two bytes each. */
function block(halves: number[], ...fields: ArrayLike<number>[]): Uint8Array {
  const scales = new Uint8Array(Uint16Array.from(halves, floatToHalf).buffer);
  return Uint8Array.from([scales, ...fields].flatMap((field) => Array.from(field)));
}

/** 16 bytes whose low nibbles count up from 0 and high nibbles count down from 15. */
const NIBBLES = Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4));
const CODES = Array.from({ length: 32 }, (_, i) => (i < 16 ? i : 31 - i));
/** Every third of 32 bits. */
const HIGH_BITS = 0x49249249;
const HIGH = Array.from({ length: 32 }, (_, i) => (i % 3 === 0 ? 16 : 0));
const HIGH_BYTES = [0x49, 0x92, 0x24, 0x49];

test('the high bits of the test are what they claim', () => {
  expect(new Uint32Array(Uint8Array.from(HIGH_BYTES).buffer)[0]).toBe(HIGH_BITS);
});

test('blocks of 32, by hand', () => {
  const values = (type: GgmlType, bytes: Uint8Array): number[] => Array.from(dequantize(type, bytes));
  expect(values('Q4_0', block([-0.5], NIBBLES))).toEqual(CODES.map((q) => -0.5 * (q - 8)));
  expect(values('Q4_1', block([0.25, -3], NIBBLES))).toEqual(CODES.map((q) => 0.25 * q - 3));
  expect(values('Q5_0', block([2], HIGH_BYTES, NIBBLES))).toEqual(CODES.map((q, i) => 2 * (q + (HIGH[i] ?? 0) - 16)));
  expect(values('Q5_1', block([2, 1], HIGH_BYTES, NIBBLES))).toEqual(CODES.map((q, i) => 2 * (q + (HIGH[i] ?? 0)) + 1));
  const signed = Array.from({ length: 32 }, (_, i) => 8 * i - 128);
  expect(values('Q8_0', block([0.5], Uint8Array.from(signed)))).toEqual(signed.map((q) => 0.5 * q));
});

/** Scales 1, 9, 17, … (groups 4–7 need their upper bits) and minima 62, 54, …, packed as the format says. */
const SCALES = [1, 9, 17, 25, 33, 41, 49, 57];
const MINS = [62, 54, 46, 38, 30, 22, 14, 6];
const SCALE_BYTES = [0b10_000001, 0b10_001001, 0b11_010001, 0b11_011001]; // atop scales 0–3 bits 4–5 of scales 4–7
const MIN_BYTES = [0b01_111110, 0b01_110110, 0b00_101110, 0b00_100110]; // atop minima 0–3 bits 4–5 of minima 4–7
const PACKED = [...SCALE_BYTES, ...MIN_BYTES, 0xe1, 0x69, 0xe1, 0x69]; // bits 0–3 of minima 4–7 over those of scales

/** Codes that differ between groups. */
const groupCode = (i: number): number => (7 * i + (i >> 4) + (i >> 6)) % 16;
/** Byte l of each run of 32 holds element l of two groups, the even one in its low nibble. */
const GROUP_NIBBLES = Array.from({ length: 128 }, (_, byte) => {
  const even = 64 * (byte >> 5) + (byte % 32);
  return groupCode(even) | (groupCode(even + 32) << 4);
});

test('blocks of one and of two bits, by hand', () => {
  const bytes = Array.from({ length: 16 }, (_, i) => (37 * i + 5) % 256);
  const bits = Array.from({ length: 128 }, (_, i) => ((bytes[i >> 3] ?? 0) >> (i & 7)) & 1);
  expect(Array.from(dequantize('Q1_0', block([-0.5], bytes)))).toEqual(bits.map((bit) => (bit === 1 ? -0.5 : 0.5)));
  const pairs = Array.from({ length: 64 }, (_, i) => (bits[2 * i] ?? 0) + 2 * (bits[2 * i + 1] ?? 0));
  expect(Array.from(dequantize('Q2_0', block([0.25], bytes)))).toEqual(pairs.map((pair) => 0.25 * (pair - 1)));
});

test('Q4_K by hand', () => {
  const expected = Array.from({ length: 256 }, (_, i) => {
    const group = i >> 5;
    return 0.5 * (SCALES[group] ?? 0) * groupCode(i) - 0.25 * (MINS[group] ?? 0);
  });
  expect(Array.from(dequantize('Q4_K', block([0.5, 0.25], PACKED, GROUP_NIBBLES)))).toEqual(expected);
});

test('Q5_K by hand', () => {
  // Byte i holds the fifth bits of element i of all eight groups; here that bit is set where (i + group) % 3 = 0.
  const high = Array.from({ length: 32 }, (_, i) => {
    let byte = 0;
    for (let group = 0; group < 8; group++) if ((i + group) % 3 === 0) byte |= 1 << group;
    return byte;
  });
  const expected = Array.from({ length: 256 }, (_, i) => {
    const group = i >> 5;
    const q = groupCode(i) + (((i % 32) + group) % 3 === 0 ? 16 : 0);
    return 0.5 * (SCALES[group] ?? 0) * q + 0.25 * (MINS[group] ?? 0);
  });
  expect(Array.from(dequantize('Q5_K', block([0.5, -0.25], PACKED, high, GROUP_NIBBLES)))).toEqual(expected);
});

test('Q6_K by hand', () => {
  // Element 128·h + 32·k + l: nibble k of bytes (64h + l, 64h + 32 + l; low nibbles first), bit pair k of byte 32h + l.
  const low = new Uint8Array(128);
  const high = new Uint8Array(64);
  const scales = Int8Array.from({ length: 16 }, (_, i) => 17 * i - 128);
  const code = (i: number): number => (7 * i + (i >> 6)) % 64;
  for (let half = 0; half < 2; half++) {
    for (let l = 0; l < 32; l++) {
      const q = [0, 1, 2, 3].map((k) => code(128 * half + 32 * k + l)) as [number, number, number, number];
      low[64 * half + l] = (q[0] & 15) | ((q[2] & 15) << 4);
      low[64 * half + 32 + l] = (q[1] & 15) | ((q[3] & 15) << 4);
      high[32 * half + l] = (q[0] >> 4) | ((q[1] >> 4) << 2) | ((q[2] >> 4) << 4) | ((q[3] >> 4) << 6);
    }
  }
  const bytes = Uint8Array.from([...low, ...high, ...new Uint8Array(scales.buffer), ...block([0.125])]);
  const expected = Array.from({ length: 256 }, (_, i) => 0.125 * (scales[i >> 4] ?? 0) * (code(i) - 32));
  expect(Array.from(dequantize('Q6_K', bytes))).toEqual(expected);
});

/** Largest relative squared error that rounding normal values to each type's steps may leave. */
const ERRORS: Record<GgmlType, number> = {
  F32: 0,
  F16: 1e-7,
  BF16: 4e-6,
  Q1_0: 0.4,
  Q2_0: 0.7,
  Q4_0: 0.012,
  Q4_1: 0.01,
  Q5_0: 0.003,
  Q5_1: 0.0025,
  Q8_0: 5e-5,
  Q2_K: 0.15,
  Q3_K: 0.04,
  Q4_K: 0.01,
  Q5_K: 0.0025,
  Q6_K: 0.0008,
  IQ3_XXS: 0.05,
  IQ4_NL: 0.01,
  IQ4_XS: 0.01,
  TQ1_0: 0.8,
  TQ2_0: 0.8,
  MXFP4: 0.02,
};

test.each(Object.keys(GGML_TYPES) as GgmlType[])('%s: several blocks, quantized and back', (type) => {
  const values = new Random(7).normals(2048);
  const back = dequantize(type, quantize(type, values));
  expect(back.length).toBe(2048);
  const error = values.reduce((sum, value, i) => sum + (value - (back[i] ?? 0)) ** 2, 0);
  const power = values.reduce((sum, value) => sum + value ** 2, 0);
  expect(error / power).toBeLessThanOrEqual(ERRORS[type]);
});

test('partial blocks are refused', () => {
  expect(() => dequantize('Q4_K', new Uint8Array(143))).toThrow(/no whole Q4_K blocks/);
});
