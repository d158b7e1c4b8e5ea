import { describe } from '../config/describe.ts';
import { levelsOf, REQUEST_NESTING } from '../config/nesting.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

// Checks of values that need not be as typed. Each throws `bad_request`, naming the field.

export function checkBoolean(value: unknown, field: string): boolean {
  value ??= false;
  if (typeof value !== 'boolean') refuse(field, `must be true or false, but is ${describe(value)}`);
  return value;
}

export function checkText(value: unknown, field: string): string {
  return typeof value === 'string' ? value : refuse(field, `must be a string, but is ${describe(value)}`);
}

export function checkInteger(value: unknown, field: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const number = checkNumber(value, field, least, most);
  if (!Number.isInteger(number)) refuse(field, `must be a whole number, but is ${number}`);
  return number;
}

export function checkNumber(value: unknown, field: string, least: number, most: number): number {
  if (typeof value !== 'number' || Number.isNaN(value)) refuse(field, `must be a number, but is ${describe(value)}`);
  if (value >= least && value <= most) return value;
  const isOpen = most >= Number.MAX_SAFE_INTEGER;
  const range = !isOpen ? `from ${least} to ${most}` : value > most ? `at most ${most}` : `at least ${least}`;
  return refuse(field, `must be ${range}, but is ${describe(value)}`);
}

/** Most entries of an array in a request: an array may say that it has billions, and hold none. */
const MOST_ENTRIES = 2 ** 20;

/** The entries of an array, holes among them. `kind`: what it must be. */
export function checkList(value: unknown, field: string, kind = 'an array'): unknown[] {
  if (!Array.isArray(value)) refuse(field, `must be ${kind}, but is ${describe(value)}`);
  checkLength(value, field);
  return Array.from(value as unknown[]);
}

/** Checks what goes on as JSON: how deep it is nested, and how long its arrays say that they are. */
export function checkJson(value: unknown, field: string): void {
  let depth = 0;
  for (const level of levelsOf(value)) {
    if (++depth > REQUEST_NESTING) refuse(field, `is nested more than ${REQUEST_NESTING} deep`);
    for (const container of level) checkLength(container, field);
  }
}

function checkLength(container: object, field: string): void {
  if (!Array.isArray(container) && !ArrayBuffer.isView(container)) return;
  const length = Array.isArray(container) ? container.length : container.byteLength;
  if (length > MOST_ENTRIES) refuse(field, `has ${length} entries; at most ${MOST_ENTRIES} are allowed`);
}

/** Undefined where there is none. */
export function checkOneOf<T extends string>(known: readonly T[], value: unknown, field: string): T | undefined {
  const found = known.find((each) => each === value);
  if (value !== undefined && !found) refuse(field, `must be one of ${known.join(', ')}, but is ${describe(value)}`);
  return found;
}

/** Undefined where there is none, or null. */
export function checkFunction<F>(value: F | null | undefined, field: string): F | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'function' ? value : refuse(field, `must be a function, but is ${describe(value)}`);
}

/** Undefined where there is none, or null. */
export function checkSignal(value: unknown, field = 'signal'): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  try {
    // Takes those of other windows too, and nothing that only looks like one.
    Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get?.call(value);
  } catch {
    refuse(field, `must be an AbortSignal, but is ${describe(value)}`);
  }
  return value as AbortSignal;
}

/**
 * What `check` makes of values that a caller gave. What they throw by themselves when they are looked at (getters, revoked
 * proxies) is `bad_request` too.
 */
export function checked<T>(field: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (cause instanceof ChunkwiseError) throw cause;
    const reason = `cannot be read: ${cause instanceof Error ? cause.message : describe(cause)}`;
    throw new ChunkwiseError('bad_request', { field, reason }, { cause });
  }
}

export { describe };

export function refuse(field: string, reason: string): never {
  throw new ChunkwiseError('bad_request', { field, reason });
}
