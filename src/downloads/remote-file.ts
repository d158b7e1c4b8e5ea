import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Connection, Refusal, Transient } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { OutdatedDownload } from './outdated-download.ts';

const MAX_ATTEMPTS = 5;
const FIRST_DELAY_MS = 250;
/** Of a file whose server does not tell its length: it is read into memory. */
const MOST_UNKNOWN_BYTES = 64 << 20;
/** A server that wants more patience than this is as good as one that does not answer. */
const LONGEST_WAIT_MS = 120_000;

export interface RemoteOptions extends ConnectionOptions {
  /** Wait before the first retry, doubled for each one after it. */
  retryDelayMs?: number;
  /** Attempts without a byte in between; default 5. */
  attempts?: number;
}

/** A file on a web server, as its headers describe it. */
export interface RemoteFile {
  url: string;
  /** Bytes; undefined where the server does not tell. */
  size: number | undefined;
  /** The entity tag, or the date of the last change, or what there is of both; empty where the server tells neither. */
  version: string;
  /** No two contents have one `version`. A weak entity tag alone does not promise that (RFC 9110, section 8.8). */
  hasValidator?: boolean;
  /** The server gives parts of the file. */
  hasRanges: boolean;
  /** SHA-256 of the file in hexadecimal, where it is known. */
  sha256?: string | undefined;
  /** Stands for the content where that is known by other means than the server's headers; default: `sha256`, `version`. */
  content?: string;
}

/** Something tells of each answer that it is of the same content. */
export const isSteady = ({ sha256, content, hasValidator }: RemoteFile): boolean =>
  sha256 !== undefined || content !== undefined || hasValidator === true;

/** Asks for a file's first bytes to learn about the rest. Throws `network`, `aborted`. */
export async function describeRemote(url: string, options: RemoteOptions = {}): Promise<RemoteFile> {
  return withRetries(url, options, async (connection) => {
    // Two bytes: sirv, and Vite's servers with it, take `bytes=0-0` for the whole file.
    let response = await connection.open('bytes=0-1');
    const range = response.status === 206 ? contentRange(response) : undefined;
    // Across origins a page sees Content-Range only where the server exposes it. All of it is asked for as a range too:
    // such an answer is not compressed, which a page could not see either.
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

/** The JSON at `url`. Throws `network`, `aborted`; `bad_file` where it is none. */
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
 * The file's bytes from `from` up to `to`, or to its end where the server does not tell its size. A connection that
 * breaks, ends early or stalls is taken up again where it broke; without ranges the beginning comes again, and is passed
 * over. Throws `network`, which is an `OutdatedDownload` when the file is not the one described any more, and `aborted`.
 */
export async function* readRemote(
  file: RemoteFile,
  from: number,
  to: number = file.size ?? Infinity,
  options: RemoteOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const { url, hasRanges } = file;
  // Without ranges nothing else tells that the file has become longer.
  const readsOn = !hasRanges && to === file.size;
  for (let at = from, failures = 0; at < to;) {
    const connection = new Connection(url, options);
    try {
      // All of it as a range, as it was described: a server that compresses whole files gives them other tags and lengths.
      const whole = file.size === undefined ? undefined : 'bytes=0-';
      const response = await connection.open(hasRanges ? `bytes=${at}-${to - 1}` : whole);
      checkAnswer(file, response, at, to);
      let skip = hasRanges ? 0 : at;
      for await (const bytes of connection.body(response)) {
        if (readsOn && bytes.length > skip + to - at)
          throw changed(url, `: it has more than the ${to} bytes that it had`);
        // A body longer than asked for is left where its surplus begins.
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
      // A range within the file's length is missing only where the file has become shorter.
      if (hasRanges && error instanceof Refusal && error.status === 416) throw changed(url, `: ${error.detail.reason}`);
      if (!hasRanges && at > from && error instanceof Transient && !isSteady(file)) {
        throw new OutdatedDownload('network', {
          file: url,
          reason: `${error.message}, and nothing tells whether the file is still the same`,
        });
      }
      await waitToRetry(url, error, ++failures, options);
    } finally {
      connection.close();
    }
  }
}

/** The bytes of `readRemote` in one array; of a file whose length is not told, not too many. */
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
      `the server does not tell the file's length; of such at most ${MOST_UNKNOWN_BYTES} bytes are read`,
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

/** Returns when it is time for another attempt; throws where none is worth it. */
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
      `${error.message}: the server asks to come again in ${Math.ceil(wait / 1000)} seconds`,
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
