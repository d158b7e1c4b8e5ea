import { expect, test } from 'vitest';
import { worseThan } from '../../bench/support/paper/short.ts';
import { readSections } from '../../bench/support/peers/sections.ts';
import { measureShort } from '../../bench/support/peers/short.ts';

/** The two runtimes' shares of a busy machine's caches vary. */
const TOLERANCE = 0.15;

test("processor time beside llama.cpp's on the same adapter is at most 15 % worse than recorded", async () => {
  const { short } = Object.values(await readSections()).find(({ short }) => short) ?? {};
  const recorded = short?.ratios ?? {};
  expect(Object.keys(recorded)).not.toEqual([]);
  const worse = (ratios: Record<string, number>): string[] => worseThan(recorded, ratios, TOLERANCE);
  expect(worse((await measureShort((ratios) => worse(ratios).length === 0)).ratios)).toEqual([]);
});
