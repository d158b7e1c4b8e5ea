import { describe, expect, it } from 'vitest';
import { MAX_SEQUENCES } from '../../src/config/limits.ts';
import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import { Sampler } from '../../src/session/sampling/sampler.ts';
import { argmax } from '../reference/kernels/sampling.ts';
import { Random } from '../support/random.ts';
import { normalizedEntropy } from '../support/kernels/normalized-entropy.ts';
import { CLASSES, describeVariants, type Runner } from '../support/kernels/runner.ts';
import { flatLogits, peakedLogits, sampling, VOCABULARY } from '../support/kernels/sampling-run.ts';
import { byTier } from '../support/tier.ts';

/** A sampler over rows of logits. */
function samplerOf(runner: Runner, rows: readonly Float32Array[]) {
  const width = rows[0]?.length ?? 0;
  const all = new Float32Array(rows.length * width);
  rows.forEach((row, i) => all.set(row, i * width));
  const logits = runner.upload(all);
  const tokens = runner.empty(MAX_SEQUENCES * 4);
  const sampler = new Sampler(runner.device, width, logits, tokens);
  return {
    sampler,
    restore: () => runner.device.gpuDevice.queue.writeBuffer(logits, 0, all.slice()),
    record: (row: number, slot: number, options: SamplingOptions, wantsEntropy = false, position = 0) =>
      sampler.record(runner.recorder, row, { slot, sampling: options, position, wantsEntropy }),
    tokens: async () => [...new Uint32Array(await runner.read(tokens))],
    entropy: () => runner.floats(sampler.entropy),
  };
}

const random = new Random(31);
const spiked = (value: number, ...at: number[]): Float32Array => {
  const logits = random.normals(5000);
  for (const token of at) logits[token] = value;
  return logits;
};
const ENTROPIES: Record<string, Float32Array> = {
  flat: flatLogits(VOCABULARY, random),
  peaked: peakedLogits(VOCABULARY, random),
  equal: new Float32Array(VOCABULARY).fill(-7.25),
  'one for sure, the first': spiked(1e4, 0),
  'one for sure, the last': spiked(1e4, 4999),
  'two for sure': spiked(1e30, 17, 4000),
  'two above the rest': spiked(12, 17, 4000),
  'far apart': random.normals(VOCABULARY, 200),
  'of either end of f32': Float32Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? 3e38 : -3e38)),
  'rising, each the largest so far': Float32Array.from({ length: 4097 }, (_, i) => i / 400),
  'falling to nothing': Float32Array.from({ length: 4097 }, (_, i) => -i * i),
  ...Object.fromEntries([1, 2, 63, 65, 257].map((size) => [`of ${size} tokens`, random.normals(size, 2)])),
};

describe('entropy', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each(byTier(Object.keys(ENTROPIES).slice(0, 3), Object.keys(ENTROPIES)))('%s', async (name) => {
      const logits = ENTROPIES[name] ?? new Float32Array();
      const run = samplerOf(getRunner(), [logits]);
      run.record(0, 2, GREEDY, true);
      const got = await run.entropy();
      expect(Math.abs((got[2] ?? NaN) - normalizedEntropy(logits))).toBeLessThan(1e-4);
      expect(got[0]).toBe(0);
      expect((await run.tokens())[2]).toBe(argmax(logits));
    });

    it('comes from the raw logits of its own row, before penalties, temperature and filters', async () => {
      const rows = [random.normals(3000, 3), random.normals(3000, 1), random.normals(3000, 6)];
      const run = samplerOf(getRunner(), rows);
      const options = sampling({ temperature: 0.3, topK: 5, repetitionPenalty: 1.5, logitBias: new Map([[3, 60]]) });
      run.sampler.begin(1, options, [1, 2, 3]);
      run.record(0, 3, GREEDY, true);
      run.record(1, 1, options, true);
      run.record(2, 0, GREEDY);
      const got = await run.entropy();
      expect(Math.abs((got[3] ?? NaN) - normalizedEntropy(rows[0] as Float32Array))).toBeLessThan(1e-4);
      expect(Math.abs((got[1] ?? NaN) - normalizedEntropy(rows[1] as Float32Array))).toBeLessThan(1e-4);
      expect(got[0]).toBe(0); // this sequence did not request the entropy
      expect((await run.tokens())[1]).toBe(3);
    });
  });
});

describe('sequence slots', () => {
  describeVariants(CLASSES, (getRunner) => {
    it('give the same tokens as alone, in any row and slot', async () => {
      const rows = Array.from({ length: 4 }, () => random.normals(4097, 2));
      const options = [
        GREEDY,
        sampling({ topK: 40, seed: 3 }),
        sampling({ topP: 0.8, temperature: 1.3, seed: 4 }),
        sampling({ minP: 0.02, seed: 5 }),
      ];
      const alone: number[] = [];
      for (const [i, row] of rows.entries()) {
        const run = samplerOf(getRunner(), [row]);
        run.record(0, 0, options[i] ?? GREEDY, false, 100 + i);
        alone.push((await run.tokens())[0] ?? NaN);
      }
      const run = samplerOf(getRunner(), rows);
      const slots = [2, 0, 3, 1];
      slots.forEach((slot, row) => run.record(row, slot, options[row] ?? GREEDY, row % 2 === 0, 100 + row));
      const tokens = await run.tokens();
      expect(slots.map((slot) => tokens[slot])).toEqual(alone);
    });

    it('have their own counts, bias and prompt', async () => {
      const logits = new Float32Array(700);
      logits.set([5, 4, 3]);
      const run = samplerOf(getRunner(), [logits, logits]);
      const counting = { ...GREEDY, frequencyPenalty: 1.5 };
      const biased = { ...GREEDY, logitBias: new Map([[699, 9]]), repetitionPenalty: 2 };
      run.sampler.begin(1, counting, []);
      run.sampler.begin(3, biased, [0]);
      const sampled: (number | undefined)[][] = [];
      for (let step = 0; step < 3; step++) {
        run.restore();
        run.record(0, 1, counting);
        run.record(1, 3, biased);
        const tokens = await run.tokens();
        sampled.push([tokens[1], tokens[3]]);
      }
      // 5, then 3.5 against 4, then 3.5 against 2.5 and 3; and 9, which falls to none when it is repeated: 0 / 2 + 9.
      expect(sampled).toEqual([
        [0, 699],
        [1, 699],
        [0, 699],
      ]);
    });
  });
});
