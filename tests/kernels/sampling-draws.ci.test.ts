import { describe, expect, it } from 'vitest';
import type { SamplingOptions } from '../../src/config/sampling.ts';
import { distribution } from '../../src/reference/kernels/sampling.ts';
import { Random } from '../support/random.ts';
import { chiSquare, CRITICAL } from '../support/kernels/chi-square.ts';
import { CLASSES, describeVariants, type Runner, type Variant } from '../support/kernels/runner.ts';
import { flatLogits, peakedLogits, sampling, SamplingRun, VOCABULARY } from '../support/kernels/sampling-run.ts';

const DRAWS = 20_000;

/** Rare tokens pooled with a few or with many as probable, and with their neighbours in the vocabulary. */
function statistics(drawn: number[], logits: Float32Array, options: SamplingOptions): number[] {
  const { tokens, probabilities } = distribution(logits, options);
  const byId = tokens
    .map((token, i) => ({ token, probability: probabilities[i] ?? 0 }))
    .sort((a, b) => a.token - b.token);
  return [
    chiSquare(drawn, tokens, probabilities),
    chiSquare(drawn, tokens, probabilities, 200),
    chiSquare(
      drawn,
      byId.map(({ token }) => token),
      byId.map(({ probability }) => probability),
    ),
  ];
}

/** Draws at positions 0, 1, …: through the filters once, then from what they left, which they would leave again. */
async function draw(runner: Runner, logits: Float32Array, options: SamplingOptions): Promise<number[]> {
  const run = new SamplingRun(runner, logits);
  await run.next(options);
  return run.draw(DRAWS, (position) => ({ options: { ...options, topK: 0, topP: 1 }, position }));
}

/** Where a filter comes first: each draw looks at every token, and what filters leave of a large vocabulary is tested by itself. */
const FILTERED_VOCABULARY = 19_001;

// Some filters on either class: drawing is slow here, and classes differ in how they share out the vocabulary only.
const CASES: Partial<Record<Variant, Partial<SamplingOptions>[]>> = {
  cpu: [{}, { topP: 0.9, seed: 1 }],
  gpu: [
    { topK: 50, seed: 2 },
    { minP: 0.3, temperature: 0.8, seed: 3 },
    { topK: 1000, topP: 0.8, minP: 0.02, temperature: 1.3, seed: 4 },
  ],
};

describe('draws follow the distribution', () => {
  describeVariants(CLASSES, (getRunner, variant) => {
    it.each(CASES[variant] ?? [])('of %o', async (filters) => {
      const options = sampling(filters);
      const size = Object.keys(filters).length > 0 ? FILTERED_VOCABULARY : VOCABULARY;
      for (const { logits, off } of [
        { logits: flatLogits(size, new Random(26)), off: 3 },
        { logits: peakedLogits(size, new Random(27)), off: 1.1 },
      ]) {
        if (filters.topK && filters.topP && off > 2) continue; // each filter alone is enough for the flat ones
        const drawn = await draw(getRunner(), logits, options);
        for (const statistic of statistics(drawn, logits, options)) expect(statistic).toBeLessThan(CRITICAL);
        // What the test is worth: it tells another temperature.
        if (Object.keys(filters).length > 0) continue;
        expect(Math.max(...statistics(drawn, logits, { ...options, temperature: off }))).toBeGreaterThan(CRITICAL);
      }
    });
  });
});

describe('draws are independent', () => {
  const SIZE = 1000;
  const CELLS = 16;
  /** Equally probable tokens, in 16 cells of as many neighbours. */
  const logits = new Float32Array(SIZE).fill(-2);
  const cell = (token: number): number => Math.floor((token * CELLS) / SIZE);
  const masses = Array.from({ length: CELLS }, (_, c) => {
    return Array.from({ length: SIZE }, (_, token) => token).filter((token) => cell(token) === c).length / SIZE;
  });
  const pairs = Array.from({ length: CELLS ** 2 }, (_, pair) => pair);
  const chances = pairs.map((pair) => (masses[Math.floor(pair / CELLS)] ?? 0) * (masses[pair % CELLS] ?? 0));
  /** Chi-square of (first, second) over the cells. */
  const ofPairs = (first: number[], second: number[]): number =>
    chiSquare(
      first.map((token, i) => cell(token) * CELLS + cell(second[i] ?? 0)),
      pairs,
      chances,
    );

  const SERIAL_DRAWS = 10_000;

  describeVariants(CLASSES, (getRunner) => {
    it('of the position before, of the seed before, and of the token', async () => {
      const run = new SamplingRun(getRunner(), logits);
      const byPosition = await run.draw(SERIAL_DRAWS, (position) => ({ options: sampling({ seed: 11 }), position }));
      const bySeed = await run.draw(SERIAL_DRAWS, (seed) => ({ options: sampling({ seed }), position: 5 }));
      const otherSeed = await run.draw(SERIAL_DRAWS, (position) => ({ options: sampling({ seed: 12 }), position }));
      const even = (tokens: number[]): number[] => tokens.filter((_, i) => i % 2 === 0);
      const odd = (tokens: number[]): number[] => tokens.filter((_, i) => i % 2 === 1);
      const equal = new Float32Array(SIZE).fill(1 / SIZE);
      const tokens = Array.from(logits, (_, token) => token);
      const statistics = {
        positions: ofPairs(even(byPosition), odd(byPosition)),
        seeds: ofPairs(even(bySeed), odd(bySeed)),
        'the same positions of two seeds': ofPairs(byPosition, otherSeed),
        'a seed at the next position of the one before': ofPairs(byPosition.slice(1), otherSeed.slice(0, -1)),
        'tokens over positions': chiSquare(byPosition, tokens, [...equal]),
        'tokens over seeds': chiSquare(bySeed, tokens, [...equal]),
      };
      for (const [name, statistic] of Object.entries(statistics)) expect(statistic, name).toBeLessThan(CRITICAL);
      // The same seed and position give the same token, whatever was drawn in between.
      expect(await run.draw(1000, (position) => ({ options: sampling({ seed: 11 }), position }))).toEqual(
        byPosition.slice(0, 1000),
      );
    });

    it('of large seeds and positions', async () => {
      const run = new SamplingRun(getRunner(), logits);
      const seeds = [0xffffffff, 0x80000000, 0x12345678];
      const draws = await run.draw(300, (i) => ({ options: sampling({ seed: seeds[i % 3] }), position: 131_072 + i }));
      expect(new Set(draws).size).toBeGreaterThan(200);
    });
  });
});
