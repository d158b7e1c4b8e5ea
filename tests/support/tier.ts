/**
 * Tier of a test run: `change` runs the tests that a change needs (`npm test`), `rest` those that CI runs afterwards
 * (`npm run test:rest`), `all` both.
 */
export type Tier = 'change' | 'rest' | 'all';

const TIERS: readonly string[] = ['change', 'rest', 'all'] satisfies Tier[];

/** The tier of this run, from CHUNKWISE_TIER. Without it, vitest runs all tests. */
export const TIER = readTier(process.env['CHUNKWISE_TIER'] ?? 'all');

function readTier(name: string): Tier {
  if (!TIERS.includes(name)) throw new Error(`CHUNKWISE_TIER is ${name}, but must be one of ${TIERS.join(', ')}`);
  return name as Tier;
}

/** The cases of a parametrised test: `few` in the change tier, `all` otherwise. */
export const byTier = <T>(few: readonly T[], all: readonly T[]): readonly T[] => (TIER === 'change' ? few : all);

/** Defines tests that the change tier skips. */
export function restOnly(define: () => void): void {
  if (TIER !== 'change') define();
}
