import { expect, test } from 'vitest';
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat } from '../reference/half.ts';

test('halves: the values that define the format', () => {
  const known: [number, number][] = [
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3555, 0.333251953125],
    [0xc000, -2],
    [0x7bff, 65_504],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
  ];
  for (const [bits, value] of known) {
    expect(halfToFloat(bits)).toBe(value);
    expect(floatToHalf(value)).toBe(bits);
  }
  expect(halfToFloat(0x7e01)).toBeNaN();
  expect(halfToFloat(floatToHalf(NaN))).toBeNaN();
});

test('every half survives the round trip, and other values round to nearest, ties to even', () => {
  for (let bits = 0; bits < 0x7c00; bits++) {
    const value = halfToFloat(bits);
    const next = bits === 0x7bff ? 65_536 : halfToFloat(bits + 1);
    const middle = (value + next) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const results = [value, -value, middle, middle - (next - value) / 8, middle + (next - value) / 8].map(floatToHalf);
    expect(results).toEqual([bits, bits + 0x8000, even, bits, bits + 1]);
  }
});

test('bfloat16 is the upper half of a float, rounded to even', () => {
  expect([0x3f80, 0xc000, 0x7f80, 0x0001].map(bfloat16ToFloat)).toEqual([1, -2, Infinity, 2 ** -133]);
  expect([1, -2, Infinity, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20].map(floatToBfloat16)).toEqual([
    0x3f80, 0xc000, 0x7f80, 0x3f80, 0x3f82, 0x3f81,
  ]);
  expect(bfloat16ToFloat(floatToBfloat16(NaN))).toBeNaN();
  for (let bits = 0; bits <= 0x7f80; bits++) expect(floatToBfloat16(bfloat16ToFloat(bits))).toBe(bits);
});
