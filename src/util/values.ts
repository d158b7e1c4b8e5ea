/** Whether a value is a JSON object: not null and not an array of any kind. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** Deepest nesting of a JSON file; real files have about ten levels, and readers may recurse. */
export const FILE_NESTING = 64;

/** Deepest nesting of a JSON value in a request; readers may recurse. */
export const REQUEST_NESTING = 256;

/** Whether arrays and objects in `value` nest more than `most` deep. */
export function isNestedDeeper(value: unknown, most: number): boolean {
  const levels = levelsOf(value);
  let depth = 0;
  while (depth <= most && !levels.next().done) depth++;
  return depth > most;
}

/** The arrays and objects of a value level by level, outermost first. It does not recurse. */
export function* levelsOf(value: unknown): Generator<readonly object[], void> {
  let level = containers([value]);
  while (level.length > 0) {
    yield level;
    // A shared object counts once.
    level = [...new Set(level.flatMap((container) => containers(Object.values(container))))];
  }
}

const containers = (values: readonly unknown[]): object[] =>
  values.filter((value): value is object => typeof value === 'object' && value !== null);

/**
 * A value for an error message, after "but is". Numbers show neither an exponent nor Infinity, which not every reader
 * knows.
 */
export function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' && Math.abs(value) >= 1e21)
    return value > 0 ? 'a huge number' : 'a huge negative number';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return `of type ${typeof value}`;
}

/** Bytes for an error message: round up what is needed and down what is free, so that the two never look equal. */
export const megabytes = (bytes: number, round: typeof Math.ceil = Math.ceil): string => `${round(bytes / 1e6)} MB`;
