import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

const MAX_ATTEMPTS = 4;
const FIRST_DELAY_MS = 250;

/** A file on a web server, as its headers describe it. */
export interface RemoteFile {
  url: string;
  /** Bytes; 0 where the server does not tell. */
  size: number;
  /** Changes with the content: the entity tag, or the date of the last change; empty where the server tells neither. */
  version: string;
  /** The server gives parts of the file. */
  hasRanges: boolean;
}

/** Asks for a file's first bytes to learn about the rest. Throws `network`. */
export async function describeRemote(url: string): Promise<RemoteFile> {
  const response = await request(url, 'bytes=0-1').catch((error: unknown) => {
    throw error instanceof ChunkwiseError ? error : networkError(url, 'the server cannot be reached', error);
  });
  await response.body?.cancel();
  const { headers } = response;
  const total = totalOf(response);
  return {
    url,
    size: total ?? Number(headers.get('Content-Length') ?? 0),
    version: headers.get('ETag') ?? headers.get('Last-Modified') ?? '',
    // Across origins a page sees Content-Range only where the server exposes it.
    hasRanges: total !== undefined,
  };
}

/**
 * The file's bytes from `offset`, which is 0 where the server has no ranges. A broken connection is taken up again
 * where it broke. Throws `network`, also when the file is not the one described any more.
 */
export async function* readRemote(file: RemoteFile, offset: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const { url, size, version, hasRanges } = file;
  for (let failures = 0; ; ) {
    try {
      const response = await request(url, hasRanges ? `bytes=${offset}-` : undefined);
      const total = totalOf(response);
      const now = response.headers.get('ETag') ?? response.headers.get('Last-Modified') ?? '';
      if (now !== version || (hasRanges && total !== size)) {
        await response.body?.cancel();
        throw networkError(url, 'the file changed on the server during the download');
      }
      for await (const bytes of bodyOf(response)) {
        offset += bytes.length;
        failures = 0;
        yield bytes;
      }
      if (!hasRanges || offset === size) return;
      if (offset > size) throw networkError(url, `more than its ${size} bytes came`);
      throw new Error(`the connection broke after ${offset} of ${size} bytes`);
    } catch (error) {
      if (error instanceof ChunkwiseError) throw error;
      failures++;
      const reason = error instanceof Error ? error.message : String(error);
      if (!hasRanges || failures === MAX_ATTEMPTS) throw networkError(url, reason, error);
      await new Promise((resolve) => setTimeout(resolve, FIRST_DELAY_MS * 2 ** (failures - 1)));
    }
  }
}

async function request(url: string, range: string | undefined): Promise<Response> {
  // The browser's own cache would keep a second copy of the weights.
  const response = await fetch(url, { cache: 'no-store', headers: range === undefined ? {} : { Range: range } });
  if (response.ok) return response;
  await response.body?.cancel();
  if (response.status >= 500 || response.status === 429) throw new Error(`status ${response.status}`);
  throw networkError(url, `status ${response.status}`);
}

/** The whole file's length, from the answer to a range request. */
function totalOf(response: Response): number | undefined {
  const match = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '');
  return response.status === 206 && match !== null ? Number(match[1]) : undefined;
}

/** Not every browser can iterate over a stream. */
async function* bodyOf(response: Response): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  const reader = response.body?.getReader();
  try {
    for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) yield part.value;
  } finally {
    await reader?.cancel();
  }
}

function networkError(url: string, reason: string, cause?: unknown): ChunkwiseError {
  return new ChunkwiseError('network', { file: url, reason }, { cause });
}
