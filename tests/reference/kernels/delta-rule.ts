import { dot, type Rows } from '../operations.ts';

/** A token's input to a value head: projected query, key and value; `beta` scales the update, `decay` the state. */
export interface DeltaToken {
  query: Float64Array;
  key: Float64Array;
  value: Float64Array;
  beta: number;
  decay: number;
}

/**
 * One step of the gated delta rule (arXiv 2412.06464, equation 10): changes the state `[headDim, headDim]`, whose rows are a key's
 * components, and returns the query's output.
 */
export function deltaStep(state: Rows, { query, key, value, beta, decay }: DeltaToken): Float64Array {
  const direction = unit(key);
  for (const row of state) row.forEach((_, i) => (row[i]! *= decay));
  const known = mixedBy(state, direction);
  state.forEach((row, k) => row.forEach((_, i) => (row[i]! += direction[k]! * beta * (value[i]! - known[i]!))));
  return mixedBy(state, unit(query)).map((found) => found / Math.sqrt(value.length));
}

const unit = (vector: Float64Array): Float64Array => {
  const length = Math.sqrt(dot(vector, vector) + 1e-6);
  return vector.map((value) => value / length);
};

/** Σ weights[row] · state[row] */
function mixedBy(state: Rows, weights: Float64Array): Float64Array {
  const sum = new Float64Array(weights.length);
  state.forEach((row, k) => row.forEach((value, i) => (sum[i]! += weights[k]! * value)));
  return sum;
}
