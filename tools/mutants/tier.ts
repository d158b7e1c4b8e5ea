/** Tier of a test file: `change`, or only `rest`. */
export type Tier = 'change' | 'all';

export const tierOf = (file: string): Tier => (file.endsWith('.ci.test.ts') ? 'all' : 'change');
