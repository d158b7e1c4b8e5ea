import { expose, type Remote, transfer, wrap } from 'comlink';
import { holdLock, watchThread } from './locks.ts';
import { carryErrors } from './wire.ts';
import type { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

export type ThreadName = 'scheduler' | 'ladder' | 'grammar';

/** Methods that every thread adds to its work. */
export interface Thread {
  /** Takes the lock of this name until the thread ends, and resolves once it holds it. Whoever waits for the lock learns of that end. */
  hold(lock: string): Promise<void>;
  endThread(): void;
}

/** Messages of a thread to the page that started it. */
export type ThreadSays = 'serves' | 'done';

const say = (what: ThreadSays): void => postMessage(what);

/** In a thread: serves `work` on the port that the page sends. */
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

/** Starts a thread that serves on `port`, and resolves once it does. Rejects with the reason why it could not start. */
export type StartThread = (name: ThreadName, port: MessagePort) => Promise<void>;

/** A thread's methods. `ended` rejects when the thread could not start and when it ends. */
export interface OpenThread<T> {
  thread: Remote<T & Thread>;
  ended: Promise<never>;
}

/** In the engine's worker: starts a thread. `toError` makes the error of `ended`. Aborting `signal` stops watching for the thread's end. */
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

/** A thread that starts when it is first needed, and again after it has ended. */
export class LazyThread<O extends { ended: Promise<never> }> {
  #running: O | undefined;

  constructor(private readonly start: () => O) {}

  get(): O {
    if (this.#running) return this.#running;
    const opened = this.start();
    opened.ended.catch(() => {
      if (this.#running === opened) this.#running = undefined;
    });
    return (this.#running = opened);
  }

  /** Returns the thread if it runs; the next `get` starts another. */
  take(): O | undefined {
    const running = this.#running;
    this.#running = undefined;
    return running;
  }
}

/** A worker's file as Vite builds it. */
type ThreadCode = new (options: { name: string }) => Worker;

/**
 * On the page: the threads of an engine's worker. The page starts them because a worker that starts a thread in Firefox blocks
 * on the page's thread, sometimes for ever (docs/decisions/package.md).
 */
export class PageThreads {
  readonly #running = new Set<Worker>();
  #isOver = false;

  /** `code` loads the code of each thread. */
  constructor(private readonly code: Readonly<Record<ThreadName, () => Promise<{ default: ThreadCode }>>>) {}

  readonly start: StartThread = async (name, port) => {
    const { default: Code } = await this.code[name]();
    return new Promise<void>((resolve, reject) => {
      if (this.#isOver) throw new Error('its engine is disposed');
      const thread = new Code({ name });
      this.#running.add(thread);
      const end = (): void => {
        thread.terminate();
        this.#running.delete(thread);
      };
      thread.onmessage = ({ data }: MessageEvent<ThreadSays>) => {
        if (data === 'serves') resolve();
        else end();
      };
      thread.onerror = (event) => {
        event.preventDefault();
        end();
        reject(new Error(event.message || 'it could not be started'));
      };
      thread.postMessage(port, [port]);
    });
  };

  /** Ends all threads; none can start afterwards. */
  end(): void {
    this.#isOver = true;
    for (const thread of this.#running) thread.terminate();
    this.#running.clear();
  }
}
