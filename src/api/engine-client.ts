import { transfer } from 'comlink';
import { readStream } from '../../workers/port-stream.ts';
import type {
  AdapterFiles,
  ConfirmLoad,
  EngineInfo,
  LoadOptions,
  Prompt,
  SentOptions,
  StoredEntry,
  WorkerEvent,
} from '../../workers/protocol.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import type { GenerateEvent, SavedSize } from '../engine/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { EngineThread, StartEngine } from './engine-thread.ts';
import type { AdapterInfo } from './types.ts';

/** Milliseconds that an engine has to close what it holds, before it is ended. */
const DISPOSE_MS = 500;

/** The caller's end of what runs an engine. Every call ends when that does. */
export class EngineClient {
  private readonly gone = new AbortController();
  private thread!: EngineThread;
  private disposing: Promise<void> | undefined;

  private constructor() {}

  /** Throws what `startEngine` throws. */
  static async start(startEngine: StartEngine): Promise<EngineClient> {
    const client = new EngineClient();
    client.thread = await startEngine((error) => client.end(error));
    return client;
  }

  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo> {
    return this.unlessGone((thread) => thread.load(options, onEvent, confirm));
  }

  /** Nothing runs before the first item is asked for. */
  generate(
    id: string,
    prompt: Prompt,
    options: SentOptions,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<GenerateEvent, void> {
    return this.stream((calls, port) => calls.generate(port, id, prompt, options), signal);
  }

  loadAdapter(name: string, files: AdapterFiles): Promise<AdapterInfo> {
    return this.unlessGone(({ calls }) => calls.loadAdapter(name, files));
  }

  unloadAdapter(name: string): Promise<void> {
    return this.unlessGone(({ calls }) => calls.unloadAdapter(name));
  }

  adapters(): Promise<AdapterInfo[]> {
    return this.unlessGone(({ calls }) => calls.adapters());
  }

  saveCache(name: string): Promise<SavedSize> {
    return this.unlessGone(({ calls }) => calls.saveCache(name));
  }

  loadCache(name: string): Promise<SavedSize> {
    return this.unlessGone(({ calls }) => calls.loadCache(name));
  }

  stored(): Promise<StoredEntry[]> {
    return this.unlessGone(({ calls }) => calls.stored());
  }

  deleteStored(name: string, kind: StoredEntry['kind'] | undefined): Promise<void> {
    return this.unlessGone(({ calls }) => calls.deleteStored(name, kind));
  }

  memory(): Promise<MemoryReport> {
    return this.unlessGone(({ calls }) => calls.memory());
  }

  countTokens(messages: readonly ChatTurn[]): Promise<number> {
    return this.unlessGone(({ calls }) => calls.countTokens(messages));
  }

  /**
   * Ends what waits for the engine at once, and asks it to close what it holds; one that is busy is ended all the same.
   * Resolves when it is no more, however often it is asked for.
   */
  dispose(): Promise<void> {
    this.disposing ??= this.endInTime();
    return this.disposing;
  }

  private async endInTime(): Promise<void> {
    if (this.gone.signal.aborted) return;
    this.gone.abort(new ChunkwiseError('disposed', { reason: 'the engine was disposed' }));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<void>((resolve) => (timer = setTimeout(resolve, DISPOSE_MS)));
    const asked = this.thread.calls.dispose().catch(() => undefined); // it is ended whatever it says
    await Promise.race([asked, deadline]);
    clearTimeout(timer);
    this.thread.end();
  }

  /** Ends it at once; whatever waits for it throws `error`. */
  end(error: ChunkwiseError): void {
    if (this.gone.signal.aborted) return;
    this.gone.abort(error);
    this.thread.end();
  }

  /** `ask`: for what is then served on the port. */
  async *stream<T>(
    ask: (calls: EngineThread['calls'], port: MessagePort) => Promise<void>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T, void> {
    const { port1, port2 } = new MessageChannel();
    const unsent = new AbortController();
    if (!this.gone.signal.aborted) {
      ask(this.thread.calls, transfer(port2, [port2])).catch((cause: unknown) => {
        const reason = `cannot be sent: ${String(cause)}`; // a function in a tool's schema
        unsent.abort(new ChunkwiseError('bad_request', { field: 'request', reason }, { cause }));
      });
    }
    yield* readStream<T>(port1, { signal, gone: AbortSignal.any([this.gone.signal, unsent.signal]) });
  }

  private unlessGone<T>(call: (thread: EngineThread) => Promise<T>): Promise<T> {
    const { signal } = this.gone;
    return new Promise<T>((resolve, reject) => {
      const onGone = (): void => reject(signal.reason as ChunkwiseError);
      if (signal.aborted) {
        onGone();
        return;
      }
      signal.addEventListener('abort', onGone);
      void call(this.thread)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', onGone));
    });
  }
}
