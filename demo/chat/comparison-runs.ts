import { formatInterval, LEAST_VALUES, medianInterval } from '../basics/interval.ts';
import type { Way } from './request.ts';

/** One answer's times. */
export interface Run {
  tokens: number;
  ttftMs: number;
  tokensPerSecond: number;
}

/** As many of the one way as of the other. */
export type Runs = Record<Way, Run[]>;

/** Tokens of each way that are too few to tell speeds by, and runs that are enough all the same. */
const LEAST_TOKENS = 64;
const MOST_RUNS = 16;
/** Of each answer after the first, which is shown. */
export const MOST_TOKENS_AGAIN = 64;
export const WAYS: readonly Way[] = ['chunkwise', 'ordinary'];

export const runOf = ({ tokens, ttftMs, tokensPerSecond }: Run): Run => ({ tokens, ttftMs, tokensPerSecond });

function isEnough(runs: Runs): boolean {
  const count = runs.chunkwise.length;
  const fewest = Math.min(...WAYS.map((way) => runs[way].reduce((sum, { tokens }) => sum + tokens, 0)));
  return count >= MOST_RUNS || (count >= LEAST_VALUES && fewest >= LEAST_TOKENS);
}

/**
 * Adds to `runs` until there is enough to tell speeds by. The ways take turns, and each pair begins with the way that
 * ended the pair before: what else the machine does meets both alike. Ends early where a run has no times.
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

/** How fast Chunkwise is beside ordinary LoRA, by the speeds of each pair; undefined where there are too few. */
export function verdictOf({ chunkwise, ordinary }: Runs): string | undefined {
  const ratios = chunkwise.map(({ tokensPerSecond }, i) => tokensPerSecond / (ordinary[i]?.tokensPerSecond ?? NaN));
  const interval = ratios.every((ratio) => Number.isFinite(ratio) && ratio > 0) ? medianInterval(ratios) : undefined;
  if (!interval) return undefined;
  const times = formatInterval(interval, (ratio) => ratio.toFixed(2));
  const isSure = interval.low > 1 || interval.high < 1;
  return `Chunkwise writes ${times} times as fast${isSure ? '' : ': no difference is seen'}.`;
}
