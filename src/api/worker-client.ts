import type { Remote } from 'comlink';
import { proxy, releaseProxy, transfer, wrap } from 'comlink';
import { watchThread } from '../../workers/locks.ts';
import { PageThreads } from '../../workers/page-threads.ts';
import { readStream } from '../../workers/port-stream.ts';
import type {
  AdapterFiles,
  ConfirmLoad,
  EngineInfo,
  EngineWorker,
  LoadOptions,
  Prompt,
  SentOptions,
  StoredEntry,
  WorkerEvent,
} from '../../workers/protocol.ts';
import { carryErrors } from '../../workers/wire-error.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import type { GenerateEvent, SavedSize } from '../engine/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { AdapterInfo } from './types.ts';

carryErrors();

/** Milliseconds that a worker has to close what it holds, before it is ended. */
const DISPOSE_MS = 500;

/** The page's end of an engine's worker. Every call ends when the worker does. */
export class WorkerClient {
  private readonly remote: Remote<EngineWorker>;
  private readonly gone = new AbortController();
  private disposing: Promise<void> | undefined;

  private constructor(
    private readonly worker: Worker,
    private readonly threads: PageThreads,
  ) {
    this.remote = wrap<EngineWorker>(worker);
    const fail = (how: string): void =>
      this.end(new ChunkwiseError('disposed', { reason: `the engine's worker ${how}` }));
    this.worker.onerror = (event) => {
      event.preventDefault();
      fail(`failed: ${event.message || 'it could not be started'}`);
    };
    this.worker.onmessageerror = () => fail('sent what cannot be read');
    const onEnd = (): void => fail('was ended from outside, or ran out of memory; createEngine starts another');
    watchThread((lock) => this.remote.hold(lock), onEnd, this.gone.signal).catch(() => undefined); // some origins get no locks
  }

  /**
   * Starts a worker. Its code and its threads', and what reads chats' answers, come with the first one, from where the page's
   * came. Throws `network`.
   */
  static async start(): Promise<WorkerClient> {
    // As text in chunks, which every bundler takes along and every origin may serve; see docs/decisions/package.md.
    const code = Promise.all([
      import('../../workers/engine.worker.ts?worker&inline'),
      import('../../workers/scheduler.worker.ts?worker&inline'),
      import('../../workers/ladder.worker.ts?worker&inline'),
      import('./chat/answer-reader.ts'),
    ]);
    const [engine, scheduler, ladder] = await code.catch((cause: unknown) => {
      throw new ChunkwiseError('network', { reason: "the engine's code did not come" }, { cause });
    });
    const threads = new PageThreads({ scheduler: scheduler.default, ladder: ladder.default });
    return new WorkerClient(new engine.default({ name: 'engine' }), threads);
  }

  load(
    options: LoadOptions,
    onEvent: (event: WorkerEvent) => void,
    confirm: ConfirmLoad | undefined,
  ): Promise<EngineInfo> {
    const grammarLibrary = async (): Promise<string> => (await import('@mlc-ai/web-xgrammar/lib/index.js?raw')).default;
    return this.unlessGone(() =>
      this.remote.load(
        options,
        proxy(onEvent),
        proxy(this.threads.start),
        proxy(grammarLibrary),
        confirm && proxy(confirm),
      ),
    );
  }

  /** Nothing runs before the first item is asked for. */
  generate(
    id: string,
    prompt: Prompt,
    options: SentOptions,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<GenerateEvent, void> {
    return this.stream((remote, port) => remote.generate(port, id, prompt, options), signal);
  }

  loadAdapter(name: string, files: AdapterFiles): Promise<AdapterInfo> {
    return this.unlessGone(() => this.remote.loadAdapter(name, files));
  }

  unloadAdapter(name: string): Promise<void> {
    return this.unlessGone(() => this.remote.unloadAdapter(name));
  }

  adapters(): Promise<AdapterInfo[]> {
    return this.unlessGone(() => this.remote.adapters());
  }

  saveCache(name: string): Promise<SavedSize> {
    return this.unlessGone(() => this.remote.saveCache(name));
  }

  loadCache(name: string): Promise<SavedSize> {
    return this.unlessGone(() => this.remote.loadCache(name));
  }

  stored(): Promise<StoredEntry[]> {
    return this.unlessGone(() => this.remote.stored());
  }

  deleteStored(name: string, kind: StoredEntry['kind'] | undefined): Promise<void> {
    return this.unlessGone(() => this.remote.deleteStored(name, kind));
  }

  memory(): Promise<MemoryReport> {
    return this.unlessGone(() => this.remote.memory());
  }

  countTokens(messages: readonly ChatTurn[]): Promise<number> {
    return this.unlessGone(() => this.remote.countTokens(messages));
  }

  /**
   * Ends what waits for the worker at once, and asks the worker to close what it holds; one that is busy is ended all the
   * same. Resolves when the worker is no more, however often it is asked for.
   */
  dispose(): Promise<void> {
    this.disposing ??= this.endInTime();
    return this.disposing;
  }

  private async endInTime(): Promise<void> {
    if (this.gone.signal.aborted) return;
    this.gone.abort(new ChunkwiseError('disposed', { reason: 'the engine was disposed' }));
    const deadline = new Promise<void>((resolve) => setTimeout(resolve, DISPOSE_MS));
    const asked = this.remote.dispose().catch(() => undefined); // it is ended whatever it says
    await Promise.race([asked, deadline]);
    this.terminate();
  }

  /** Stops the worker and its threads at once; whatever waits for it throws `error`. */
  end(error: ChunkwiseError): void {
    if (this.gone.signal.aborted) return;
    this.gone.abort(error);
    this.terminate();
  }

  private terminate(): void {
    this.remote[releaseProxy]();
    this.worker.terminate();
    this.threads.end();
  }

  /** `ask`: for what is then served on the port. */
  async *stream<T>(
    ask: (remote: Remote<EngineWorker>, port: MessagePort) => Promise<void>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T, void> {
    const { port1, port2 } = new MessageChannel();
    const unsent = new AbortController();
    if (!this.gone.signal.aborted) {
      ask(this.remote, transfer(port2, [port2])).catch((cause: unknown) => {
        const reason = `cannot be sent: ${String(cause)}`; // a function in a tool's schema
        unsent.abort(new ChunkwiseError('bad_request', { field: 'request', reason }, { cause }));
      });
    }
    yield* readStream<T>(port1, { signal, gone: AbortSignal.any([this.gone.signal, unsent.signal]) });
  }

  private unlessGone<T>(call: () => Promise<T>): Promise<T> {
    const { signal } = this.gone;
    return new Promise<T>((resolve, reject) => {
      const onGone = (): void => reject(signal.reason as ChunkwiseError);
      if (signal.aborted) {
        onGone();
        return;
      }
      signal.addEventListener('abort', onGone);
      void call()
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', onGone));
    });
  }
}
