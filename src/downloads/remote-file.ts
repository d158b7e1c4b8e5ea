import { ChunkwiseError } from '../errors/chunkwise-error.ts';

const MAX_ATTEMPTS = 5;
const FIRST_DELAY_MS = 250;
/** Most bytes of a file of unknown length, which is read into memory. */
const MOST_UNKNOWN_BYTES = 64 << 20;
/** A longer Retry-After counts as no answer. */
const LONGEST_WAIT_MS = 120_000;

export interface RemoteOptions extends ConnectionOptions {
  /** Delay before the first retry; it doubles with each further one. */
  retryDelayMs?: number;
  /** Attempts in a row without a byte; default 5. */
  attempts?: number;
}

/** A file on a web server, described by its response headers. */
export interface RemoteFile {
  url: string;
  /** Bytes; undefined if the server does not say. */
  size: number | undefined;
  /** The entity tag, or the date of the last change, or both for a weak tag; empty if the server sends neither. */
  version: string;
  /**
   * Different contents have different `version`s. A weak entity tag alone does not guarantee that (RFC 9110, section
   * 8.8).
   */
  hasValidator?: boolean;
  /** The server supports range requests. */
  hasRanges: boolean;
  /** Hexadecimal SHA-256 of the file, if known. */
  sha256?: string | undefined;
  /** Identifies the content if something other than the server's headers does; default: `sha256`, `version`. */
  content?: string;
}

/** Whether each response can be checked to be of the same content. */
export const isSteady = ({ sha256, content, hasValidator }: RemoteFile): boolean =>
  sha256 !== undefined || content !== undefined || hasValidator === true;

/** Requests a file's first bytes to learn its size and version. Throws `network`, `aborted`. */
export async function describeRemote(url: string, options: RemoteOptions = {}): Promise<RemoteFile> {
  return withRetries(url, options, async (connection) => {
    // Two bytes, because sirv, and thus Vite's servers, answer `bytes=0-0` with the whole file.
    let response = await connection.open('bytes=0-1');
    const range = response.status === 206 ? contentRange(response) : undefined;
    // Across origins a page sees Content-Range only if the server exposes it. The second request asks for the whole
    // file as a range, because such a response is not compressed; a page could not see that either.
    if (response.status === 206 && !range) response = await connection.open('bytes=0-');
    const length = response.headers.get('Content-Length');
    // The length of a compressed answer is not the file's.
    const isPlain = length !== null && !isEncoded(response);
    return {
      url,
      size: range?.total ?? (isPlain ? Number(length) : undefined),
      ...versionOf(response),
      hasRanges: range !== undefined,
      sha256: /^"?([0-9a-f]{64})"?$/.exec(response.headers.get('X-Linked-ETag') ?? '')?.[1],
    };
  });
}

