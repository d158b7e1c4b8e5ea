import type { StartThread } from './open-thread.ts';
import type { ThreadName, ThreadSays } from './thread.ts';

/** Starts what Vite made of a worker's file. */
type ThreadCode = new (options: { name: string }) => Worker;

/**
 * The threads of an engine's worker. The page starts them for it: a worker that starts one in Firefox waits for the page's
 * thread meanwhile, and sometimes for ever (docs/decisions/package.md).
 */
export class PageThreads {
  readonly #running = new Set<Worker>();
  #isOver = false;

  /** `code`: brings that of a thread. */
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

  /** Ends them all, for good. */
  end(): void {
    this.#isOver = true;
    for (const thread of this.#running) thread.terminate();
    this.#running.clear();
  }
}
