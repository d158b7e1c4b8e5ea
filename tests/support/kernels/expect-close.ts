import { expect } from 'vitest';
import { type Tolerance, TOLERANCES } from './tolerances.ts';

const worst = new Map<Tolerance, number>();

/** Fails if `got` differs from `want` by more than the kernel's tolerance, as a fraction of `scale`. */
export function expectClose(
  name: Tolerance,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  scale: number | ((index: number) => number) = rms(want),
): void {
  expect(got.length).toBe(want.length);
  let error = 0;
  let index = 0;
  for (let i = 0; i < want.length; i++) {
    const difference = Math.abs((got[i] ?? NaN) - (want[i] ?? NaN));
    const relative = difference === 0 ? 0 : difference / (typeof scale === 'number' ? scale : scale(i));
    if (relative <= error) continue;
    error = relative;
    index = i;
    if (Number.isNaN(error)) break;
  }
  worst.set(name, Math.max(error, worst.get(name) ?? 0));
  if (error <= TOLERANCES[name]) return;
  expect.fail(`${name}: error ${error} at ${index}: ${got[index]} instead of ${want[index]}`);
}

/**
 * Fails if a value exceeds its limit. One call checks a whole array, since each call of `expect` costs a tenth of a
 * millisecond.
 */
export function expectAtMost(what: string, values: ArrayLike<number>, limit: (index: number) => number): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (!(value <= limit(i))) expect.fail(`${what} ${i}: ${value} is above ${limit(i)}`);
  }
}

/** The worst errors so far, for the log. */
export function worstErrors(): string {
  return [...worst]
    .map(([name, error]) => `${name}: worst error ${error.toExponential(1)} of ${TOLERANCES[name]}`)
    .join('\n');
}

export function rms(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);
}