/** Reads the JSON at `url`. Throws `network`, `aborted`, `bad_file`. */
export async function readJson(url: string, options: RemoteOptions = {}): Promise<unknown> {
  const text = await withRetries(url, options, async (connection) => {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    for await (const bytes of connection.body(await connection.open(undefined))) chunks.push(bytes);
    return new Blob(chunks).text();
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ChunkwiseError('bad_file', { file: url, reason: `is not JSON: ${String(cause)}` }, { cause });
  }
}

async function withRetries<T>(
  url: string,
  options: RemoteOptions,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  for (let failures = 0; ;) {
    const connection = new Connection(url, options);
    try {
      return await work(connection);
    } catch (error) {
      await waitToRetry(url, error, ++failures, options);
    } finally {
      connection.close();
    }
  }
}

/**
 * Reads the bytes from `from` to `to`, or to the end of a file of unknown size. A connection that breaks, ends early or
 * stalls is resumed at that byte; without ranges the beginning is fetched again and skipped. Throws `network` (an
 * `OutdatedDownload` when the file changed) and `aborted`.
 */
export async function* readRemote(
  file: RemoteFile,
  from: number,
  to: number = file.size ?? Infinity,
  options: RemoteOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const { url, hasRanges } = file;
  // Without ranges only a longer body shows that the file grew.
  const readsOn = !hasRanges && to === file.size;
  for (let at = from, failures = 0; at < to;) {
    const connection = new Connection(url, options);
    try {
      // The whole file is requested as a range, as in describeRemote: a server that compresses whole files sends them
      // with other tags and lengths.
      const whole = file.size === undefined ? undefined : 'bytes=0-';
      const response = await connection.open(hasRanges ? `bytes=${at}-${to - 1}` : whole);
      checkAnswer(file, response, at, to);
      let skip = hasRanges ? 0 : at;
      for await (const bytes of connection.body(response)) {
        if (readsOn && bytes.length > skip + to - at)
          throw changed(url, `: it has more than the ${to} bytes that it had`);
        // Bytes past the requested range are ignored.
        const wanted = bytes.subarray(skip, Math.min(bytes.length, skip + to - at));
        skip = Math.max(0, skip - bytes.length);
        if (wanted.length === 0) continue;
        at += wanted.length;
        failures = 0;
        yield wanted;
        if (at === to && !readsOn) return;
      }
      if (to === Infinity || at === to) return;
      throw new Transient(`the connection ended after ${at} of ${file.size} bytes`);
    } catch (error) {
      // 416 for a range within the known length means that the file became shorter.
      if (hasRanges && error instanceof Refusal && error.status === 416) throw changed(url, `: ${error.detail.reason}`);
      if (!hasRanges && at > from && error instanceof Transient && !isSteady(file)) {
        throw new OutdatedDownload('network', {
          file: url,
          reason: `${error.message}, and nothing shows whether the file is still the same`,
        });
      }
      await waitToRetry(url, error, ++failures, options);
    } finally {
      connection.close();
    }
  }
}

/** Reads the bytes of `readRemote` into one array; limited for a file of unknown length. */
export async function readPart(
  file: RemoteFile,
  from: number,
  to: number,
  options: RemoteOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for await (const bytes of readRemote(file, from, to, options)) {
    chunks.push(bytes);
    length += bytes.length;
    if (to < Infinity || length <= MOST_UNKNOWN_BYTES) continue;
    throw networkError(
      file.url,
      `the server does not send the file's length; at most ${MOST_UNKNOWN_BYTES} bytes of such a file are read`,
    );
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

function checkAnswer(file: RemoteFile, response: Response, at: number, to: number): void {
  const { url, size, version, hasRanges } = file;
  if (hasRanges && response.status !== 206) {
    throw networkError(url, `status ${response.status}: the server ignores range requests`);
  }
  const range = hasRanges ? contentRange(response) : undefined;
  if ((version !== '' && versionOf(response).version !== version) || (range && range.total !== size)) {
    throw changed(url, range && range.total !== size ? `: ${size} bytes long, then ${range.total}` : '');
  }
  if (hasRanges && isEncoded(response)) throw networkError(url, 'the server compresses the parts of the file');
  if (hasRanges && (range?.first !== at || range.last !== to - 1)) {
    const got = response.headers.get('Content-Range') ?? 'missing or hidden';
    throw networkError(url, `status 206 for bytes ${at}-${to - 1}, but Content-Range is ${got}`);
  }
}

function versionOf({ headers }: Response): { version: string; hasValidator: boolean } {
  const tag = headers.get('ETag');
  const date = headers.get('Last-Modified');
  if (tag !== null && !tag.startsWith('W/')) return { version: tag, hasValidator: true };
  return { version: [tag, date].filter((part) => part !== null).join(' '), hasValidator: date !== null };
}

const isEncoded = ({ headers }: Response): boolean => (headers.get('Content-Encoding') ?? 'identity') !== 'identity';

function contentRange({ headers }: Response): { first: number; last: number; total: number } | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('Content-Range') ?? '');
  return match === null ? undefined : { first: Number(match[1]), last: Number(match[2]), total: Number(match[3]) };
}

/** Waits until the next attempt; throws if a retry makes no sense. */
async function waitToRetry(url: string, error: unknown, failures: number, options: RemoteOptions): Promise<void> {
  const { signal, retryDelayMs = FIRST_DELAY_MS, attempts = MAX_ATTEMPTS } = options;
  const aborted = (): ChunkwiseError =>
    new ChunkwiseError('aborted', { file: url, reason: 'the download was aborted' }, { cause: error });
  if (signal?.aborted) throw aborted();
  if (!(error instanceof Transient)) throw error;
  if (failures >= attempts)
    throw networkError(url, `${error.message}, ${failures === 1 ? 'once' : `${failures} times`}`, error);
  const wait = error.retryAfterMs ?? retryDelayMs * 2 ** (failures - 1) * (1 + Math.random());
  if (wait > LONGEST_WAIT_MS) {
    throw networkError(
      url,
      `${error.message}: the server asks to retry after ${Math.ceil(wait / 1000)} seconds`,
      error,
    );
  }
  await new Promise<void>((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, wait);
    signal?.addEventListener('abort', finish);
  });
  if (signal?.aborted) throw aborted();
}

const changed = (url: string, how: string): OutdatedDownload =>
  new OutdatedDownload('network', { file: url, reason: `the file changed on the server during the download${how}` });

function networkError(url: string, reason: string, cause?: unknown): ChunkwiseError {
  return new ChunkwiseError('network', { file: url, reason }, { cause });
}

/** The downloaded part of a file is useless; a fresh download may help. */
export class OutdatedDownload extends ChunkwiseError {
  constructor(
    code: 'network' | 'storage_lost',
    detail: { file: string; field?: string; reason: string },
    options?: ErrorOptions,
  ) {
    super(code, detail, options);
  }
}

/** Silence after which a request is repeated. */
const STALL_MS = 30_000;

export interface ConnectionOptions {
  signal?: AbortSignal | undefined;
  /** Longest wait for a response, or for its next bytes. */
  stallMs?: number;
  /** Request headers; they never appear in errors. */
  headers?: Readonly<Record<string, string>>;
}

/** A failure that a retry may fix. */
export class Transient extends Error {
  constructor(
    reason: string,
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(reason, options);
  }
}

/** A response that a retry does not change. */
export class Refusal extends ChunkwiseError {
  constructor(
    file: string,
    readonly status: number,
    reason: string,
  ) {
    super('network', { file, reason });
  }
}

/** One request and its response, with a timeout for silence. Throws `Transient`, or `Refusal`. */
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
      // The browser's HTTP cache would keep a second copy of the weights.
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

  /** Error for a file that needs a login. It omits the server's message, which may repeat the token. */
  #why({ status, url }: Response): string {
    if (status !== 401 && status !== 403) return '';
    const { origin } = new URL(url);
    if (origin !== new URL(this.url).origin) return ` from ${origin}, to which the server redirects`;
    if (this.options.headers?.['Authorization'] !== undefined) {
      return ': the token was refused; its account has no access to the file, or the file is not there';
    }
    return ': the file needs a token of an account with access to it, or is not there';
  }

  /** Async iteration over a stream, which not every browser has. */
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

  /** Aborts the request. */
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

/** Milliseconds of Retry-After: seconds or a date (RFC 9110, section 10.2.3). */
function retryAfter({ headers }: Response): number | undefined {
  const value = headers.get('Retry-After');
  if (value === null) return undefined;
  const seconds = Number(value);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
