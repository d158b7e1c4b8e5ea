/** Deepest nesting of a JSON file that is read: real ones come to ten, and what reads them may call itself for each. */
export const FILE_NESTING = 64;

/** Deepest nesting in a request: a schema's levels are two or three of JSON. */
export const REQUEST_NESTING = 256;

/** Whether arrays and objects of `value` lie in one another more than `most` deep. */
export function isNestedDeeper(value: unknown, most: number): boolean {
  const levels = levelsOf(value);
  let depth = 0;
  while (depth <= most && !levels.next().done) depth++;
  return depth > most;
}

/** Arrays and objects of a value, those that lie in none, then those within these, and so on. It goes level by level, and calls itself for none. */
export function* levelsOf(value: unknown): Generator<readonly object[], void> {
  let level = containers([value]);
  while (level.length > 0) {
    yield level;
    // What several share is gone into once.
    level = [...new Set(level.flatMap((container) => containers(Object.values(container))))];
  }
}

const containers = (values: readonly unknown[]): object[] =>
  values.filter((value): value is object => typeof value === 'object' && value !== null);
