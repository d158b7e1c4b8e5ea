/**
 * Normalized mean squared error of logits or log-probabilities: Σ (a − b)² / Σ b² over all positions. Both sides are
 * centred per position first, since softmax ignores a constant.
 */
export function nmse(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  if (actual.length !== expected.length) throw new RangeError(`${actual.length} positions against ${expected.length}`);
  let error = 0;
  let power = 0;
  expected.forEach((row, position) => {
    const ours = centred(actual[position] ?? []);
    const theirs = centred(row);
    if (ours.length !== theirs.length) throw new RangeError(`${ours.length} logits against ${theirs.length}`);
    theirs.forEach((value, i) => {
      error += ((ours[i] ?? 0) - value) ** 2;
      power += value ** 2;
    });
  });
  return error / power;
}

function centred(row: ArrayLike<number>): Float64Array {
  const values = Float64Array.from(row);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.map((value) => value - mean);
}
