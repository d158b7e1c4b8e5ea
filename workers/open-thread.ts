import { type Remote, transfer, wrap } from 'comlink';
import type { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { watchThread } from './locks.ts';
import type { Thread, ThreadName } from './thread.ts';

/** Starts a thread that serves on `port`; resolves when it does. Rejects with what kept it from starting. */
export type StartThread = (name: ThreadName, port: MessagePort) => Promise<void>;

/** What a thread serves; `ended` rejects when it could not be started, and when it has ended. */
export interface OpenThread<T> {
  thread: Remote<T & Thread>;
  ended: Promise<never>;
}

/** Starts a thread. `toError`: of its end, or of what kept it from starting; with `signal` nobody is told of its end any more. */
export function openThread<T>(
  startThread: StartThread,
  name: ThreadName,
  toError: (failure?: Error) => ChunkwiseError,
  signal?: AbortSignal,
): OpenThread<T> {
  const { port1, port2 } = new MessageChannel();
  const thread = wrap<Thread>(port1);
  const ended = new Promise<never>((_, reject) => {
    startThread(name, transfer(port2, [port2])).catch((failure: Error) => reject(toError(failure)));
    watchThread(
      (lock) => thread.hold(lock),
      () => reject(toError()),
      signal,
    ).catch(() => undefined); // some origins get no locks
  });
  return { thread: thread as Remote<T & Thread>, ended };
}
