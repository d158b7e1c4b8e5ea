import { describe, expect, it } from 'vitest';
import type { SamplingOptions } from '../../src/config/sampling.ts';
import { argmax, distribution } from '../reference/kernels/sampling.ts';
import { CLASSES, describeVariants } from '../support/kernels/runner.ts';
import { midway, sampling, SamplingRun } from '../support/kernels/sampling-run.ts';
import { Random } from '../support/random.ts';

/** Sizes around a workgroup's invocations, and the vocabularies of SmolLM2 and Gemma. sampling-filters.test.ts has one between them. */
const SIZES = [1, 255, 256, 257, 1023, 1025, 49_152, 262_144];
const MASKED = -3e38;

const LOGITS: Record<string, (size: number, random: Random) => Float32Array> = {
  normal: (size, random) => random.normals(size, 2),
  'in few steps': (size, random) => Float32Array.from(random.normals(size), (value) => Math.round(value)),
  equal: (size) => new Float32Array(size).fill(-2.5),
  'of either zero': (size) => Float32Array.from({ length: size }, (_, i) => (i % 2 === 0 ? 0 : -0)),
  'infinitely low but for some': (size, random) =>
    Float32Array.from({ length: size }, (_, i) => (i % 5 === (size - 1) % 5 ? random.normal() : -Infinity)),
  'masked but for the last': (size) => new Float32Array(size).fill(MASKED).fill(1, size - 1),
};

const FILTERS: Partial<SamplingOptions>[] = [
  { topK: 40, topP: 0.9 },
  { topP: 0.95, temperature: 1.3 },
  { topK: 131, temperature: 0.6 },
];

const allowed = (logits: Float32Array): number[] =>
  [...logits.keys()].filter((token) => (logits[token] ?? NaN) > MASKED);

/** Unmasked tokens that filters keep. */
function keptOf(logits: Float32Array, options: SamplingOptions): number[] {
  const tokens = allowed(logits);
  const { tokens: kept } = distribution(
    tokens.map((token) => logits[token] ?? NaN),
    options,
  );
  return kept.map((i) => tokens[i] ?? NaN).sort((a, b) => a - b);
}

interface Case {
  name: string;
  logits: Float32Array;
  best: number;
  filtered: { options: SamplingOptions; want: number[] }[];
}

/** What the reference says of each size; both classes expect the same. */
const cases = new Map<number, Case[]>();

function casesOf(size: number): Case[] {
  const isLarge = size > 2000;
  const made =
    cases.get(size) ??
    Object.entries(LOGITS).map(([name, make], i) => {
      const logits = make(size, new Random(size));
      const own = Float32Array.from(allowed(logits), (token) => logits[token] ?? NaN);
      // A large vocabulary has one filter for each kind of logits, each filter for some kind.
      const filters = isLarge ? [FILTERS[i % FILTERS.length]!] : FILTERS;
      const filtered = filters.map((filter) => {
        const options = midway(own, sampling(filter));
        return { options, want: keptOf(logits, options) };
      });
      return { name, logits, best: argmax(logits), filtered };
    });
  cases.set(size, made);
  return made;
}

describe('vocabularies', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each(SIZES)('of %d tokens are filtered exactly', async (size) => {
      for (const { name, logits, best, filtered } of casesOf(size)) {
        const run = new SamplingRun(getRunner(), logits);
        expect(await run.next(sampling({ temperature: 0 })), name).toBe(best);
        for (const { options, want } of filtered) {
          run.restore(logits);
          const token = await run.next(options);
          const kept = await run.kept();
          expect(kept.length, `${name} ${JSON.stringify(options)}`).toBe(want.length);
          expect(
            kept.every((each, i) => each === want[i]),
            name,
          ).toBe(true);
          expect(kept).toContain(token);
        }
      }
    });
  });
});

describe('a seed', () => {
  const sampled = new Map<string, number[]>();

  describeVariants(CLASSES, (getRunner, variant) => {
    it('gives the same tokens with other kernels', async () => {
      const logits = new Random(8).normals(49_153, 1.5);
      const tokens: number[] = [];
      for (const filter of [{}, { topP: 0.3 }, { topP: 0.999 }, { topK: 50, topP: 0.8 }, { minP: 0.05 }]) {
        const run = new SamplingRun(getRunner(), logits);
        tokens.push(
          ...(await run.sample(40, (position) => ({ options: sampling({ ...filter, seed: 5 }), position }))),
          ...(await run.kept()),
        );
      }
      sampled.set(variant, tokens);
      expect(new Set(tokens).size).toBeGreaterThan(100);
      for (const others of sampled.values()) expect(tokens).toEqual(others);
    });
  });
});
