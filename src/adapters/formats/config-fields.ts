import { FILE_NESTING, isNestedDeeper } from '../../config/nesting.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ErrorCode } from '../../errors/chunkwise-error.ts';

/** Of one module. */
export const MAX_RANK = 256;
/** What Python's json module writes for numbers that JSON does not have. */
const PYTHON_NUMBER = /"([^"]{1,100})"\s*:\s*(-?(?:NaN|Infinity))\b/;

/** The fields of a JSON object, with access that checks the type. A null is a field that is not there. */
export class ConfigFields {
  readonly #read = new Set<string>();

  private constructor(
    /** Named in errors. */
    readonly file: string,
    private readonly values: Readonly<Record<string, unknown>>,
  ) {}

  static parse(text: string, file: string): ConfigFields {
    let values: unknown;
    try {
      values = JSON.parse(text);
    } catch (error) {
      const [, field, number] = PYTHON_NUMBER.exec(text) ?? [];
      const reason = number
        ? `is ${number}, which must be a finite number`
        : `is not JSON: ${error instanceof Error ? error.message : String(error)}`;
      throw new ChunkwiseError('bad_file', { file, field, reason }, { cause: error });
    }
    if (isNestedDeeper(values, FILE_NESTING)) {
      throw new ChunkwiseError('bad_file', { file, reason: `is nested more than ${FILE_NESTING} deep` });
    }
    if (typeof values === 'object' && values !== null && !Array.isArray(values)) {
      return new ConfigFields(file, values as Record<string, unknown>);
    }
    throw new ChunkwiseError('bad_file', { file, reason: 'is not a JSON object' });
  }

  get(field: string): unknown {
    this.#read.add(field);
    return (Object.hasOwn(this.values, field) ? this.values[field] : undefined) ?? undefined;
  }

  /** Whether a field holds something: not null, false, zero, nor anything empty. */
  isSet(field: string): boolean {
    return isSet(this.get(field));
  }

  /** Fields that hold something, were not asked for, and are not among `known`. */
  unread(known: readonly string[]): string[] {
    return Object.keys(this.values).filter(
      (field) => isSet(this.values[field]) && !this.#read.has(field) && !known.includes(field),
    );
  }

  optionalString(field: string): string | undefined {
    const value = this.get(field);
    return value === undefined || typeof value === 'string' ? value : this.fail(field, 'must be a string');
  }

  boolean(field: string): boolean {
    const value = this.get(field) ?? false;
    return typeof value === 'boolean' ? value : this.fail(field, 'must be true or false');
  }

  number(field: string, fallback: number): number {
    return this.checkNumber(this.get(field) ?? fallback, field);
  }

  rank(field: string, fallback: number): number {
    return this.checkRank(this.get(field) ?? fallback, field);
  }

  checkNumber(value: unknown, field: string): number {
    // JSON has no infinity, but 1e999 is one.
    return typeof value === 'number' && Number.isFinite(value) ? value : this.fail(field, 'must be a finite number');
  }

  checkRank(value: unknown, field: string): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_RANK) return value;
    return this.fail(field, `a rank must be a whole number from 1 to ${MAX_RANK}, not ${describe(value)}`);
  }

  object(field: string): Record<string, unknown> {
    const value = this.get(field) ?? {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
    return this.fail(field, 'must be an object');
  }

  namesOrPattern(field: string): string | readonly string[] | undefined {
    const value = this.get(field);
    if (value === undefined || typeof value === 'string') return value;
    if (Array.isArray(value) && value.every((item): item is string => typeof item === 'string')) return value;
    return this.fail(field, 'must be a string or a list of strings');
  }

  /** Numbers of layers, one or several. */
  layers(field: string): readonly number[] | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    const layers: unknown[] = Array.isArray(value) ? value : [value];
    if (layers.every((item): item is number => Number.isInteger(item) && (item as number) >= 0)) return layers;
    return this.fail(field, 'must be the numbers of layers');
  }

  /** A list of ids of tokens, at least one. */
  tokens(field: string): readonly number[] | undefined {
    const value = this.get(field);
    return value === undefined || isTokens(value) ? value : this.fail(field, NO_TOKENS);
  }

  fail(field: string, reason: string, code: ErrorCode = 'bad_file'): never {
    throw new ChunkwiseError(code, { file: this.file, field: field.slice(0, 200), reason });
  }
}

/** Whether a value is a list of ids of tokens, at least one. */
export const isTokens = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length > 0 && value.every((item) => Number.isSafeInteger(item) && item >= 0);

/** Why it is not. */
export const NO_TOKENS = 'must be a list of ids of tokens, at least one';

function isSet(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

const describe = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 40);
