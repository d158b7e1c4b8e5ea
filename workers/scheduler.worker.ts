/** Plans the chunks of prompts ahead of the GPU. */
import { expose } from 'comlink';
import { createScheduler, type Scheduler } from './scheduler.ts';
import { carryErrors } from './wire-error.ts';

export interface SchedulerWorker extends Scheduler {
  /** Takes the lock of this name for good: who waits for it learns of this thread's end. Resolves when it is taken. */
  hold(lock: string): Promise<void>;
}

const worker: SchedulerWorker = {
  ...createScheduler(),

  hold: (lock) =>
    new Promise((resolve, reject) => {
      const forever = (): Promise<never> => {
        resolve();
        return new Promise<never>(() => undefined);
      };
      navigator.locks.request(lock, forever).catch(reject);
    }),
};

carryErrors();
expose(worker);
