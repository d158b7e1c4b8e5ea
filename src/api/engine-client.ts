import { readStream } from '../../workers/wire.ts';
import {
  type ConfirmLoad,
  type EngineInfo,
  type LoadOptions,
  type WorkerEvent,
  type MethodName,
  type RemoteEngine,
  STREAMS,
} from '../../workers/protocol.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { EngineThread, StartEngine } from './platform.ts';

/** Milliseconds that an engine has to free what it holds before its thread is ended. */
const DISPOSE_MS = 500;

/** The page's end of an engine. Every call ends when the engine's thread does. */
export class EngineClient {
  /** Methods of the loaded engine. A stream runs nothing before its first item is asked for. */
  readonly engine: RemoteEngine;
  readonly #gone = new AbortController();
  #thread!: EngineThread;
  #disposing: Promise<void> | undefined;

  private constructor() {
    this.engine = new Proxy({} as RemoteEngine, {
      get:
        (_, name) =>
        (...args: unknown[]) =>
          Object.hasOwn(STREAMS, name) ? this.stream(name as MethodName, args) : this.call(name as MethodName, args),
    });
  }

  /** Throws what `startEngine` throws. */
  static async start(startEngine: StartEngine): Promise<EngineClient> {
    const client = new EngineClient();
    client.#thread = await startEngine((error) => client.end(error));
    return client;
  }

  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo> {
    return this.#unlessGone(() => this.#thread.load(options, onEvent, confirm));
  }

  /** Ends all calls at once, lets the engine free what it holds, and ends its thread even if that is busy. Later calls share the promise. */
  dispose(): Promise<void> {
    return (this.#disposing ??= this.#endInTime());
  }

  /** Ends the thread at once; pending calls throw `error`. */
  end(error: ChunkwiseError): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort(error);
    this.#thread.end();
  }

  async #endInTime(): Promise<void> {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort(new ChunkwiseError('disposed', { reason: 'the engine was disposed' }));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => (timer = setTimeout(resolve, DISPOSE_MS)));
    const asked = this.#thread.call('dispose', []).catch(() => undefined); // the thread ends in any case
    await Promise.race([asked, deadline]);
    clearTimeout(timer);
    this.#thread.end();
  }

  private call(name: MethodName, args: readonly unknown[]): Promise<unknown> {
    return this.#unlessGone(() => this.#thread.call(name, args));
  }

  private stream(name: MethodName, args: readonly unknown[]): AsyncGenerator<unknown, void> {
    const { signal, ...options } = args.at(-1) as { signal?: AbortSignal };
    const { port1, port2 } = new MessageChannel();
    const start = (): Promise<void> =>
      this.#thread.stream(port2, name, [...args.slice(0, -1), options]).catch((cause: unknown) => {
        const reason = `cannot be sent: ${String(cause)}`; // for example, a tool's schema holds a function
        throw new ChunkwiseError('bad_request', { field: 'request', reason }, { cause });
      });
    return readStream(port1, { signal, gone: this.#gone.signal, start });
  }

  #unlessGone<T>(call: () => Promise<T>): Promise<T> {
    const { signal } = this.#gone;
    return signal.aborted
      ? Promise.reject(signal.reason as Error)
      : orAbort(call(), signal, () => signal.reason as Error);
  }
}

/** Settles as `work` does, or rejects with `reason()` as soon as the signal aborts. */
export function orAbort<T>(work: Promise<T>, signal: AbortSignal, reason: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(reason());
    signal.addEventListener('abort', stop);
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
