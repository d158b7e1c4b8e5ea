import { describe, levelsOf, REQUEST_NESTING, isRecord } from '../util/values.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
/** Checks of values that may not have the declared type. Each throws `bad_request`, naming the field. */

export { describe };

export function refuse(field: string, reason: string): never {
  throw new ChunkwiseError('bad_request', { field, reason });
}

/**
 * Returns the fields of an object that are neither undefined nor null; OpenAI's API treats null as absent. Refuses fields
 * that are not `known`. `at`: the object's own field; `request` for the request itself.
 */
export function fieldsOf(value: unknown, at: string, known: readonly string[]): Record<string, unknown> {
  const fields = Object.entries(checkRecord(value, at)).filter(([, own]) => own !== undefined && own !== null);
  for (const [name] of fields) {
    if (!known.includes(name)) refuse(at === 'request' ? name : `${at}.${name}`, 'is not a field of this request');
  }
  return Object.fromEntries(fields);
}

/** Checks a value that may be absent. Returns undefined for undefined and null. */
export function optional<T>(value: unknown, field: string, check: (given: unknown, field: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : check(value, field);
}

/** `kind`: what the value must be, for the error. */
export function checkRecord(value: unknown, field: string, kind = 'an object'): Record<string, unknown> {
  return isRecord(value) ? value : refuse(field, `must be ${kind}, but is ${describe(value)}`);
}

/** Undefined and null count as false. */
export function checkBoolean(value: unknown, field: string): boolean {
  value ??= false;
  if (typeof value !== 'boolean') refuse(field, `must be true or false, but is ${describe(value)}`);
  return value;
}

export function checkText(value: unknown, field: string): string {
  return typeof value === 'string' ? value : refuse(field, `must be a string, but is ${describe(value)}`);
}

/** A text that is not empty. */
export function checkFilled(value: unknown, field: string): string {
  const text = checkText(value, field);
  return text === '' ? refuse(field, 'is empty') : text;
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

/** A number above 0. */
export function checkPositive(value: unknown, field: string, most: number): number {
  return checkNumber(value, field, 0, most) || refuse(field, 'must be above 0');
}

/** Maximum length of an array in a request. An array can claim billions of entries and hold none. */
const MOST_ENTRIES = 2 ** 20;

/** Returns the entries of an array, with undefined for holes. `kind`: what the value must be, for the error. */
export function checkList(value: unknown, field: string, kind = 'an array'): unknown[] {
  if (!Array.isArray(value)) refuse(field, `must be ${kind}, but is ${describe(value)}`);
  checkLength(value, field);
  return Array.from(value as unknown[]);
}

/** Like `checkList`, but refuses an empty array. */
export function checkFilledList(value: unknown, field: string, kind?: string): unknown[] {
  const list = checkList(value, field, kind);
  return list.length === 0 ? refuse(field, 'is empty') : list;
}

/** Checks a value that is passed on as JSON: its nesting and the lengths of its arrays. */
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

export function checkOneOf<T extends string>(known: readonly T[], value: unknown, field: string): T {
  const found = known.find((each) => each === value);
  return found ?? refuse(field, `must be one of ${known.join(', ')}, but is ${describe(value)}`);
}

/** Returns undefined for undefined and null. */
export function checkFunction<F>(value: F | null | undefined, field: string): F | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'function' ? value : refuse(field, `must be a function, but is ${describe(value)}`);
}

/** Returns undefined for undefined and null. */
export function checkSignal(value: unknown, field = 'signal'): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  try {
    // The getter accepts signals of other windows, and rejects objects that only look like a signal.
    Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get?.call(value);
  } catch {
    refuse(field, `must be an AbortSignal, but is ${describe(value)}`);
  }
  return value as AbortSignal;
}

/** Runs `check` on values from the caller. Errors that the values themselves throw (getters, revoked proxies) become `bad_request`. */
export function checked<T>(field: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    if (cause instanceof ChunkwiseError) throw cause;
    const reason = `cannot be read: ${cause instanceof Error ? cause.message : describe(cause)}`;
    throw new ChunkwiseError('bad_request', { field, reason }, { cause });
  }
}
