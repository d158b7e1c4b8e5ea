import { expect, test } from 'vitest';
import { readSections } from '../../bench/support/paper/sections.ts';
import { measureShort, worseThan } from '../../bench/support/paper/short.ts';

/** Buffer sizes may vary by a page. */
const TOLERANCE = 0.15;

test('bytes, dispatches and ranks beside ordinary LoRA are at most 15 % worse than recorded', async () => {
  const { short: recorded = {} } = Object.values(await readSections()).find(({ short }) => short) ?? {};
  expect(Object.keys(recorded)).not.toEqual([]);
  expect(worseThan(recorded, (await measureShort()).ratios, TOLERANCE)).toEqual([]);
});
