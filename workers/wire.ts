import { type TransferHandler, transferHandlers } from 'comlink';
import { abortError, ChunkwiseError, type ErrorCode, type ErrorDetail } from '../src/errors/chunkwise-error.ts';

/** An error as sent between threads; structured cloning would drop `code` and `detail`. */
export interface WireError {
  name: string;
  message: string;
  stack?: string;
  cause?: WireError;
  /** `code` and `detail` are set for a ChunkwiseError. */
  code?: ErrorCode;
  detail?: ErrorDetail;
}

export function toWire(error: unknown): WireError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    ...(stack !== undefined && { stack }),
    ...(cause !== undefined && { cause: toWire(cause) }),
    ...(error instanceof ChunkwiseError && { code: error.code, detail: error.detail }),
  };
}

export function fromWire({ name, message, stack, cause, code, detail }: WireError): Error {
  const options = cause === undefined ? undefined : { cause: fromWire(cause) };
  const error =
    code !== undefined && detail !== undefined
      ? new ChunkwiseError(code, detail, options)
      : Object.assign(new Error(message, options), { name });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** Makes comlink send errors as `WireError`s. Both threads must call it before their first call. */
export function carryErrors(): void {
  const plain = transferHandlers.get('throw');
  if (plain === undefined) throw new Error('comlink has no handler for thrown values');
  const handler: TransferHandler<{ value: unknown }, WireError> = {
    canHandle: (value): value is { value: unknown } => plain.canHandle(value),
    serialize: ({ value }) => [toWire(value), []],
    deserialize: (wire) => {
      throw fromWire(wire);
    },
  };
  transferHandlers.set('throw', handler);
}

/** Items that the serving thread may send before the reader asks for more. */
const WINDOW = 4;

type Order = { type: 'pull'; count: number } | { type: 'abort' };
type Reply<T> = { type: 'item'; item: T } | { type: 'end' } | { type: 'error'; error: WireError };

export interface ServeOptions {
  /** Aborts when the reading thread is gone without having said so. */
  gone?: AbortSignal | undefined;
  /** Called after each item is sent. */
  onItem?: (() => void) | undefined;
}

/**
 * Sends the items of `open` through `port` to a `readStream` in another thread, no faster than that thread reads. Calls
 * `open` when the reader asks for its first item. The signal aborts when the reader stops or is gone.
 */
export async function serveStream<T>(
  port: MessagePort,
  open: (signal: AbortSignal) => AsyncIterable<T>,
  { gone, onItem }: ServeOptions = {},
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
      onItem?.();
      wanted--;
      await order();
    }
    reply({ type: 'end' });
  } catch (error) {
    reply({ type: 'error', error: toWire(error) });
  }
}

export interface StreamOptions {
  /** Aborting ends the iteration with `aborted` at once, and drops items that were sent but not read. */
  signal?: AbortSignal | undefined;
  /** Aborts with an Error when the serving thread is gone; the iteration then throws that error. */
  gone: AbortSignal;
  /** Called when the first item is asked for: has the other thread serve the stream. The iteration throws what it rejects with. */
  start?: () => Promise<void>;
}

/**
 * Reads a stream served by `serveStream`. Leaving the loop early aborts the work. Neither that nor an abort waits for the
 * serving thread, which may be busy; it receives the order before any message sent later. Closes the port on both sides.
 */
export async function* readStream<T>(
  port: MessagePort,
  { signal, gone, start }: StreamOptions,
): AsyncGenerator<T, void> {
  const replies: Reply<T>[] = [];
  let wake = (): void => undefined;
  const push = (reply: Reply<T>): void => {
    replies.push(reply);
    wake();
  };
  const order = (message: Order): void => port.postMessage(message);
  const fail = (error: unknown): void => {
    push({ type: 'error', error: toWire(error) });
    port.close(); // nothing more comes, and an open port keeps a Node process alive
  };
  const onAbort = (): void => wake();
  const onGone = (): void => fail(gone.reason);
  port.onmessage = ({ data }: MessageEvent<Reply<T>>): void => push(data);
  signal?.addEventListener('abort', onAbort);
  gone.addEventListener('abort', onGone);
  if (gone.aborted) onGone();
  else start?.().catch(fail);
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
