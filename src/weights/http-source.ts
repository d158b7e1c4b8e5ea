import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { checkReadRange } from './byte-source.ts';
import type { ByteSource } from './byte-source.ts';

const MAX_ATTEMPTS = 4;
const FIRST_DELAY_MS = 250;

export interface HttpSourceOptions {
  signal?: AbortSignal;
  /** Wait before the first retry, doubled for each one after it. */
  retryDelayMs?: number;
}

/**
 * A file on a web server, read through range requests. Busy servers (5xx, 429) and dropped connections are asked
 * again a few times; anything else throws `network` with the URL and status, or `aborted`.
 */
export class HttpSource implements ByteSource {
  private constructor(
    readonly name: string,
    readonly size: number,
    private readonly options: HttpSourceOptions,
  ) {}

  /** Learns the file's length from a request for its first bytes. Costs one round trip. */
  static async open(url: string, options: HttpSourceOptions = {}): Promise<HttpSource> {
    // Two bytes: sirv, and Vite's servers with it, take `bytes=0-0` for the whole file.
    const { total } = await fetchRange(url, 0, 2, options);
    return new HttpSource(url, total, options);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    if (length === 0) return new Uint8Array(0);
    const { bytes, total } = await fetchRange(this.name, offset, length, this.options);
    if (total !== this.size) {
      throw networkError(this.name, `the file changed on the server: ${this.size} bytes long, then ${total}`);
    }
    return bytes;
  }
}

interface Range {
  bytes: Uint8Array;
  /** Length of the whole file. */
  total: number;
}

/** Worth another attempt. */
class Transient extends Error {}

async function fetchRange(url: string, offset: number, length: number, options: HttpSourceOptions): Promise<Range> {
  const { signal, retryDelayMs = FIRST_DELAY_MS } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryFetchRange(url, offset, length, signal);
    } catch (error) {
      if (signal?.aborted) {
        throw new ChunkwiseError('aborted', { file: url, reason: 'the download was aborted' }, { cause: error });
      }
      if (!(error instanceof Transient)) throw error;
      if (attempt === MAX_ATTEMPTS) throw networkError(url, `${error.message}, ${MAX_ATTEMPTS} times`, error);
      await delay(retryDelayMs * 2 ** (attempt - 1), signal);
    }
  }
}

async function tryFetchRange(url: string, offset: number, length: number, signal?: AbortSignal): Promise<Range> {
  const last = offset + length - 1;
  let response: Response;
  try {
    response = await fetch(url, { headers: { Range: `bytes=${offset}-${last}` }, signal: signal ?? null });
  } catch (cause) {
    throw new Transient('no answer', { cause });
  }
  const { status } = response;
  if (status !== 206) {
    await response.body?.cancel();
    if (status >= 500 || status === 429) throw new Transient(`status ${status}`);
    const reason = status === 200 ? 'status 200: the server ignores range requests' : `status ${status}`;
    throw networkError(url, reason);
  }
  const header = response.headers.get('Content-Range');
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? '');
  if (match === null || Number(match[1]) !== offset || Number(match[2]) !== last) {
    await response.body?.cancel();
    // Across origins a page sees this header only where the server exposes it.
    const got = header ?? 'missing or hidden';
    throw networkError(url, `status 206 for bytes ${offset}-${last}, but Content-Range is ${got}`);
  }
  const bytes = await readExactly(response, length);
  return { bytes, total: Number(match[3]) };
}

/** Stops at the first byte too many, so that a server cannot fill the memory. */
async function readExactly(response: Response, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  const reader = response.body?.getReader();
  try {
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
      if (done + part.value.length > length) {
        await reader?.cancel();
        throw networkError(response.url, `status 206, but more than the ${length} bytes asked for`);
      }
      bytes.set(part.value, done);
      done += part.value.length;
    }
  } catch (cause) {
    if (cause instanceof ChunkwiseError) throw cause;
    throw new Transient(`connection lost after ${done} of ${length} bytes`, { cause });
  }
  if (done < length) throw new Transient(`${done} of ${length} bytes came`);
  return bytes;
}

function networkError(url: string, reason: string, cause?: unknown): ChunkwiseError {
  return new ChunkwiseError('network', { file: url, reason }, { cause });
}

function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener('abort', finish);
  });
}
