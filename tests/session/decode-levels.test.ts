import { expect, test } from 'vitest';
import { entropyComplexity } from '../../src/chunking/complexity.ts';
import { DEFAULT_THRESHOLDS, nextLevel } from '../../src/chunking/chunk-plan.ts';
import { DecodeRamp } from '../../src/chunking/ramps.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { FOLLOW } from '../../src/engine/adapters.ts';
import type { GenerateOptions, PlanEvent } from '../../src/engine/types.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { ADAPTER, VARIED_TEXT } from '../support/plan-cases.ts';
import { byTier } from '../support/tier.ts';

const TOKENS = 48;
const RAMP = 2;
const options: GenerateOptions = {
  ...{ maxTokens: TOKENS, sampling: { ...GREEDY, temperature: 1, seed: 5 }, stop: [], wantsEntropy: true },
  ...{ adapters: [ADAPTER], rankErrorBudget: 0.9, rampWidth: RAMP },
};

/** A tiny model with an adapter; its logits are multiplied by `sharpness`. */
async function engineOf(sharpness: number) {
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 61, contextLength: 1024 });
  const gguf = await openGguf([new BytesSource('tiny.gguf', bytes)]);
  const norm = gguf.tensors.find(({ name }) => name === 'output_norm.weight');
  if (!norm) throw new Error('no norm');
  const weights = new DataView(bytes.buffer, bytes.byteOffset + norm.offset, norm.bytes);
  for (let at = 0; at < norm.bytes; at += 4) weights.setFloat32(at, weights.getFloat32(at, true) * sharpness, true);
  const engine = await engineUnderTest(bytes);
  const adapter = tinyAdapter(readModelConfig(gguf), { seed: 21, rank: 16, gain: 0.1 });
  await engine.loadAdapter(ADAPTER.name, peftSource(adapter));
  return engine;
}

async function run(sharpness: number, more: Partial<GenerateOptions> = {}) {
  const engine = await engineOf(sharpness);
  const plans: PlanEvent[] = [];
  const tokens = [];
  let meanRank = NaN;
  let prompt = NaN;
  for await (const event of engine.complete(VARIED_TEXT, { ...options, ...more, onPlan: (plan) => plans.push(plan) })) {
    if (event.type === 'token') tokens.push(event);
    else [meanRank, prompt] = [event.report.meanRank ?? NaN, event.usage.promptTokens];
  }
  return { tokens, plans, meanRank, prompt };
}

test.each(byTier([0.5], [0.25, 0.5]))(
  'decoded levels follow the entropy as on the host (logits times %d)',
  async (sharpness) => {
    const { tokens, plans, prompt } = await run(sharpness);
    const last = plans
      .flatMap(({ chunks }) => chunks)
      .filter(({ end }) => end <= prompt)
      .at(-1);
    // The end of the prompt takes the whole adapter; the answer begins at the level of a turn.
    expect(last?.level).toBe(DEFAULT_THRESHOLDS.length + 1);
    let level = DEFAULT_THRESHOLDS.length;
    let complexity = 1;
    const ramp = new DecodeRamp({ level, scale: 1 }, RAMP);
    const want = tokens.map(({ entropy = NaN }) => {
      complexity += (entropyComplexity(entropy) - complexity) * FOLLOW.smoothing;
      const row = ramp.next({ level: nextLevel(level, complexity, DEFAULT_THRESHOLDS, FOLLOW.hysteresis), scale: 1 });
      level = ramp.level;
      return row;
    });
    expect(tokens.map((token) => token.level)).toEqual(want.map(({ levelHi }) => levelHi));
    const rows = plans
      .flatMap((plan) => plan.rows.map((row, i) => [plan.start + i, row] as const))
      .filter(([at]) => at >= prompt);
    expect(rows.length).toBe(tokens.length);
    for (const [at, row] of rows) {
      const { levelLo, levelHi, wLo, wHi } = want[at - prompt] ?? { levelLo: NaN, levelHi: NaN, wLo: NaN, wHi: NaN };
      expect([row.levelLo, row.levelHi, row.wLo]).toEqual([levelLo, levelHi, wLo]);
      expect(row.wHi).toBeCloseTo(wHi, 6);
    }
  },
);

test('a model of high entropy reads more ranks than one of low entropy, by the counts of the GPU', async () => {
  const unsure = await run(0.001);
  const sure = await run(1000);
  expect(Math.min(...unsure.tokens.map(({ entropy = 0 }) => entropy))).toBeGreaterThan(0.99);
  expect(Math.max(...sure.tokens.map(({ entropy = 1 }) => entropy))).toBeLessThan(0.5);
  expect(unsure.tokens.at(-1)?.level).toBe(4);
  expect(sure.tokens.at(-1)?.level).toBe(0);
  expect(unsure.meanRank).toBeGreaterThan(sure.meanRank + 0.5);
});
