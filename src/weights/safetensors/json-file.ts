import { FILE_NESTING, isNestedDeeper, isRecord } from '../../util/values.ts';
import { ChunkwiseError, type ErrorCode } from '../../errors/chunkwise-error.ts';
import type { ByteSource } from '../byte-source.ts';

/** Twice the size of the largest tokenizer (Gemma 3). */
const MOST_BYTES = 64 << 20;

/** An object of a JSON file with typed access. Errors: `bad_file`, naming file and field. */
export class JsonFields {
  private constructor(
    readonly file: string,
    readonly values: Readonly<Record<string, unknown>>,
    private readonly path = '',
  ) {}

  static async read(source: ByteSource): Promise<JsonFields> {
    return JsonFields.#read(source, (value, refuse) =>
      isRecord(value) ? new JsonFields(source.name, value) : refuse('is not a JSON object'),
    );
  }

  /** Reads a file with an array of objects. */
  static async readList(source: ByteSource): Promise<JsonFields[]> {
    return JsonFields.#read(source, (value, refuse) => {
      if (!Array.isArray(value) || !value.every(isRecord)) return refuse('is not a JSON array of objects');
      return value.map((each, i) => new JsonFields(source.name, each, `[${i}].`));
    });
  }

  static async #read<T>(
    source: ByteSource,
    from: (value: unknown, refuse: (reason: string) => never) => T,
  ): Promise<T> {
    const refuse = (reason: string, cause?: unknown): never => {
      throw new ChunkwiseError('bad_file', { file: source.name, reason }, { cause });
    };
    if (source.size > MOST_BYTES) refuse(`it has ${source.size} bytes; at most ${MOST_BYTES} are read`);
    try {
      const value: unknown = JSON.parse(
        new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.size)),
      );
      if (isNestedDeeper(value, FILE_NESTING)) refuse(`is nested more than ${FILE_NESTING} deep`);
      return from(value, refuse);
    } catch (error) {
      if (error instanceof ChunkwiseError) throw error;
      return refuse(`is not JSON: ${error instanceof Error ? error.message : String(error)}`, error);
    }
  }

  /** A copy with defaults for missing keys; null stays null. */
  withDefaults(defaults: Readonly<Record<string, unknown>>): JsonFields {
    return new JsonFields(this.file, { ...defaults, ...this.values }, this.path);
  }

  has(key: string): boolean {
    return this.values[key] !== undefined && this.values[key] !== null;
  }

  number(key: string): number {
    const value = this.values[key];
    return typeof value === 'number' ? value : this.fail(key, `must be a number, but is ${kindOf(value)}`);
  }

  /** An integer from 1 to `most`. */
  size(key: string, most: number): number {
    const value = this.number(key);
    return Number.isInteger(value) && value >= 1 && value <= most
      ? value
      : this.fail(key, `must be a whole number from 1 to ${most}, but is ${value}`);
  }

  /** A finite number above 0. */
  positive(key: string): number {
    const value = this.number(key);
    return value > 0 && value < Infinity ? value : this.fail(key, `must be above 0 and finite, but is ${value}`);
  }

  string(key: string): string {
    const value = this.values[key];
    return typeof value === 'string' ? value : this.fail(key, `must be a string, but is ${kindOf(value)}`);
  }

  list(key: string): readonly unknown[] {
    const value: unknown = this.values[key];
    return Array.isArray(value) ? (value as unknown[]) : this.fail(key, `must be an array, but is ${kindOf(value)}`);
  }

  /** Objects of an array. */
  items(key: string): JsonFields[] {
    return this.list(key).map((value, i) =>
      isRecord(value)
        ? new JsonFields(this.file, value, `${this.path}${key}[${i}].`)
        : this.fail(key, `entry ${i} must be an object, but is ${kindOf(value)}`),
    );
  }

  fields(key: string): JsonFields {
    const value = this.values[key];
    return isRecord(value)
      ? new JsonFields(this.file, value, `${this.path}${key}.`)
      : this.fail(key, `must be an object, but is ${kindOf(value)}`);
  }

  optional<T>(key: string, read: (key: string) => T): T | undefined {
    return this.has(key) ? read(key) : undefined;
  }

  fail(key: string, reason: string, code: ErrorCode = 'bad_file'): never {
    throw new ChunkwiseError(code, { file: this.file, field: `${this.path}${key}`.slice(0, 200), reason });
  }
}

/** Kind of an unexpected value. */
export const kindOf = (value: unknown): string =>
  value === undefined
    ? 'missing'
    : value === null
      ? 'null'
      : Array.isArray(value)
        ? 'an array'
        : `of type ${typeof value}`;
