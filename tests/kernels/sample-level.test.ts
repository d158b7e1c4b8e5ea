import { expect, it } from 'vitest';
import { entropyComplexity } from '../../src/chunking/complexity.ts';
import { nextLevel } from '../../src/chunking/chunk-plan.ts';
import { DecodeRamp } from '../../src/chunking/ramps.ts';
import { MAX_THRESHOLDS, sampleLevelKernel, UNREACHED } from '../../src/kernels/sampling.ts';
import { Random } from '../support/random.ts';
import { describeVariants } from '../support/kernels/runner.ts';

const CASES = [
  { rampWidth: 4, hysteresis: 0.05, smoothing: 0.5, thresholds: [0.2, 0.4, 0.6] },
  { rampWidth: 0, hysteresis: 0, smoothing: 1, thresholds: [0.5] },
  { rampWidth: 1, hysteresis: 0.01, smoothing: 0.8, thresholds: [0.1, 0.3, 0.5, 0.7, 0.9] },
];

describeVariants(['cpu'], (getRunner) => {
  it.each(CASES)('rank levels follow the entropy as on the host: $thresholds, ramps of $rampWidth', async (options) => {
    const { rampWidth, hysteresis, smoothing, thresholds } = options;
    const runner = getRunner();
    const random = new Random(70 + rampWidth);
    const slot = 2;
    const start = { level: 1, complexity: 0.4 };
    const words = new Uint32Array(16);
    words.set([start.level, start.level, 0xffff], slot * 4);
    new Float32Array(words.buffer)[slot * 4 + 3] = start.complexity;
    const states = runner.upload(words);
    const lora = runner.empty(64 * 8);
    const params: Record<string, number> = { slot, rampWidth, hysteresis, smoothing };
    for (let i = 0; i < MAX_THRESHOLDS; i++) params[`threshold${i}`] = thresholds[i] ?? UNREACHED;
    const ramp = new DecodeRamp({ level: start.level, scale: 1 }, rampWidth);
    let { level, complexity } = start;
    const seen = new Set<number>();
    for (let token = 0; token < 150; token++) {
      const entropy = Math.fround(random.next());
      complexity = complexity + (entropyComplexity(entropy) - complexity) * smoothing;
      const wanted = nextLevel(level, complexity, thresholds, hysteresis);
      const want = ramp.next({ level: wanted, scale: 1 });
      level = ramp.level;
      seen.add(level);
      const entropies = runner.upload(Float32Array.of(0, 0, entropy, 0));
      runner.run(sampleLevelKernel(), { entropies, level_states: states, lora }, undefined, params);
      const row = new Uint32Array(await runner.read(lora)).subarray(slot * 4, slot * 4 + 4);
      const [wLo = NaN, wHi = NaN] = new Float32Array(row.slice(2).buffer);
      expect([((row[0] ?? 0) >>> 16) & 255, (row[0] ?? 0) >>> 24, wLo]).toEqual([want.levelLo, want.levelHi, 1]);
      expect(wHi).toBeCloseTo(want.wHi, 6);
    }
    expect(seen.size).toBeGreaterThan(Math.min(2, thresholds.length));
  });
});
