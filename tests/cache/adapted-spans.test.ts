import { expect, test } from 'vitest';
import { sameAdaptersUntil, BASE_SPANS } from '../../src/cache/cache-page.ts';

const span = (from: number, key: string) => ({ from, key });
const JUDGED = [span(0, ''), span(40, 'j')];

test.each([
  ['the base and itself', BASE_SPANS, BASE_SPANS, Infinity],
  ['the base and what begins later', BASE_SPANS, JUDGED, 40],
  ['the same', JUDGED, [...JUDGED], Infinity],
  ['another from the same place on', JUDGED, [span(0, ''), span(40, 's')], 40],
  ['the same from a later place on', JUDGED, [span(0, ''), span(50, 'j')], 40],
  ['one that is joined by another', JUDGED, [...JUDGED, span(60, 'j+s')], 60],
  ['the same from the beginning on', JUDGED, [span(0, 'j')], 0],
  ['others from the beginning on', [span(0, 'a')], [span(0, 'b')], 0],
])('%s share a prefix of the expected length', (_, a, b, length) => {
  expect(sameAdaptersUntil(a, b)).toBe(length);
  expect(sameAdaptersUntil(b, a)).toBe(length);
});
