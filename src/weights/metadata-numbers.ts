import { ChunkwiseError, type ErrorCode } from '../errors/chunkwise-error.ts';
import type { GgufMetadata } from './gguf/gguf-metadata.ts';

/** A whole number from 1 to `max`, or `fallback` where there is none. Layers `without` one do not count. */
export function readInteger(
  metadata: GgufMetadata,
  key: string,
  max: number,
  fallback?: number,
  without: readonly number[] = [],
): number {
  const value =
    ofEveryLayer(metadata, key, without) ??
    (fallback === undefined ? metadata.number(key) : (metadata.optionalNumber(key) ?? fallback));
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  return fail(metadata, key, `must be an integer from 1 to ${max}, but is ${value}`);
}

/** A number that a file gives layer by layer, the same for all (Granite 4's key heads); undefined where it gives no such list. */
function ofEveryLayer(metadata: GgufMetadata, key: string, without: readonly number[]): number | undefined {
  if (!ArrayBuffer.isView(metadata.get(key))) return undefined;
  const values = [...metadata.numbers(key)].filter((_, layer) => !without.includes(layer));
  const [first] = values;
  if (first !== undefined && values.every((value) => value === first)) return first;
  return fail(metadata, key, 'differs from layer to layer', 'unsupported');
}

/** A number in a range, above 0, or `fallback` where there is none. Numbers in these ranges leave what is computed of them finite. */
export function readRange(
  metadata: GgufMetadata,
  key: string,
  [least, most]: readonly [number, number],
  fallback?: number,
): number {
  const value = fallback === undefined ? metadata.number(key) : (metadata.optionalNumber(key) ?? fallback);
  if (!(value > 0 && value <= most)) fail(metadata, key, `must be above 0 and at most ${most}, but is ${value}`);
  return value >= least ? value : fail(metadata, key, `must be at least ${least}, but is ${value}`);
}

export function checkMultiple(metadata: GgufMetadata, key: string, value: number, of: number): void {
  if (value % of !== 0) fail(metadata, key, `${value} is not a multiple of ${of}`, 'unsupported');
}

export function fail(metadata: GgufMetadata, key: string, reason: string, code: ErrorCode = 'bad_file'): never {
  throw new ChunkwiseError(code, { file: metadata.file, field: key, reason });
}
