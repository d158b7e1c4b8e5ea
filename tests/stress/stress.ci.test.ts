import { expect, onTestFinished, test } from 'vitest';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { Stress } from './stress.ts';

/** For more rounds and other seeds: npm run stress -- ROUNDS SEED. */
const ROUNDS = 20;

test('with concurrent requests of all kinds, every answer equals the one alone, or is a typed error; memory returns to its start', async () => {
  const gpu = countGpu();
  const stress = await Stress.open();
  onTestFinished(() => stress.dispose());
  const faults: string[] = [];
  for (let seed = 0; seed < ROUNDS; seed++) {
    faults.push(...(await stress.round(seed)));
    if (seed % 5 === 4) faults.push(...(await stress.memoryFaults()));
  }
  expect(faults).toEqual([]);
  // Enough answers are complete.
  const { whole = 0, tie = 0 } = stress.outcomes;
  expect(whole).toBeGreaterThan(1.5 * ROUNDS);
  expect(tie).toBeLessThan(whole / 10);
  expect(gpu.liveBytes()).toBe(stress.engine.memory().total + stress.alone.memory().total);
});
