import { abortError } from '../src/errors/abort-error.ts';
import type { WireError } from './wire-error.ts';
import { fromWire, toWire } from './wire-error.ts';

/** Items the serving thread may be ahead of the reader. */
const WINDOW = 4;

type Order = { type: 'pull'; count: number } | { type: 'abort' };
type Reply<T> = { type: 'item'; item: T } | { type: 'end' } | { type: 'error'; error: WireError };

/**
 * Sends what `open` yields through `port` to a `readStream` in another thread, as fast as that one reads. `open` is
 * called when the reader asks for its first item; its signal aborts when the reader stops, or when `gone` says that it is
 * no more.
 */
export async function serveStream<T>(
  port: MessagePort,
  open: (signal: AbortSignal) => AsyncIterable<T>,
  gone?: AbortSignal,
): Promise<void> {
  const abort = new AbortController();
  const reply = (message: Reply<T>): void => port.postMessage(message);
  let wanted = 0;
  let wake = (): void => undefined;
  const order = async (): Promise<void> => {
    if (wanted === 0 && !abort.signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
  };
  port.onmessage = ({ data }: MessageEvent<Order>): void => {
    if (data.type === 'pull') wanted += data.count;
    else abort.abort();
    wake();
  };
  gone?.addEventListener('abort', () => {
    abort.abort();
    wake();
  });
  try {
    await order();
    for await (const item of open(abort.signal)) {
      reply({ type: 'item', item });
      wanted--;
      await order();
    }
    reply({ type: 'end' });
  } catch (error) {
    reply({ type: 'error', error: toWire(error) });
  }
}

export interface ReadOptions {
  /** Aborting ends the iteration with `aborted` at once; what was sent and not yet read is dropped. */
  signal?: AbortSignal | undefined;
  /** Aborts with an Error when the serving thread is gone: the iteration ends with that error. */
  gone: AbortSignal;
}

/**
 * Reads a stream served by `serveStream`. Leaving the loop early aborts the work. Neither that nor an abort waits for the
 * serving thread, which may be busy: it gets the order before all that is sent to it later.
 * Closes the port, which ends it for both threads.
 */
export async function* readStream<T>(port: MessagePort, { signal, gone }: ReadOptions): AsyncGenerator<T, void> {
  const replies: Reply<T>[] = [];
  let wake = (): void => undefined;
  const push = (reply: Reply<T>): void => {
    replies.push(reply);
    wake();
  };
  const order = (message: Order): void => port.postMessage(message);
  const onAbort = (): void => wake();
  const onGone = (): void => {
    push({ type: 'error', error: toWire(gone.reason) });
    port.close(); // nothing more comes, and an open one keeps a process of Node alive
  };
  port.onmessage = ({ data }: MessageEvent<Reply<T>>): void => push(data);
  signal?.addEventListener('abort', onAbort);
  gone.addEventListener('abort', onGone);
  if (gone.aborted) onGone();
  let isServed = true;
  try {
    order({ type: 'pull', count: WINDOW });
    for (;;) {
      if (signal?.aborted) throw abortError(signal, 'the request');
      const reply = replies.shift();
      if (reply === undefined) await new Promise<void>((resolve) => (wake = resolve));
      else if (reply.type === 'item') {
        yield reply.item;
        order({ type: 'pull', count: 1 });
      } else {
        isServed = false;
        if (reply.type === 'error') throw fromWire(reply.error);
        return;
      }
    }
  } finally {
    if (isServed) order({ type: 'abort' });
    signal?.removeEventListener('abort', onAbort);
    gone.removeEventListener('abort', onGone);
    port.close();
  }
}
