import { expect } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import type { ErrorCode } from '../../src/errors/chunkwise-error.ts';

interface Expected {
  file?: string;
  field?: string;
  reason?: RegExp;
}

/** Runs `action`, which must throw a ChunkwiseError with this code and detail. */
export async function expectError(action: () => unknown, code: ErrorCode, expected: Expected): Promise<void> {
  let error: unknown;
  try {
    await action();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(ChunkwiseError);
  const { code: actual, detail } = error as ChunkwiseError;
  expect({ code: actual, ...detail }).toMatchObject({
    code,
    ...(expected.file !== undefined && { file: expected.file }),
  });
  if (expected.field !== undefined) expect(detail.field).toBe(expected.field);
  if (expected.reason !== undefined) expect(detail.reason).toMatch(expected.reason);
}
