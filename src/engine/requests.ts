import type { Session } from '../session/session.ts';
import type { Adaptation } from './adaptation.ts';
import type { EngineAdapters, TextRanks } from './engine-adapters.ts';
import type { LiveSession } from './live-session.ts';
import type { RequestQueue, Turn } from './request-queue.ts';
import type { AdapterUse } from './types.ts';

/** What a request needs to begin. */
interface Needs {
  /** Of the cache: as many as it may come to fill. */
  pages: number;
  ranks: TextRanks;
  /** One more answer to a request that has entered. */
  isFurther?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** What a request runs with. */
interface Place {
  session: Session;
  /** Of the stream. */
  slot: number;
  adaptation: Adaptation;
}

/** Opens requests: each gets what it holds of the engine while it runs. */
export class Requests {
  constructor(
    private readonly session: LiveSession,
    private readonly queue: RequestQueue,
    private readonly adapters: EngineAdapters,
  ) {}

  /** Errors: `disposed`; `bad_request` for an adapter that is not loaded. */
  open(uses: readonly AdapterUse[]): OpenRequest {
    this.session.throwIfDisposed();
    return new OpenRequest(this.session, this.queue, this.adapters, uses);
  }

  /** Runs `work` when no request runs, and lets none begin meanwhile: for what keeps activations between awaits. `signal` ends the waiting. */
  async alone<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const turn = await this.queue.enterAlone(signal);
    try {
      return await this.session.use(work);
    } finally {
      turn.leave();
    }
  }
}

/** A request, from its coming until it leaves. Its adapters stay loaded. */
export class OpenRequest {
  readonly #release: () => void;
  #turn: Turn | undefined;
  #session: Session | undefined;

  constructor(
    private readonly session: LiveSession,
    private readonly queue: RequestQueue,
    private readonly adapters: EngineAdapters,
    private readonly uses: readonly AdapterUse[],
  ) {
    this.#release = adapters.hold(uses);
  }

  /** Waits for its turn. Errors: `queue_full`, `aborted`, and those of the session and of its adapters' plan. */
  async enter({ pages, ranks, isFurther, signal }: Needs): Promise<Place> {
    this.#turn = await this.queue.enter(pages, signal, isFurther);
    this.#session = await this.session.get();
    const adaptation = await this.adapters.adapt(this.uses, ranks);
    return { session: this.#session, slot: this.#turn.slot, adaptation };
  }

  /** How texts take some of its adapters, with all of their ranks. Errors: `bad_request`. */
  adapt(uses: readonly AdapterUse[]): Promise<Adaptation> {
    return this.adapters.adapt(uses, 'all');
  }

  /** Throws what it failed with, or that the engine was disposed meanwhile. */
  failed(error: unknown): never {
    return this.session.failed(error, this.#session);
  }

  leave(): void {
    this.#turn?.leave();
    this.#release();
  }
}
