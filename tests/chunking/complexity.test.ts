import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CacheModel } from '../../src/chunking/ngram-model.ts';
import { type ComplexityEstimator, ESTIMATORS, tokenPrior } from '../../src/chunking/complexity.ts';
import type { EstimatorName, Vocabulary } from '../../src/chunking/complexity.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';
import { mean, randomText, randomWords } from './random-text.ts';
import { tokenizer, vocabulary } from './real-vocabulary.ts';

/** Complexity of every token of a text. */
const estimate = (estimator: ComplexityEstimator, tokens: Iterable<number>): number[] =>
  Array.from(tokens, (token) => estimator.push(token));

const prose = await readFile(new URL('../support/prose.txt', import.meta.url), 'utf8');
const NAMES = Object.keys(ESTIMATORS) as EstimatorName[];
const SMALL: Vocabulary = { size: 40, text: (token) => ` ${token}` };

/** Witten-Bell interpolation, computed directly over the whole history. */
function slowProbability(history: readonly number[], token: number, prior: number): number {
  let probability = prior;
  for (let order = 0; order <= Math.min(3, history.length); order++) {
    const context = history.slice(history.length - order);
    const followers = history.filter(
      (_, i) => i >= order && context.every((each, j) => history[i - order + j] === each),
    );
    if (followers.length === 0) break;
    const distinct = new Set(followers).size;
    const count = followers.filter((follower) => follower === token).length;
    probability = (count + distinct * probability) / (followers.length + distinct);
  }
  return probability;
}

/** Entropy of the tokens that followed the last n-grams, interpolated likewise, computed directly. */
function slowNgramEntropy(history: readonly number[], size: number): number {
  let ngramEntropy = 1;
  for (let order = 1; order <= Math.min(3, history.length); order++) {
    const context = history.slice(history.length - order);
    const followers = history.filter(
      (_, i) => i >= order && context.every((each, j) => history[i - order + j] === each),
    );
    if (followers.length === 0) break;
    const kinds = [...new Set(followers)];
    const shares = kinds.map((kind) => followers.filter((follower) => follower === kind).length / followers.length);
    const entropy = shares.reduce((sum, share) => sum - share * Math.log2(share), 0) / Math.log2(size);
    ngramEntropy = (kinds.length * ngramEntropy + followers.length * entropy) / (followers.length + kinds.length);
  }
  return ngramEntropy;
}

describe('the cache model', () => {
  const prior = tokenPrior(SMALL);
  const random = new Random(3);
  const tokens = Array.from({ length: 700 }, () => Math.floor(40 * random.next() ** 3));

  it('interpolates orders 0 to 3 like a direct implementation', () => {
    const model = new CacheModel(prior);
    tokens.forEach((token, i) => {
      if (i % 7 === 0) {
        expect(model.probability(token)).toBeCloseTo(slowProbability(tokens.slice(0, i), token, prior[token]!), 12);
      }
      model.learn(token);
    });
  });

  it('computes n-gram entropy like a direct implementation', () => {
    const model = new CacheModel(prior);
    tokens.forEach((token, i) => {
      if (i % 7 === 0) expect(model.ngramEntropy()).toBeCloseTo(slowNgramEntropy(tokens.slice(0, i), SMALL.size), 12);
      model.learn(token);
    });
  });

  it('gives a distribution at every position', () => {
    const model = new CacheModel(prior);
    tokens.forEach((token, i) => {
      if (i % 50 === 0) {
        const sum = Array.from({ length: SMALL.size }, (_, id) => model.probability(id)).reduce((a, b) => a + b);
        expect(sum).toBeCloseTo(1, 12);
      }
      model.learn(token);
    });
  });

  it('refuses a token outside the vocabulary', () =>
    expectError(() => new CacheModel(prior).probability(40), 'bad_request', { field: 'tokens', reason: /40.*40/ }));
});

