import { afterEach, expect, it } from 'vitest';
import type { PlanRequest } from '../../src/chunking/prompt-plan.ts';
import { inlinePlans } from '../../src/engine/plan-service.ts';
import { SchedulerPlans } from '../../workers/scheduler.ts';
import { expectError } from '../support/expect-error.ts';
import { type NodeScheduler, startNodeScheduler } from '../support/workers/scheduler-thread.ts';

const threads: NodeScheduler[] = [];
afterEach(() => Promise.all(threads.splice(0).map((thread) => thread.kill())));

function plansInThreads(): SchedulerPlans {
  return new SchedulerPlans(() => {
    const thread = startNodeScheduler();
    threads.push(thread);
    return thread;
  });
}

const words = Array.from({ length: 50 }, (_, i) => ` word${i}`);
const request = (options: PlanRequest['options'] = {}): PlanRequest => ({
  tokens: Array.from({ length: 200 }, (_, i) => (i * i) % 50),
  from: 10,
  texts: new Map(words.map((word, i) => [i, word])),
  vocabSize: 50,
  options,
});

it('makes the same plans in its thread as here, for several prompts at once', async () => {
  const plans = plansInThreads();
  const requests = [request(), request({ ranks: 3 }), request({ ranks: 'uniform' })];
  const here = await Promise.all(requests.map((each) => inlinePlans.begin(each)));
  const there = await Promise.all(requests.map((each) => plans.begin(each)));
  for (const end of [64, 128, 200]) {
    for (const [i, session] of there.entries()) expect(await session.part(end)).toEqual(await here[i]?.part(end));
  }
  there.forEach(({ levels, ladder }, i) =>
    expect({ levels, ladder }).toMatchObject({ levels: here[i]?.levels, ladder: here[i]?.ladder }),
  );
  expect(threads).toHaveLength(1);
});

it('sends errors across threads', () =>
  expectError(() => plansInThreads().begin(request({ chunker: { minLength: 0 } })), 'bad_request', {
    field: 'minLength',
  }));

it('ends with `scheduler_lost` when its thread is killed; the next request starts another', async () => {
  const plans = plansInThreads();
  const session = await plans.begin(request());
  const first = await session.part(64);
  // Killed first, because a thread that was already asked may still answer.
  await Promise.all([threads[0]?.kill(), expectError(() => session.part(128), 'scheduler_lost', {})]);
  await expectError(() => session.part(200), 'scheduler_lost', {});
  const next = await plans.begin(request());
  expect(await next.part(64)).toEqual(first);
  expect(threads).toHaveLength(2);
});
