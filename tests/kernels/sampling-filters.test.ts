import { describe, expect, it } from 'vitest';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import { adjustLogits, argmax, distribution } from '../reference/kernels/sampling.ts';
import { Random } from '../support/random.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { CLASSES, describeVariants } from '../support/kernels/runner.ts';
import {
  flatLogits,
  midway,
  peakedLogits,
  sampling,
  SamplingRun,
  VOCABULARY,
} from '../support/kernels/sampling-run.ts';
import { byTier } from '../support/tier.ts';

describe('greedy', () => {
  describeVariants(CLASSES, (getRunner) => {
    const sizes = [1, 2, 63, 64, 65, 255, 257, 4097, VOCABULARY];
    it.each(byTier([1, 65, 257, 4097, VOCABULARY], sizes))(
      'picks the largest of %d logits, and the lowest index of equal ones',
      async (size) => {
        const random = new Random(size);
        const rounded = Float32Array.from(random.normals(size), (value) => Math.round(2 * value));
        const last = random.normals(size);
        last[size - 1] = 50;
        const rows = [random.normals(size), rounded, last, new Float32Array(size), new Float32Array(size).fill(-1e30)];
        for (const logits of rows) {
          expect(await new SamplingRun(getRunner(), logits).next(GREEDY)).toBe(argmax(logits));
        }
      },
    );

    it('equals sampling at a temperature near zero', async () => {
      const logits = new Random(21).normals(5000);
      for (const temperature of [1e-4, 1e-40]) {
        for (const filters of [{}, { topK: 7, topP: 0.9 }]) {
          const run = new SamplingRun(getRunner(), logits);
          expect(await run.next(sampling({ temperature, ...filters }))).toBe(argmax(logits));
        }
      }
    });
  });
});

describe('penalties and bias', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each([
      { repetitionPenalty: 1.3 },
      { presencePenalty: 0.7 },
      { frequencyPenalty: 0.4 },
      { frequencyPenalty: -0.5, presencePenalty: -0.2 },
      {
        logitBias: new Map([
          [3, 100],
          [9, -100],
          [4096, 0.5],
        ]),
      },
      {
        repetitionPenalty: 0.8,
        presencePenalty: 0.3,
        frequencyPenalty: 0.2,
        logitBias: new Map([
          [1, -5],
          [2, 9],
        ]),
      },
    ])('%o', async (penalties) => {
      const random = new Random(22);
      const size = 4097;
      const prompt = Array.from({ length: 300 }, () => random.below(size));
      for (const temperature of [0, 0.3]) {
        const options = { ...GREEDY, temperature, ...penalties };
        const run = new SamplingRun(getRunner(), new Float32Array(size));
        run.begin(options, prompt);
        const answer: number[] = [];
        // A narrow peak, so that the answer repeats itself.
        const logits = random.normals(size, 1);
        for (const token of [5, prompt[0] ?? 0, 70]) logits[token] = 5;
        for (let step = 0; step < 6; step++) {
          run.restore(logits);
          const token = await run.next(options, step);
          const want = adjustLogits(logits, options, prompt, answer);
          expectClose('sample-adjust', await run.logits(), want);
          if (temperature === 0) expect(want[token]).toBeCloseTo(want[argmax(want)] ?? NaN, 5);
          answer.push(token);
        }
        expect(new Set(answer).size).toBeLessThan(7);
      }
    });

    it('do not count tokens of the previous request', async () => {
      const logits = new Random(23).normals(500);
      const run = new SamplingRun(getRunner(), logits);
      const options = { ...GREEDY, frequencyPenalty: 1, logitBias: new Map([[7, 50]]) };
      run.begin(options, []);
      expect(await run.next(options)).toBe(7);
      run.restore(logits);
      const plain = { ...GREEDY, frequencyPenalty: 1 };
      run.begin(plain, []);
      expect(await run.next(plain)).toBe(argmax(logits));
      expect(await run.logits()).toEqual(logits);
    });
  });
});

