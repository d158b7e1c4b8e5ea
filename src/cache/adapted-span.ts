/** A text's tokens from `from` on, up to the next span, are computed with what `key` stands for: adapters and their plan. */
export interface AdaptedSpan {
  from: number;
  key: string;
}

/** Without adapters. The first span of a text begins with it, and neighbours have different keys. */
export const BASE_SPANS: readonly AdaptedSpan[] = [{ from: 0, key: '' }];

/** How many first tokens are computed alike in two texts that begin with the same ones; Infinity where all are. */
export function alikeUntil(a: readonly AdaptedSpan[], b: readonly AdaptedSpan[]): number {
  const differs = (_: unknown, i: number): boolean => a[i]?.from !== b[i]?.from || a[i]?.key !== b[i]?.key;
  const at = (a.length > b.length ? a : b).findIndex(differs);
  return at < 0 ? Infinity : Math.min(a[at]?.from ?? Infinity, b[at]?.from ?? Infinity);
}
