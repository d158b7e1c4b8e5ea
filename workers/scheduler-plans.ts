import type { Remote } from 'comlink';
import { transfer, wrap } from 'comlink';
import type { PlanRequest } from '../src/chunking/prompt-plan.ts';
import type { PlanService, PlanSession } from '../src/engine/plan-service.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { watchThread } from './locks.ts';
import type { Scheduler } from './scheduler.ts';
import type { SchedulerWorker } from './scheduler.worker.ts';
import type { StartThread } from './thread.ts';

/** A thread that plans. */
export interface SchedulerThread {
  scheduler: Remote<Scheduler>;
  /** Rejects with `scheduler_lost` when the thread has ended. */
  ended: Promise<never>;
}

/** Plans in a thread that starts with the first request. When it ends, so do its plans; the next request starts another. */
export class SchedulerPlans implements PlanService {
  #thread: SchedulerThread | undefined;
  #nextId = 1;

  constructor(private readonly start: () => SchedulerThread) {}

  async begin(request: PlanRequest): Promise<PlanSession> {
    const { scheduler, ended } = (this.#thread ??= this.#started());
    const id = this.#nextId++;
    const levels = await Promise.race([scheduler.begin(id, request), ended]);
    return {
      ...levels,
      part: (end) => Promise.race([scheduler.part(id, end), ended]),
      close: () => void scheduler.end(id),
    };
  }

  #started(): SchedulerThread {
    const thread = this.start();
    thread.ended.catch(() => {
      if (this.#thread === thread) this.#thread = undefined;
    });
    return thread;
  }
}

/** Starts `scheduler.worker`. */
export function startScheduler(startThread: StartThread): SchedulerThread {
  const { port1, port2 } = new MessageChannel();
  const scheduler = wrap<SchedulerWorker>(port1);
  const ended = new Promise<never>((_, reject) => {
    const fail = (reason: string): void => reject(new ChunkwiseError('scheduler_lost', { reason }));
    startThread('scheduler', transfer(port2, [port2])).catch((error: Error) => fail(`the thread that plans ranks failed: ${error.message}`));
    void watchThread((lock) => scheduler.hold(lock), () => fail('the thread that plans ranks ended'));
  });
  return { scheduler, ended };
}
