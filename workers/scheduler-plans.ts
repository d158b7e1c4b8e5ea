import type { Remote } from 'comlink';
import type { PlanRequest } from '../src/chunking/prompt-plan.ts';
import type { PlanService, PlanSession } from '../src/engine/plan-service.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { openThread, type StartThread } from './open-thread.ts';
import type { Scheduler } from './scheduler.ts';

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
  const lost = (failure?: Error): ChunkwiseError => {
    const reason = `the thread that plans ranks ${failure ? `failed: ${failure.message}` : 'ended'}`;
    return new ChunkwiseError('scheduler_lost', { reason });
  };
  const { thread, ended } = openThread<Scheduler>(startThread, 'scheduler', lost);
  return { scheduler: thread, ended };
}