const random = new Random(24);
const LOGITS: Record<string, Float32Array> = {
  flat: flatLogits(VOCABULARY, random),
  peaked: peakedLogits(VOCABULARY, random),
  equal: new Float32Array(VOCABULARY).fill(1.5),
  tied: Float32Array.from(random.normals(VOCABULARY, 2), (value) => Math.round(2 * value) / 2),
  'of either sign, far apart': random.normals(VOCABULARY, 200),
};

/** min-p is tested separately: it is a bound on samples and does not change the logits. */
const FILTERS: Partial<SamplingOptions>[] = [
  { topK: 1 },
  { topK: 40 },
  { topK: 75_001 },
  { topK: VOCABULARY - 1 },
  { topK: VOCABULARY + 1 },
  { topP: 1e-6 },
  { topP: 0.5, temperature: 0.7 },
  { topP: 0.95, temperature: 1.5 },
  { topP: 0.99 }, // the next token weighs 1e-6: a smaller share is below the precision of a sum in f32
  { topK: 50, topP: 0.9 },
  { topK: 20_000, topP: 0.6, temperature: 0.8 },
];

/** What the filters keep of the logits of a name, in the reference: both classes expect the same. */
const expected = new Map<string, { options: SamplingOptions; want: number[] }[]>();

function keptOf(name: string, logits: Float32Array): { options: SamplingOptions; want: number[] }[] {
  // Peaked and tied logits go through all filters, the other kinds through some of each.
  const filters = ['peaked', 'tied'].includes(name) ? FILTERS : FILTERS.filter((_, i) => i % 3 === 1);
  const made =
    expected.get(name) ??
    filters.map((filter) => {
      const options = midway(logits, sampling(filter));
      return { options, want: distribution(logits, options).tokens.sort((a, b) => a - b) };
    });
  expected.set(name, made);
  return made;
}

describe('tokens that top-k and top-p keep', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each(byTier(['peaked', 'tied'], Object.keys(LOGITS)))('of %s logits', async (name) => {
      const logits = LOGITS[name] ?? new Float32Array();
      const run = new SamplingRun(getRunner(), logits);
      for (const { options, want } of keptOf(name, logits)) {
        run.restore(logits);
        const token = await run.next(options);
        const kept = await run.kept();
        expect(kept.length, JSON.stringify(options)).toBe(want.length);
        expect(kept.every((token, i) => token === want[i])).toBe(true);
        expect(kept).toContain(token);
      }
    });

    it('of small vocabularies', async () => {
      for (const size of byTier([1, 65, 257], [1, 2, 63, 65, 257])) {
        const logits = new Random(size).normals(size, 2);
        const run = new SamplingRun(getRunner(), logits);
        for (const filter of [{ topK: 1 }, { topK: 2 }, { topK: size - 1 }, { topP: 0.5 }, { topK: 60, topP: 0.8 }]) {
          const options = midway(logits, sampling(filter));
          run.restore(logits);
          await run.next(options);
          expect(await run.kept()).toEqual(distribution(logits, options).tokens.sort((a, b) => a - b));
        }
      }
    });
  });
});

describe('tokens that min-p keeps', () => {
  describeVariants(CLASSES, (getRunner) => {
    const filters = [
      { minP: 0.05 },
      { minP: 0.2, temperature: 1.4 },
      { minP: 0.1, topK: 12 },
      { minP: 0.1, topP: 0.6 },
      { minP: 0.03, topK: 50, topP: 0.9, temperature: 0.9 },
      { minP: 1 },
    ];
    // Each sample reads the whole vocabulary.
    const size = 4097;
    it.each(byTier(filters.slice(1, 2), filters))('are exactly the sampled tokens: %o', async (filter) => {
      const logits = peakedLogits(size, new Random(25));
      const options = midway(logits, sampling(filter));
      const run = new SamplingRun(getRunner(), logits);
      await run.next(options);
      const samples = await run.sample(1200, (position) => ({ options: { ...options, topK: 0, topP: 1 }, position }));
      const ascending = (tokens: Iterable<number>): number[] => [...tokens].sort((a, b) => a - b);
      expect(ascending(new Set(samples))).toEqual(ascending(distribution(logits, options).tokens));
    });
  });
});
