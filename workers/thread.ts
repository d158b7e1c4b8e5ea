/** Threads beside the engine's worker, from within. */
import { expose } from 'comlink';
import { holdLock } from './locks.ts';
import { carryErrors } from './wire-error.ts';

export type ThreadName = 'scheduler' | 'ladder' | 'grammar';

/** What every thread does, beside its work. */
export interface Thread {
  /** Takes the lock of this name for good: who waits for it learns of this thread's end. Resolves when it is taken. */
  hold(lock: string): Promise<void>;
  endThread(): void;
}

/** What a thread says to the page that started it. */
export type ThreadSays = 'serves' | 'done';

const say = (what: ThreadSays): void => postMessage(what);

/** Serves `work` on the port that is sent to this thread. */
export function serveThread(work: object): void {
  const thread: Thread = {
    hold: async (lock) => void (await holdLock(navigator.locks, lock)),
    endThread: () => say('done'),
  };
  carryErrors();
  const serve = ({ data }: MessageEvent<MessagePort>): void => {
    expose({ ...work, ...thread }, data);
    say('serves');
  };
  addEventListener('message', serve, { once: true });
}
