import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';

const MAX_BREAKS_WITHOUT_PROGRESS = 2;

export interface DownloadOptions {
  /** Longest wait for the response's headers, in milliseconds. */
  connectTimeoutMs?: number;
  /** Longest wait for the next bytes, in milliseconds. */
  stallTimeoutMs?: number;
  /** Called with the bytes so far and the total size if known. */
  onProgress?: (bytes: number, totalBytes: number | undefined) => void;
}

/**
 * Downloads `url` into the file `path`. Existing content of `path` counts as the file's start, and only the rest is
 * requested (HTTP Range); a broken connection is resumed. The caller verifies the content. @throws ChunkwiseError
 * `network` when the server cannot be reached, refuses, or keeps breaking off.
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  let held = await sizeOf(path);
  for (let breaks = 0; ;) {
    try {
      await request(url, path, held, options);
      return;
    } catch (error) {
      if (error instanceof ChunkwiseError) throw error;
      const now = await sizeOf(path);
      breaks = now > held ? 0 : breaks + 1;
      held = now;
      // No response at all: a quick retry is pointless.
      const lost = held === 0 || breaks > MAX_BREAKS_WITHOUT_PROGRESS;
      if (lost) throw new ChunkwiseError('network', { file: url, reason: reasonOf(error) }, { cause: error });
    }
  }
}

async function request(url: string, path: string, held: number, options: DownloadOptions): Promise<void> {
  const { connectTimeoutMs = 5_000, stallTimeoutMs = 30_000, onProgress } = options;
  const abort = new AbortController();
  const timeOut = (): void => abort.abort(new Error('no answer in time'));
  let timer = setTimeout(timeOut, connectTimeoutMs);
  try {
    const headers = held > 0 ? { range: `bytes=${held}-` } : undefined;
    const response = await fetch(url, { headers, signal: abort.signal });
    // The range starts after the file's end: the file is complete.
    if (held > 0 && response.status === 416) return;
    if (!response.ok || response.body === null) {
      throw new ChunkwiseError('network', { file: url, reason: `HTTP status ${response.status}` });
    }
    const append = response.status === 206;
    let bytes = append ? held : 0;
    const length = Number(response.headers.get('content-length') ?? NaN);
    const total = Number.isNaN(length) ? undefined : bytes + length;
    const count = async function* (source: AsyncIterable<Uint8Array>) {
      for await (const chunk of source) {
        clearTimeout(timer);
        timer = setTimeout(timeOut, stallTimeoutMs);
        bytes += chunk.byteLength;
        onProgress?.(bytes, total);
        yield chunk;
      }
    };
    const body = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
    await pipeline(body, count, createWriteStream(path, { flags: append ? 'a' : 'w' }));
  } finally {
    clearTimeout(timer);
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (entry) => entry.size,
    () => 0,
  );
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