describe.each(NAMES)('%s', (name) => {
  const tokens = tokenizer.encode(prose).slice(0, 300);

  it('stays in [0, 1], and does not depend on later tokens', () => {
    const whole = estimate(ESTIMATORS[name](vocabulary), tokens);
    for (const complexity of whole) expect(complexity).toSatisfy((value: number) => value >= 0 && value <= 1);
    const other = [...tokens.slice(0, 200), ...tokens.slice(200).reverse()];
    expect(estimate(ESTIMATORS[name](vocabulary), other).slice(0, 200)).toEqual(whole.slice(0, 200));
  });
});

describe('surprisal', () => {
  const complexities = (text: string) => estimate(ESTIMATORS.surprisal(vocabulary), tokenizer.encode(text));

  it.each([1, 2, 3, 4, 5])('finds the second copy of a paragraph less than half as hard, seed %i', (seed) => {
    const random = new Random(seed);
    const paragraph = randomText(random, randomWords(random, 60), 4).replaceAll('\n', ' ');
    const tokens = tokenizer.encode(`${paragraph}\n\n`);
    const all = estimate(ESTIMATORS.surprisal(vocabulary), [...tokens, ...tokens]);
    expect(mean(all.slice(tokens.length))).toBeLessThan(mean(all.slice(0, tokens.length)) / 2);
  });

  it('finds copies of real prose and number lists easy too, also after other text', () => {
    const numbers = Array.from({ length: 60 }, (_, i) => (i * 7919) % 1000).join(' ');
    const between = prose.split('\n\n')[3]!;
    for (const copied of [...prose.split('\n\n').slice(0, 3), numbers]) {
      const [first, middle] = [`${copied}\n\n`, `${between}\n\n`].map((text) => tokenizer.encode(text).length);
      const all = complexities(`${copied}\n\n${between}\n\n${copied}\n\n`);
      expect(mean(all.slice(first! + middle!))).toBeLessThan(mean(all.slice(0, first)) / 2);
    }
  });

  it('finds random digits harder than prose, and a repeated number easy', () => {
    const random = new Random(8);
    const numbers = Array.from({ length: 100 }, () => random.below(1e6)).join(' ');
    expect(mean(complexities(numbers))).toBeGreaterThan(1.3 * mean(complexities(prose)));
    const year = complexities('It was in 1987 that it began. It was in 1987 that it ended.');
    const tokens = tokenizer.encode('It was in 1987 that it began. It was in 1987 that it ended.');
    const places = tokens.flatMap((token, i) => (/^\d$/.test(tokenizer.decode([token])) ? [year[i]!] : []));
    expect(places).toHaveLength(8);
    expect(mean(places.slice(4))).toBeLessThan(mean(places.slice(0, 4)) / 2);
  });

  it('uses the given prior', async () => {
    const weights = (likely: number) => Float64Array.from({ length: 40 }, (_, id) => (id === likely ? 100 : 1));
    const first = (likely: number) => ESTIMATORS.unigram({ ...SMALL, prior: weights(likely) }).push(7);
    expect(first(7)).toBeLessThan(first(8));
    const bad = (prior: number[]) => () => ESTIMATORS.surprisal({ ...SMALL, prior });
    await expectError(bad([1, 2]), 'bad_request', { field: 'prior', reason: /2 weights for 40/ });
    await expectError(bad(Array<number>(40).fill(0)), 'bad_request', { field: 'prior' });
    await expectError(bad(Array<number>(40).fill(NaN)), 'bad_request', { field: 'prior' });
  });
});

