/** Deepest nesting of a JSON file that is read: real ones come to ten, and what reads them may call itself for each. */
export const FILE_NESTING = 64;

/** Deepest nesting in a request: a schema's levels are two or three of JSON. */
export const REQUEST_NESTING = 256;

/** Whether arrays and objects of `value` lie in one another more than `most` deep. It goes level by level, and calls itself for none. */
export function isNestedDeeper(value: unknown, most: number): boolean {
  let level: object[] = containers([value]);
  for (let depth = 0; level.length > 0; depth++) {
    if (depth >= most) return true;
    // What several share is gone into once.
    level = [...new Set(level.flatMap((container) => containers(Object.values(container))))];
  }
  return false;
}

const containers = (values: readonly unknown[]): object[] =>
  values.filter((value): value is object => typeof value === 'object' && value !== null);
