/** A token of a batch: its text, and its position in the text. */
export interface PlacedToken {
  text: number;
  position: number;
}

/**
 * x `[T, 3, width]` of these tokens, `taps [count, width]` with the current token's first, and the earlier inputs of each
 * text, `before [position, width]` → y `[T, width]`. Stores the new inputs in `before`.
 */
export function shortConv(
  x: ArrayLike<number>,
  taps: ArrayLike<number>,
  tokens: readonly PlacedToken[],
  before: readonly Float64Array[],
): Float64Array {
  const width = x.length / (3 * tokens.length);
  tokens.forEach(({ text, position }, t) => {
    for (let i = 0; i < width; i++)
      before[text]![position * width + i] = x[t * 3 * width + i]! * x[(t * 3 + 2) * width + i]!;
  });
  return Float64Array.from({ length: tokens.length * width }, (_, at) => {
    const [t, i] = [Math.floor(at / width), at % width];
    const { text, position } = tokens[t]!;
    let sum = 0;
    for (let back = 0; back < taps.length / width && back <= position; back++)
      sum += taps[back * width + i]! * before[text]![(position - back) * width + i]!;
    return x[(t * 3 + 1) * width + i]! * sum;
  });
}
