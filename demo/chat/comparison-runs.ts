import { formatInterval, LEAST_VALUES, medianInterval } from '../basics/interval.ts';
import type { Way } from './request.ts';

/** Times of one answer. */
export interface Run {
  tokens: number;
  ttftMs: number;
  tokensPerSecond: number;
}

/** Runs of both ways, equal in number. */
export type Runs = Record<Way, Run[]>;

/** Tokens per way below which speeds are uncertain, and runs that are enough anyway. */
const LEAST_TOKENS = 64;
const MOST_RUNS = 16;
/** Tokens of each answer after the first, which is shown. */
export const MOST_TOKENS_AGAIN = 64;
export const WAYS: readonly Way[] = ['chunkwise', 'ordinary'];

export const runOf = ({ tokens, ttftMs, tokensPerSecond }: Run): Run => ({ tokens, ttftMs, tokensPerSecond });

function isEnough(runs: Runs): boolean {
  const count = runs.chunkwise.length;
  const fewest = Math.min(...WAYS.map((way) => runs[way].reduce((sum, { tokens }) => sum + tokens, 0)));
  return count >= MOST_RUNS || (count >= LEAST_VALUES && fewest >= LEAST_TOKENS);
}

/**
 * Adds to `runs` until speeds are certain. The ways alternate, and each pair begins with the way that ended the
 * previous pair, so that other load affects both alike. Ends early if a run has no times.
 */
export async function runInTurns(
  runs: Runs,
  run: (way: Way) => Promise<Run | undefined>,
  onPair: () => void,
): Promise<void> {
  while (!isEnough(runs)) {
    const pair: Partial<Record<Way, Run>> = {};
    const isOdd = runs.chunkwise.length % 2 === 1;
    for (const way of isOdd ? [...WAYS].reverse() : WAYS) {
      const measured = await run(way);
      if (!measured) return;
      pair[way] = runOf(measured);
    }
    for (const way of WAYS) if (pair[way]) runs[way].push(pair[way]);
    onPair();
  }
}

/** Speed of Chunkwise relative to ordinary LoRA, from the speeds of each pair; undefined for too few. */
export function verdictOf({ chunkwise, ordinary }: Runs): string | undefined {
  const ratios = chunkwise.map(({ tokensPerSecond }, i) => tokensPerSecond / (ordinary[i]?.tokensPerSecond ?? NaN));
  const interval = ratios.every((ratio) => Number.isFinite(ratio) && ratio > 0) ? medianInterval(ratios) : undefined;
  if (!interval) return undefined;
  const times = formatInterval(interval, (ratio) => ratio.toFixed(2));
  const isSure = interval.low > 1 || interval.high < 1;
  return `Chunkwise writes ${times} times as fast${isSure ? '' : ': no difference is seen'}.`;
}
