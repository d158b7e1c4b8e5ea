import { expect } from 'vitest';

/**
 * Arrays of numbers that are equal byte by byte are found equal at once: `toEqual` otherwise visits every element as a
 * property, which takes longer than the kernels that made them. Whatever differs is left to it, with its own words.
 */
function sameBytes(a: unknown, b: unknown): boolean | undefined {
  if (!isTypedArray(a) || !isTypedArray(b) || a.constructor !== b.constructor) return undefined;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0 ? true : undefined;
}

type TypedArray = ArrayBufferView & { readonly length: number };

const isTypedArray = (value: unknown): value is TypedArray => ArrayBuffer.isView(value) && !(value instanceof DataView);

const bytesOf = ({ buffer, byteOffset, byteLength }: TypedArray): Buffer => Buffer.from(buffer, byteOffset, byteLength);

expect.addEqualityTesters([sameBytes]);
