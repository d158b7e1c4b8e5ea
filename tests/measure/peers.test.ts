import '../support/gpu/optimized-shaders.ts';
import { expect, test } from 'vitest';
import { worseThan } from '../../bench/support/paper/short.ts';
import { readSections } from '../../bench/support/peers/sections.ts';
import { measureShort } from '../../bench/support/peers/short.ts';

/** Processor time on a busy machine is a little more than on an idle one, and not of both by as much. */
const TOLERANCE = 0.15;

test("processor time and memory beside llama.cpp's are at most 15 % worse than recorded", async () => {
  const { short } = Object.values(await readSections()).find(({ short }) => short) ?? {};
  expect(Object.keys(short?.ratios ?? {})).not.toEqual([]);
  expect(worseThan(short?.ratios ?? {}, (await measureShort()).ratios, TOLERANCE)).toEqual([]);
});
