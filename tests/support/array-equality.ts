import { expect } from 'vitest';

/**
 * A fast path for typed arrays that are equal byte by byte: `toEqual` otherwise visits every element as a property, which
 * takes longer than the kernels under test. Differences are left to `toEqual` and its messages.
 */
function sameBytes(a: unknown, b: unknown): boolean | undefined {
  if (!isTypedArray(a) || !isTypedArray(b) || a.constructor !== b.constructor) return undefined;
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0 ? true : undefined;
}

type TypedArray = ArrayBufferView & { readonly length: number };

const isTypedArray = (value: unknown): value is TypedArray => ArrayBuffer.isView(value) && !(value instanceof DataView);

const bytesOf = ({ buffer, byteOffset, byteLength }: TypedArray): Buffer => Buffer.from(buffer, byteOffset, byteLength);

expect.addEqualityTesters([sameBytes]);
