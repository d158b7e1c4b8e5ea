import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';

export type GgufNumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A metadata value; 64-bit integers are bigint only if a number cannot hold them. */
export type GgufValue = string | number | bigint | boolean | string[] | boolean[] | GgufNumberArray;

/** The key-value pairs of a GGUF header, with access that checks the type. */
export class GgufMetadata {
  constructor(
    /** Name of the file, for errors. */
    readonly file: string,
    private readonly values: ReadonlyMap<string, GgufValue>,
  ) {}

  get keys(): string[] {
    return [...this.values.keys()];
  }

  /** The stored value of any type; undefined if the key is missing. */
  get(key: string): GgufValue | undefined {
    return this.values.get(key);
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  string(key: string): string {
    const value = this.#require(key);
    return typeof value === 'string' ? value : this.#refuse(key, 'a string', value);
  }

  number(key: string): number {
    const value = this.#require(key);
    return typeof value === 'number' ? value : this.#refuse(key, 'a number', value);
  }

  boolean(key: string): boolean {
    const value = this.#require(key);
    return typeof value === 'boolean' ? value : this.#refuse(key, 'a boolean', value);
  }

  strings(key: string): readonly string[] {
    const value = this.#require(key);
    // An empty array fits every element type.
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    return this.#refuse(key, 'an array of strings', value);
  }

  /** A numeric array; 64-bit integers become a Float64Array, and throw if one does not fit. */
  numbers(key: string): Exclude<GgufNumberArray, BigUint64Array | BigInt64Array> {
    const value = this.#require(key);
    if (!ArrayBuffer.isView(value)) return this.#refuse(key, 'an array of numbers', value);
    if (!(value instanceof BigUint64Array || value instanceof BigInt64Array)) return value;
    const numbers = Float64Array.from(value, Number);
    return numbers.every(Number.isSafeInteger) ? numbers : this.#refuse(key, 'an array of integers below 2^53', value);
  }

  optionalString(key: string): string | undefined {
    return this.has(key) ? this.string(key) : undefined;
  }

  optionalNumber(key: string): number | undefined {
    return this.has(key) ? this.number(key) : undefined;
  }

  optionalBoolean(key: string): boolean | undefined {
    return this.has(key) ? this.boolean(key) : undefined;
  }

  #require(key: string): GgufValue {
    const value = this.values.get(key);
    if (value !== undefined) return value;
    throw new ChunkwiseError('bad_file', { file: this.file, field: key, reason: 'missing from the metadata' });
  }

  #refuse(key: string, wanted: string, value: GgufValue): never {
    const reason = `must be ${wanted}, but is ${describe(value)}`;
    throw new ChunkwiseError('bad_file', { file: this.file, field: key, reason });
  }
}

function describe(value: GgufValue): string {
  if (Array.isArray(value)) return `an array of ${value.length} ${typeof value[0]}s`;
  if (typeof value === 'object') return `a ${value.constructor.name} of ${value.length}`;
  if (typeof value === 'string') return `the string ${JSON.stringify(value.slice(0, 40))}`;
  return `the ${typeof value} ${String(value)}`;
}

/** An integer from 1 to `max`, or `fallback` if missing. Values of layers in `without` are ignored. */
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

/** A number that a file lists per layer, equal for all (Granite 4's key heads); undefined without a list. */
function ofEveryLayer(metadata: GgufMetadata, key: string, without: readonly number[]): number | undefined {
  if (!ArrayBuffer.isView(metadata.get(key))) return undefined;
  const values = [...metadata.numbers(key)].filter((_, layer) => !without.includes(layer));
  const [first] = values;
  if (first !== undefined && values.every((value) => value === first)) return first;
  return fail(metadata, key, 'differs from layer to layer', 'unsupported');
}

/** A number above 0 in a range, or `fallback` if missing. Within these ranges all derived values stay finite. */
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
