import { expect, onTestFinished, test } from 'vitest';
import { countGpu } from '../engine/gpu-counts.ts';
import { Stress } from './stress.ts';

/** More, and other ones: npm run stress -- ROUNDS SEED. */
const ROUNDS = 60;

test('requests of all kinds at once: every answer is as alone, or a typed error; memory is as before', async () => {
  const gpu = countGpu();
  const stress = await Stress.open();
  onTestFinished(() => stress.dispose());
  const faults: string[] = [];
  for (let seed = 0; seed < ROUNDS; seed++) {
    faults.push(...(await stress.round(seed)));
    if (seed % 20 === 19) faults.push(...(await stress.memoryFaults()));
  }
  expect(faults).toEqual([]);
  expect(gpu.liveBytes()).toBe(stress.engine.memory().total + stress.alone.memory().total);
});
