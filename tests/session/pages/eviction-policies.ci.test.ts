import { expect, test } from 'vitest';
import { heavyHitters, latestAttention, slidingWindow } from '../../../bench/support/eviction-policies.ts';
import { type CachePolicy, DENSE } from '../../../src/cache/policy.ts';
import { eachLogits } from '../../../cli/measure/evaluate.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import { PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { nmse } from '../../support/nmse.ts';
import { randomTokens } from '../../support/random-tokens.ts';
import { NMSE } from '../../support/tolerances.ts';

/** A single layer without positions: a token attends to the tokens before it at any distance. */
const model = tinyModel({
  architecture: 'llama',
  type: 'Q4_1',
  seed: 54,
  contextLength: 1024,
  numLayers: 1,
  ropeLinearScale: 1e6,
});
const tokens = randomTokens(600, 270, 9);

async function lastLogits(engine: LocalEngine, text: readonly number[], policy: CachePolicy) {
  let last = new Float32Array();
  const visit = (_: number, length: number, logits: Float32Array): void =>
    void (last = logits.slice(logits.length - logits.length / length));
  const { kv } = await engine.alone((session) => eachLogits(session, text, visit, { policy }));
  return { last, kv };
}

test.each([
  ['sliding window', slidingWindow(0.3)],
  ['heavy hitters', heavyHitters(0.3)],
  ['latest attention', latestAttention(0.3)],
])('%s: evicted pages take no bytes, and have no effect on the logits', async (_name, policy) => {
  const engine = await engineUnderTest(model);
  let gone: number[] = [];
  const watched: CachePolicy = {
    ...policy,
    /** The last hook that runs before a batch. */
    drops({ pages }) {
      gone = pages.flatMap(({ layers }, i) => (layers[0]?.entries === 0 ? [i] : []));
      return 0;
    },
  };
  const { last, kv } = await lastLogits(engine, tokens, watched);
  expect(kv.bytes.sparse).toBe(0);
  expect(kv.pages.sparse).toBe(gone.length);
  expect(gone.length).toBeGreaterThan(8);
  expect(gone).not.toContain(0);
  const without = tokens.filter((_, i) => !gone.includes(Math.floor(i / PAGE_TOKENS)));
  expect(nmse([last], [(await lastLogits(engine, without, DENSE)).last])).toBeLessThan(NMSE.sameModel);
  // The evicted tokens have an effect on the logits.
  expect(nmse([last], [(await lastLogits(engine, tokens, DENSE)).last])).toBeGreaterThan(1e-3);
});
