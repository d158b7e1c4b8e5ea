import { expect, onTestFinished, test } from 'vitest';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { Stress } from './stress.ts';

/** More, and other ones: npm run stress -- ROUNDS SEED. */
const ROUNDS = 40;

test('requests of all kinds at once: every answer is as alone, or a typed error; memory is as before', async () => {
  const gpu = countGpu();
  const stress = await Stress.open();
  onTestFinished(() => stress.dispose());
  const faults: string[] = [];
  for (let seed = 0; seed < ROUNDS; seed++) {
    faults.push(...(await stress.round(seed)));
    if (seed % 10 === 9) faults.push(...(await stress.memoryFaults()));
  }
  expect(faults).toEqual([]);
  // It is not that they were all cut short.
  const { whole = 0, tie = 0 } = stress.outcomes;
  expect(whole).toBeGreaterThan(1.5 * ROUNDS);
  expect(tie).toBeLessThan(whole / 10);
  expect(gpu.liveBytes()).toBe(stress.engine.memory().total + stress.alone.memory().total);
});
