import { expect, onTestFinished, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { inlinePlans, type PlanService } from '../../src/engine/plan-service.ts';
import type { BatchTrace } from '../../src/session/session-options.ts';
import { SchedulerPlans } from '../../workers/scheduler.ts';
import { expectError } from '../support/expect-error.ts';
import { type NodeScheduler, startNodeScheduler } from '../support/workers/scheduler-thread.ts';
import { answer } from '../support/answer.ts';
import { ADAPTER, adaptedEngine, VARIED_TEXT } from '../support/plan-cases.ts';

/** Delays every part of a plan by `ms` milliseconds. */
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

/** Large enough that a batch takes longer than the delay. */
const MODEL = { numLayers: 12 };

test('the next batch is planned while the GPU computes this one', async () => {
  const batches: BatchTrace[] = [];
  const engine = await adaptedEngine([{ seed: 41, rank: 16, gain: 0.1 }], {
    model: MODEL,
    plans: delayed(inlinePlans, 20),
    onTrace: (batch) => batches.push(batch),
  });
  const options = { maxTokens: 1, sampling: GREEDY, stop: [], adapters: [ADAPTER] };
  // The first answer compiles kernels.
  await answer(engine.complete(VARIED_TEXT.slice(0, 150), { ...options, ranks: 'uniform' }));
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
    expect(waitedMs).toBeLessThan((before.completed - before.submitted) / 2);
  });
});

test('a killed scheduler ends its request with an error; the next request gets a new one', async () => {
  const threads: NodeScheduler[] = [];
  onTestFinished(async () => void (await Promise.all(threads.map((thread) => thread.kill()))));
  const plans = new SchedulerPlans(() => {
    const thread = startNodeScheduler();
    threads.push(thread);
    return thread;
  });
  const engine = await adaptedEngine(undefined, { plans });
  const options = { maxTokens: 4, sampling: GREEDY, stop: [], adapters: [ADAPTER] };
  const want = await answer(engine.complete(VARIED_TEXT, options));
  let told = 0;
  const kill = (): void => void (told++ === 0 && threads[0]?.kill());
  const killed = answer(engine.complete(`Now ${VARIED_TEXT}`, { ...options, onPlan: kill }));
  await expectError(() => killed, 'scheduler_lost', {});
  expect(threads).toHaveLength(1);
  expect((await answer(engine.complete(VARIED_TEXT, { ...options, rampWidth: 4 }))).tokens).toEqual(want.tokens);
  expect(threads).toHaveLength(2);
});
