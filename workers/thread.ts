/** Threads beside the engine's worker. */
import { expose } from 'comlink';

export type ThreadName = 'scheduler' | 'ladder';

/** Starts a thread that serves on `port`; resolves when it does. Rejects with what kept it from starting. */
export type StartThread = (name: ThreadName, port: MessagePort) => Promise<void>;

/** What a thread says to the page that started it. */
export type ThreadSays = 'serves' | 'done';

const say = (what: ThreadSays): void => postMessage(what);

/** In a thread: serves `worker` on the port that is sent to it. */
export function serveThread(worker: object): void {
  const serve = ({ data }: MessageEvent<MessagePort>): void => {
    expose(worker, data);
    say('serves');
  };
  addEventListener('message', serve, { once: true });
}

/** In a thread: it may be ended. */
export const endThread = (): void => say('done');
