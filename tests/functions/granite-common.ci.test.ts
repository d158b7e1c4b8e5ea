import { expect, test } from 'vitest';
import { splitSentences } from '../../src/functions/sentences.ts';
import { Random } from '../support/random.ts';
import { cannedCases } from './canned.ts';
import { generateCase, randomText } from './generated.ts';
import { ours } from './ours.ts';
import { referenceResults, referenceSentences } from './reference.ts';

test('1,000 texts have the sentences that NLTK finds', () => {
  const random = new Random(45);
  const texts = Array.from({ length: 1000 }, () => randomText(random));
  const expected = referenceSentences(texts);
  texts.forEach((text, i) => expect(splitSentences(text), JSON.stringify(text)).toEqual(expected[i]));
});

test("500 functions: requests after rewriting and results after transforming equal the reference's", () => {
  const cases = Array.from({ length: 500 }, (_, seed) => generateCase(seed));
  const expected = referenceResults(cases);
  const counts = { refused: 0, results: 0 };
  cases.forEach((one, i) => {
    const { error, request, result } = expected[i]!;
    if (error !== undefined) {
      counts.refused++;
      return;
    }
    counts.results++;
    const own = ours(one);
    expect(own.request, one.yaml).toEqual(request);
    expect(rounded(own.result), one.yaml).toEqual(rounded(result));
  });
  expect(counts.results).toBeGreaterThan(400);
});

test.each(cannedCases())('the canned case $name of granite-common: request and result', (one) => {
  const { rewritten, result } = one;
  const own = ours(one);
  expect(own.request).toEqual(rewritten);
  expect(rounded(own.result)).toEqual(rounded(result));
});

/** Numbers to 12 digits: sums differ in their last bits. */
const rounded = (value: unknown): unknown =>
  value === undefined
    ? undefined
    : (JSON.parse(JSON.stringify(value), (_, own: unknown) =>
        typeof own === 'number' ? Number(own.toPrecision(12)) : own,
      ) as unknown);
