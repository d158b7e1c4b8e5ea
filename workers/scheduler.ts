import { type PlannedPart, type PlanRequest, PromptPlan } from '../src/chunking/prompt-plan.ts';
import type { Remote } from 'comlink';
import type { PlanService, PlanSession } from '../src/engine/plan-service.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { LazyThread, openThread, type StartThread } from './threads.ts';

/** Plans of prompts, by the id of their request. */
export interface Scheduler {
  /** Errors: those of `Planner`. */
  begin(id: number, request: PlanRequest): PromptPlan['levels'];
  part(id: number, end: number): PlannedPart;
  end(id: number): void;
}

export function createScheduler(): Scheduler {
  const plans = new Map<number, PromptPlan>();
  return {
    begin(id, request) {
      const plan = new PromptPlan(request);
      plans.set(id, plan);
      return plan.levels;
    },

    part(id, end) {
      const plan = plans.get(id);
      if (!plan) throw new Error(`no plan ${id}`);
      return plan.part(end);
    },

    end: (id) => void plans.delete(id),
  };
}

/** The thread that plans. */
export interface SchedulerThread {
  scheduler: Remote<Scheduler>;
  /** Rejects with `scheduler_lost` when the thread ends. */
  ended: Promise<never>;
}

/** Plans in a thread that starts with the first request. If it ends, its plans fail, and the next request starts another. */
export class SchedulerPlans implements PlanService {
  readonly #thread: LazyThread<SchedulerThread>;
  #nextId = 1;

  constructor(start: () => SchedulerThread) {
    this.#thread = new LazyThread(start);
  }

  async begin(request: PlanRequest): Promise<PlanSession> {
    const { scheduler, ended } = this.#thread.get();
    const id = this.#nextId++;
    const levels = await Promise.race([scheduler.begin(id, request), ended]);
    return {
      ...levels,
      part: (end) => Promise.race([scheduler.part(id, end), ended]),
      close: () => void scheduler.end(id),
    };
  }
}

/** Starts a thread of `ranks.worker`. */
export function startScheduler(startThread: StartThread): SchedulerThread {
  const lost = (failure?: Error): ChunkwiseError => {
    const reason = `the thread that plans ranks ${failure ? `failed: ${failure.message}` : 'ended'}`;
    return new ChunkwiseError('scheduler_lost', { reason });
  };
  const { thread, ended } = openThread<Scheduler>(startThread, 'scheduler', lost);
  return { scheduler: thread, ended };
}
