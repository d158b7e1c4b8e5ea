import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { areaOf, FAULTS } from './faults.ts';
import type { Tier } from './tier.ts';

/** Result of a fault. */
export interface Result {
  id: string;
  tier: Tier;
  found: boolean;
  /** The test file that found it and its first failed test. */
  by?: string;
  test?: string;
  /** Seconds of all test files that ran. */
  seconds: number;
}

export const readResults = (path: string): Result[] =>
  existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Result[]) : [];

/** Replaces an earlier result of the same fault and tier; keeps the order of the faults. */
export function keepResult(path: string, result: Result): void {
  const others = readResults(path).filter(({ id, tier }) => id !== result.id || tier !== result.tier);
  const order = Object.values(FAULTS).flatMap((faults) => faults.map(({ id }) => id));
  const place = ({ id, tier }: Result): number => 2 * order.indexOf(id) + Number(tier === 'all');
  const results = [...others, result].filter(({ id }) => order.includes(id)).sort((a, b) => place(a) - place(b));
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
}

/** Number of faults found per area, and those not found. */
export function summary(results: readonly Result[]): string {
  const rows = Object.keys(FAULTS).flatMap((area) => {
    const own = results.filter(({ id }) => areaOf(id) === area);
    const missed = own.filter(({ found }) => !found).map(({ id }) => id);
    const found = own.length - missed.length;
    return own.length === 0 ? [] : [`${area.padEnd(14)}${`${found} of ${own.length}`.padEnd(11)}${missed.join(', ')}`];
  });
  const found = results.filter((each) => each.found).length;
  const seconds = results.reduce((sum, each) => sum + each.seconds, 0);
  const total = `${'in all'.padEnd(14)}${found} of ${results.length}, in ${Math.round(seconds)} s`;
  return [`${'area'.padEnd(14)}${'found'.padEnd(11)}not found`, ...rows, total].join('\n');
}
