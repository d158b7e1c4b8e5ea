/** Where a test file is run: with every change, or only where everything is. */
export type Tier = 'change' | 'all';

export const tierOf = (file: string): Tier => (file.endsWith('.ci.test.ts') ? 'all' : 'change');
