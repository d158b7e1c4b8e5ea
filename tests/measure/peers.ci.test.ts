import { expect, test } from 'vitest';
import { worseThan } from '../../bench/support/paper/short.ts';
import { worstShortRatios } from '../../bench/support/peers/sections.ts';
import { measureShort } from '../../bench/support/peers/short.ts';

/** The two runtimes' shares of a busy machine's caches vary. */
const TOLERANCE = 0.15;

test("processor time beside llama.cpp's on the same adapter is at most 15 % worse than the worst recorded", async () => {
  const recorded = await worstShortRatios();
  expect(Object.keys(recorded)).not.toEqual([]);
  const worse = (ratios: Record<string, number>): string[] => worseThan(recorded, ratios, TOLERANCE);
  expect(worse((await measureShort((ratios) => worse(ratios).length === 0)).ratios)).toEqual([]);
});
