/** Plans the chunks of prompts ahead of the GPU. */
import { holdLock } from './locks.ts';
import { createScheduler, type Scheduler } from './scheduler.ts';
import { serveThread } from './thread.ts';
import { carryErrors } from './wire-error.ts';

export interface SchedulerWorker extends Scheduler {
  /** Takes the lock of this name for good: who waits for it learns of this thread's end. Resolves when it is taken. */
  hold(lock: string): Promise<void>;
}

const worker: SchedulerWorker = {
  ...createScheduler(),

  hold: async (lock) => void (await holdLock(navigator.locks, lock)),
};

carryErrors();
serveThread(worker);
