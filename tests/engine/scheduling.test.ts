import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { inlinePlans, type PlanService } from '../../src/engine/plan-service.ts';
import type { BatchTrace } from '../../src/engine/types.ts';
import { answer } from './answer.ts';
import { ADAPTER, adaptedEngine, VARIED_TEXT } from './plan-cases.ts';

/** Makes every part of a plan take longer. */
const delayed = (service: PlanService, ms: number): PlanService => ({
  async begin(request) {
    const session = await service.begin(request);
    return {
      ...session,
      async part(end) {
        await new Promise((resolve) => setTimeout(resolve, ms));
        return session.part(end);
      },
    };
  },
});

/** Large enough for a batch to take longer than the delay. */
const MODEL = { numLayers: 12 };

test.each([0, 20])('the next batch is planned while the GPU computes this one, with %i ms more a plan', async (ms) => {
  const batches: BatchTrace[] = [];
  const engine = await adaptedEngine([{ seed: 41, rank: 16, gain: 0.1 }], {
    model: MODEL,
    plans: delayed(inlinePlans, ms),
    onTrace: (batch) => batches.push(batch),
  });
  const options = { maxTokens: 1, sampling: GREEDY, stop: [], adapters: [ADAPTER] };
  // The first answer compiles.
  await answer(engine.complete(VARIED_TEXT, { ...options, ranks: 'uniform' }));
  batches.length = 0;
  await answer(engine.complete(VARIED_TEXT, options));
  const tokens = engine.tokenizer.encode(VARIED_TEXT).length;
  expect(batches.map(({ start }) => start)).toEqual(batches.map((_, i) => batches[i - 1]?.end ?? 0));
  expect(batches.at(-1)?.end).toBe(tokens);
  expect(batches.length).toBeGreaterThan(4);
  batches.slice(1).forEach(({ planBegan, planEnded, waitedMs }, i) => {
    const before = batches[i] as BatchTrace;
    expect(planBegan).toBeGreaterThanOrEqual(before.submitted);
    expect(planEnded).toBeLessThan(before.completed);
    expect(waitedMs).toBeLessThan(5);
  });
});
