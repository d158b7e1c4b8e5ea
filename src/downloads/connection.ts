import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Silence after which a server is asked anew. */
const STALL_MS = 30_000;

export interface ConnectionOptions {
  signal?: AbortSignal | undefined;
  /** Longest wait for an answer, or for the next bytes of one. */
  stallMs?: number;
  /** Sent along; never in an error. */
  headers?: Readonly<Record<string, string>>;
}

/** Worth another attempt. */
export class Transient extends Error {
  constructor(
    reason: string,
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(reason, options);
  }
}

/** An answer that will not change. */
export class Refusal extends ChunkwiseError {
  constructor(
    file: string,
    readonly status: number,
    reason: string,
  ) {
    super('network', { file, reason });
  }
}

/** One request and its answer, which may not fall silent. Throws `Transient`, or `Refusal`. */
export class Connection {
  readonly #control = new AbortController();
  readonly #onAbort = (): void => this.#control.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly url: string,
    private readonly options: ConnectionOptions,
  ) {
    options.signal?.addEventListener('abort', this.#onAbort);
    if (options.signal?.aborted) this.#onAbort();
  }

  async open(range: string | undefined): Promise<Response> {
    const headers = { ...this.options.headers, ...(range !== undefined && { Range: range }) };
    let response: Response;
    try {
      // The browser's own cache would keep a second copy of the weights.
      response = await this.#unlessSilent(
        fetch(this.url, { cache: 'no-store', headers, signal: this.#control.signal }),
      );
    } catch (cause) {
      throw cause instanceof Transient ? cause : new Transient('no answer', undefined, { cause });
    }
    if (response.ok) return response;
    const { status } = response;
    if (status >= 500 || status === 429 || status === 408)
      throw new Transient(`status ${status}`, retryAfter(response));
    throw new Refusal(this.url, status, `status ${status}${this.#why(response)}`);
  }

  /** Of a file that is not open to everybody. The server's own words are left out: they may repeat what was sent. */
  #why({ status, url }: Response): string {
    if (status !== 401 && status !== 403) return '';
    const { origin } = new URL(url);
    if (origin !== new URL(this.url).origin) return ` from ${origin}, to which the server redirects`;
    if (this.options.headers?.['Authorization'] !== undefined) {
      return ': the token was refused; its account has no access to the file, or the file is not there';
    }
    return ': the file needs a token of an account with access to it, or is not there';
  }

  /** Not every browser can iterate over a stream. */
  async *body(response: Response): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
    const reader = response.body?.getReader();
    for (;;) {
      let part: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> | undefined;
      try {
        part = reader && (await this.#unlessSilent(reader.read()));
      } catch (cause) {
        throw cause instanceof Transient ? cause : new Transient('the connection was lost', undefined, { cause });
      }
      if (!part || part.done) return;
      yield part.value;
    }
  }

  /** Ends the request, whatever is left of it. */
  close(): void {
    clearTimeout(this.#timer);
    this.options.signal?.removeEventListener('abort', this.#onAbort);
    this.#control.abort();
  }

  async #unlessSilent<T>(work: Promise<T>): Promise<T> {
    const { stallMs = STALL_MS } = this.options;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = this.#timer = setTimeout(() => reject(new Transient(`nothing came for ${stallMs} ms`)), stallMs);
    });
    try {
      return await Promise.race([work, silence]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Milliseconds that the server asks to wait: seconds or a date (RFC 9110, section 10.2.3). */
function retryAfter({ headers }: Response): number | undefined {
  const value = headers.get('Retry-After');
  if (value === null) return undefined;
  const seconds = Number(value);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
