import { softmax } from '../operations.ts';
import { linearDecode, type LinearOptions } from './linear-decode.ts';

/** A route: an expert of a token, and the weight of its output. */
export interface Way {
  expert: number;
  share: number;
}

/**
 * The `used` experts with the highest scores, highest first; ties go to the lower index. Shares are the softmax of all
 * scores; `normalizes` divides them by the sum of the chosen ones. With a bias, shares are sigmoids, and experts are chosen
 * by share plus bias.
 */
export function routeExperts(
  scores: Float32Array,
  used: number,
  { normalizes, bias }: { normalizes: boolean; bias?: Float32Array | undefined },
): Way[] {
  const shares = bias
    ? Float64Array.from(scores, (score) => 1 / (1 + Math.exp(-score)))
    : softmax(Float64Array.from(scores));
  const preferred = bias ? shares.map((share, i) => Math.fround(share + bias[i]!)) : scores;
  const chosen = [...shares.keys()].sort((a, b) => preferred[b]! - preferred[a]! || a - b).slice(0, used);
  const whole = normalizes ? chosen.reduce((sum, expert) => sum + shares[expert]!, 0) : 1;
  return chosen.map((expert) => ({ expert, share: shares[expert]! / whole }));
}

/** Routes sorted by expert, as pairs of expert and route index. Each expert's list is padded to a multiple of `size` with an index past the end. */
export function groupExperts(experts: readonly number[], count: number, size: number): [expert: number, way: number][] {
  return Array.from({ length: count }, (_, expert) => {
    const own = experts.flatMap((one, way) => (one === expert ? [way] : []));
    const filled = Math.ceil(own.length / size) * size;
    return Array.from({ length: filled }, (_, i): [number, number] => [expert, own[i] ?? experts.length]);
  }).flat();
}

/** Weights `[count, rows, columns]`; each output is the product with its expert's matrix. `used` consecutive outputs read the same input of x. */
export function expertLinear(
  weights: Float32Array,
  x: Float32Array,
  experts: readonly number[],
  { count, used, ...options }: LinearOptions & { count: number; used: number },
): number[] {
  const columns = (x.length * used) / experts.length;
  const size = weights.length / count;
  return experts.flatMap((expert, i) => {
    const token = Math.floor(i / used);
    return [
      ...linearDecode(
        weights.subarray(expert * size, (expert + 1) * size),
        x.subarray(token * columns, (token + 1) * columns),
        options,
      ),
    ];
  });
}

/** y `[T, width]` plus the expert outputs `x [T, used, width]` weighted by the routes `[T, used]`. */
export function sumExperts(y: ArrayLike<number>, x: ArrayLike<number>, ways: readonly Way[], scale: number): number[] {
  const width = x.length / ways.length;
  const used = (ways.length * width) / y.length;
  return Array.from({ length: y.length }, (_, at) => {
    const [token, column] = [Math.floor(at / width), at % width];
    let sum = 0;
    for (let i = token * used; i < (token + 1) * used; i++) sum += ways[i]!.share * x[i * width + column]!;
    return y[at]! + scale * sum;
  });
}