describe('ngramEntropy', () => {
  const ngramEntropy = (text: string) => estimate(ESTIMATORS.ngramEntropy(vocabulary), tokenizer.encode(text));

  it('is high after contexts with many followers, and low within repetitions', () => {
    const tokens = [1, 7, 2, 3, 7, 4, 5, 7, 6, 10, 8, 9, 11, 8, 9, 12, 8, 9, 13, 7, 14, 8];
    const found = estimate(ESTIMATORS.ngramEntropy({ ...SMALL, text: () => ' word' }), tokens);
    const [afterSeven, afterEight] = [found[19]!, found[21]!];
    expect(afterSeven).toBeGreaterThan(2 * afterEight);
  });

  it('is medium for ordinary prose, and low for repetitions', () => {
    expect(mean(ngramEntropy(prose))).toBeGreaterThan(0.4);
    expect(mean(ngramEntropy(prose))).toBeLessThan(0.6);
    const once = ngramEntropy(prose.slice(0, 2000));
    const twice = ngramEntropy(prose.slice(0, 2000).repeat(2));
    expect(mean(twice.slice(once.length))).toBeLessThan(mean(once) / 2);
  });
});

describe('ngramEntropy at turns of a text', () => {
  const ngramEntropy = (text: string) => {
    const tokens = tokenizer.encode(text);
    return {
      texts: tokens.map((token) => tokenizer.decode([token])),
      found: estimate(ESTIMATORS.ngramEntropy(vocabulary), tokens),
    };
  };
  const paragraph = prose.slice(0, 300).replaceAll('\n', ' ').trim();

  it('is 1 from the break after a paragraph, across headings, until the next paragraph has begun', () => {
    const { texts, found } = ngramEntropy(`${paragraph}\n\n# A heading\n\n${paragraph.toUpperCase()}`);
    const first = texts.findIndex((text) => text.includes('\n'));
    const begins = texts.findIndex((text, i) => i > first && /[A-Z]{2}/.test(text));
    expect(found.slice(first, begins + 8)).toEqual(Array(begins + 8 - first).fill(1));
    expect(mean(found.slice(0, first))).toBeLessThan(0.7);
    expect(mean(found.slice(begins + 8))).toBeLessThan(0.7);
  });

  it('does not turn at the ends of verses, nor at a repeated paragraph', () => {
    const verses = ngramEntropy(
      'And all the men and women merely players;\nThey have their exits and their entrances;\n'.repeat(2),
    );
    const atBreaks = ({ texts, found }: typeof verses, from = 0) =>
      found.filter((_, i) => i >= from && texts[i]!.includes('\n'));
    expect(Math.max(...atBreaks(verses))).toBeLessThan(1);
    const again = ngramEntropy(`${paragraph}\n`.repeat(3));
    expect(atBreaks(again)[0]).toBe(1);
    expect(atBreaks(again)[2]).toBeLessThan(0.5);
  });

  it('gives separators of numbers the complexity of the numbers', () => {
    const { texts, found } = ngramEntropy('7381, 96.2, 5504, 1.77, 8093 and more');
    const [comma, and] = [texts.lastIndexOf(','), texts.findIndex((text) => text.includes('and'))];
    expect(found[comma]).toBe(found[comma - 1]);
    expect(found[and]).not.toBe(found[and - 1]);
  });
});

describe('entropy', () => {
  it("is the square root of the model's entropy, or surprisal without one", () => {
    const [a, b] = [ESTIMATORS.entropy(vocabulary), ESTIMATORS.surprisal(vocabulary)];
    expect(a.push(500)).toBe(b.push(500));
    expect(a.push(501, 0.25)).toBe(0.5);
    b.push(501, 0.25);
    // Sampled tokens are part of the text for later tokens.
    expect(a.push(500)).toBe(b.push(500));
    expect(a.push(501, 1.0001)).toBe(1);
  });
});

describe('baselines', () => {
  it('compute what their names say', () => {
    const words = tokenizer.encode('the extraordinary');
    const [short, long] = words.map((token) => ESTIMATORS.length(vocabulary).push(token));
    expect(short! * 16).toBeCloseTo(3);
    expect(long).toBeGreaterThan(short!);
    expect(estimate(ESTIMATORS.position(), [5, 5, 5]).map((c) => c * 258)).toEqual([0, expect.closeTo(258 / 257), 2]);
    expect(ESTIMATORS.unigram(vocabulary).push(40_000)).toBeGreaterThan(ESTIMATORS.unigram(vocabulary).push(300));
  });
});
