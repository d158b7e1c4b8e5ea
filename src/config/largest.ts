/** The largest of these and `least`: a caller's list may have more entries than a function takes arguments. */
export const largest = (values: readonly number[], least: number): number =>
  values.reduce((most, value) => Math.max(most, value), least);
