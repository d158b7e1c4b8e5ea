import { describe, expect, it } from 'vitest';
import type { SamplingOptions } from '../../src/config/sampling.ts';
import { distribution } from '../reference/kernels/sampling.ts';
import { Random } from '../support/random.ts';
import { chiSquare, CRITICAL } from '../support/kernels/chi-square.ts';
import { CLASSES, describeVariants, type Runner, type Variant } from '../support/kernels/runner.ts';
import { flatLogits, peakedLogits, sampling, SamplingRun, VOCABULARY } from '../support/kernels/sampling-run.ts';

const SAMPLES = 20_000;

/**
 * Chi-square statistics with rare tokens pooled in three orders: with equally rare tokens, with more probable ones, and
 * with their neighbours.
 */
function statistics(samples: number[], logits: Float32Array, options: SamplingOptions): number[] {
  const { tokens, probabilities } = distribution(logits, options);
  const byId = tokens
    .map((token, i) => ({ token, probability: probabilities[i] ?? 0 }))
    .sort((a, b) => a.token - b.token);
  return [
    chiSquare(samples, tokens, probabilities),
    chiSquare(samples, tokens, probabilities, 200),
    chiSquare(
      samples,
      byId.map(({ token }) => token),
      byId.map(({ probability }) => probability),
    ),
  ];
}

/** Samples at positions 0, 1, …: the filters run once; later samples use the logits that they left. */
async function sampled(runner: Runner, logits: Float32Array, options: SamplingOptions): Promise<number[]> {
  const run = new SamplingRun(runner, logits);
  await run.next(options);
  return run.sample(SAMPLES, (position) => ({ options: { ...options, topK: 0, topP: 1 }, position }));
}

/** A smaller vocabulary with filters: each sample reads every token, and filters of a large vocabulary have their own tests. */
const FILTERED_VOCABULARY = 19_001;

// Each class runs some of the filters: sampling is slow here, and the classes differ only in how they divide the
// vocabulary.
const CASES: Partial<Record<Variant, Partial<SamplingOptions>[]>> = {
  cpu: [{}, { topP: 0.9, seed: 1 }],
  gpu: [
    { topK: 50, seed: 2 },
    { minP: 0.3, temperature: 0.8, seed: 3 },
    { topK: 1000, topP: 0.8, minP: 0.02, temperature: 1.3, seed: 4 },
  ],
};

describe('samples follow the distribution', () => {
  describeVariants(CLASSES, (getRunner, variant) => {
    it.each(CASES[variant] ?? [])('of %o', async (filters) => {
      const options = sampling(filters);
      const size = Object.keys(filters).length > 0 ? FILTERED_VOCABULARY : VOCABULARY;
      for (const { logits, off } of [
        { logits: flatLogits(size, new Random(26)), off: 3 },
        { logits: peakedLogits(size, new Random(27)), off: 1.1 },
      ]) {
        if (filters.topK && filters.topP && off > 2) continue; // flat distributions run each filter alone only
        const tokens = await sampled(getRunner(), logits, options);
        for (const statistic of statistics(tokens, logits, options)) expect(statistic).toBeLessThan(CRITICAL);
        // A wrong temperature must be detected.
        if (Object.keys(filters).length > 0) continue;
        expect(Math.max(...statistics(tokens, logits, { ...options, temperature: off }))).toBeGreaterThan(CRITICAL);
      }
    });
  });
});

describe('samples are independent', () => {
  const SIZE = 1000;
  const CELLS = 16;
  /** Equally probable tokens, in 16 cells of neighbours. */
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

  const SERIAL_SAMPLES = 10_000;

  describeVariants(CLASSES, (getRunner) => {
    it('of the position before, of the seed before, and of the token', async () => {
      const run = new SamplingRun(getRunner(), logits);
      const byPosition = await run.sample(SERIAL_SAMPLES, (position) => ({
        options: sampling({ seed: 11 }),
        position,
      }));
      const bySeed = await run.sample(SERIAL_SAMPLES, (seed) => ({ options: sampling({ seed }), position: 5 }));
      const otherSeed = await run.sample(SERIAL_SAMPLES, (position) => ({ options: sampling({ seed: 12 }), position }));
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
      // The same seed and position give the same token, independent of the samples in between.
      expect(await run.sample(1000, (position) => ({ options: sampling({ seed: 11 }), position }))).toEqual(
        byPosition.slice(0, 1000),
      );
    });

    it('of large seeds and positions', async () => {
      const run = new SamplingRun(getRunner(), logits);
      const seeds = [0xffffffff, 0x80000000, 0x12345678];
      const samples = await run.sample(300, (i) => ({
        options: sampling({ seed: seeds[i % 3] }),
        position: 131_072 + i,
      }));
      expect(new Set(samples).size).toBeGreaterThan(200);
    });
  });
});
