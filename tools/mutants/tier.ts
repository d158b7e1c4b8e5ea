/** How often a test file is run: with every change, or only where everything is. */
export type Tier = 'change' | 'all';

/** Until test files have tiers, all of them are run with every change. */
export const tierOf = (_file: string): Tier => 'change';
