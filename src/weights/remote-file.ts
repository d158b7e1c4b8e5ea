import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { Connection, Transient } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';

const MAX_ATTEMPTS = 5;
const FIRST_DELAY_MS = 250;
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
  /** Changes with the content: the entity tag, or the date of the last change; empty where the server tells neither. */
  version: string;
  /** The server gives parts of the file. */
  hasRanges: boolean;
  /** SHA-256 of the file in hexadecimal, where it is known. */
  sha256?: string | undefined;
  /** Stands for the content where that is known by other means than the server's headers; default: `sha256`, `version`. */
  content?: string;
}

/** Asks for a file's first bytes to learn about the rest. Throws `network`, `aborted`. */
export async function describeRemote(url: string, options: RemoteOptions = {}): Promise<RemoteFile> {
  return withRetries(url, options, async (connection) => {
    // Two bytes: sirv, and Vite's servers with it, take `bytes=0-0` for the whole file.
    let response = await connection.open('bytes=0-1');
    const range = response.status === 206 ? contentRange(response) : undefined;
    // Across origins a page sees Content-Range only where the server exposes it.
    if (response.status === 206 && !range) response = await connection.open(undefined);
    const length = response.headers.get('Content-Length');
    // The length of a compressed answer is not the file's.
    const isPlain = length !== null && response.headers.get('Content-Encoding') === null;
    return {
      url,
      size: range?.total ?? (isPlain ? Number(length) : undefined),
      version: versionOf(response),
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

async function withRetries<T>(url: string, options: RemoteOptions, work: (connection: Connection) => Promise<T>): Promise<T> {
  for (let failures = 0; ; ) {
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
 * over. Throws `network` (also when the file is not the one described any more) and `aborted`.
 */
export async function* readRemote(
  file: RemoteFile,
  from: number,
  to: number = file.size ?? Infinity,
  options: RemoteOptions = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const { url, hasRanges } = file;
  for (let at = from, failures = 0; at < to; ) {
    const connection = new Connection(url, options);
    try {
      const response = await connection.open(hasRanges ? `bytes=${at}-${to - 1}` : undefined);
      checkAnswer(file, response, at, to);
      let skip = hasRanges ? 0 : at;
      for await (const bytes of connection.body(response)) {
        // A body longer than asked for is left where its surplus begins.
        const wanted = bytes.subarray(skip, Math.min(bytes.length, skip + to - at));
        skip = Math.max(0, skip - bytes.length);
        if (wanted.length === 0) continue;
        at += wanted.length;
        failures = 0;
        yield wanted;
        if (at === to) return;
      }
      if (to === Infinity) return;
      throw new Transient(`the connection ended after ${at} of ${file.size} bytes`);
    } catch (error) {
      await waitToRetry(url, error, ++failures, options);
    } finally {
      connection.close();
    }
  }
}

function checkAnswer(file: RemoteFile, response: Response, at: number, to: number): void {
  const { url, size, version, hasRanges } = file;
  if (hasRanges && response.status !== 206) {
    throw networkError(url, `status ${response.status}: the server ignores range requests`);
  }
  const range = hasRanges ? contentRange(response) : undefined;
  if ((version !== '' && versionOf(response) !== version) || (range && range.total !== size)) {
    const lengths = range && range.total !== size ? `: ${size} bytes long, then ${range.total}` : '';
    throw networkError(url, `the file changed on the server during the download${lengths}`);
  }
  if (hasRanges && (range?.first !== at || range.last !== to - 1)) {
    const got = response.headers.get('Content-Range') ?? 'missing or hidden';
    throw networkError(url, `status 206 for bytes ${at}-${to - 1}, but Content-Range is ${got}`);
  }
}

const versionOf = ({ headers }: Response): string => headers.get('ETag') ?? headers.get('Last-Modified') ?? '';

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
  if (failures >= attempts) throw networkError(url, `${error.message}, ${failures === 1 ? 'once' : `${failures} times`}`, error);
  const wait = error.retryAfterMs ?? retryDelayMs * 2 ** (failures - 1) * (1 + Math.random());
  if (wait > LONGEST_WAIT_MS) {
    throw networkError(url, `${error.message}: the server asks to come again in ${Math.ceil(wait / 1000)} seconds`, error);
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

function networkError(url: string, reason: string, cause?: unknown): ChunkwiseError {
  return new ChunkwiseError('network', { file: url, reason }, { cause });
}
