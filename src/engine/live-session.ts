import { addMemory, type MemoryReport } from '../gpu/buffers.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import type { Session } from '../session/session.ts';

/** A resource that is lost with its device. */
interface Losable {
  readonly device: Device;
  /** Whether its prefix cache holds texts. */
  readonly holdsText: boolean;
  memory(): MemoryReport;
  close(): void;
}

/** The session of an engine, reopened from its sources after a lost device. */
export class LiveSession<S extends Losable = Session> {
  #session: S | undefined;
  #opening: Promise<S> | undefined;
  #disposed = false;
  #lostText: string | undefined;

  constructor(
    private readonly open: () => Promise<S>,
    session: S,
  ) {
    this.#session = session;
  }

  /** Errors: `disposed`, and those of opening it. */
  async get(): Promise<S> {
    this.throwIfDisposed();
    const reason = this.#session?.device.lost();
    if (this.#session && reason !== undefined) this.#drop(this.#session, reason);
    if (!this.#session) {
      this.#opening ??= this.open().finally(() => (this.#opening = undefined));
      this.#session = await this.#opening;
    }
    if (this.#disposed) this.dispose();
    this.throwIfDisposed();
    return this.#session;
  }

  /** Runs `work` with the session. Errors: those of `work` and of `get`. */
  async use<T>(work: (session: S) => Promise<T>): Promise<T> {
    const session = await this.get();
    return work(session).catch((error: unknown) => this.failed(error, session));
  }

  /** Throws the error of a session, or `disposed` if the engine was disposed meanwhile. */
  failed(error: unknown, session: S | undefined): never {
    this.throwIfDisposed(error);
    if (session && error instanceof ChunkwiseError && error.code === 'device_lost')
      this.#drop(session, error.detail.reason);
    throw error;
  }

  /** Reason of the lost device that held the text computed last. */
  get lostText(): string | undefined {
    return this.#lostText;
  }

  /** A new text starts: it becomes the text computed last. */
  beginText(): void {
    this.#lostText = undefined;
  }

  memory(): MemoryReport {
    return this.#session?.memory() ?? addMemory();
  }

  dispose(): void {
    this.#disposed = true;
    this.#session?.close();
    this.#session = undefined;
  }

  throwIfDisposed(cause?: unknown): void {
    if (this.#disposed) throw new ChunkwiseError('disposed', { reason: 'the engine was disposed' }, { cause });
  }

  /** The first of several failed requests closes a lost session. */
  #drop(session: S, reason: string): void {
    if (this.#session !== session) return;
    if (session.holdsText) this.#lostText = reason;
    session.close();
    this.#session = undefined;
  }
}
