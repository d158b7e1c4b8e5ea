/**
 * Normalized mean squared error of logits, or of log-probabilities, by position: both sides are centred first, so that
 * what softmax does not see does not count. Σ (a − b)² / Σ b² over all positions.
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
