import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { gzipSync } from 'node:zlib';

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};
/** Headers for shared memory between threads. */
const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

export interface PageServer {
  root: string;
  /** Bytes of code fetched since the last call, raw and compressed by gzip. */
  payload(): { bytes: number; gzipBytes: number };
  close(): Promise<void>;
}

/** Serves a built page, and data `files` by path, which do not count as code. */
export async function servePage(folder: string, files: Record<string, string>): Promise<PageServer> {
  let payload = { bytes: 0, gzipBytes: 0 };
  const answer = async (path: string, response: ServerResponse): Promise<void> => {
    const [prefix = '', file] = Object.entries(files).find(([name]) => path.startsWith(name)) ?? [];
    const full = file === undefined ? join(folder, normalize(path)) : file + path.slice(prefix.length);
    const { size } = await stat(full);
    response.writeHead(200, {
      ...ISOLATED,
      'Content-Type': TYPES[extname(full)] ?? 'application/octet-stream',
      'Content-Length': size,
    });
    if (file !== undefined) return void createReadStream(full).pipe(response);
    const bytes = await readFile(full);
    payload = { bytes: payload.bytes + bytes.length, gzipBytes: payload.gzipBytes + gzipSync(bytes).length };
    response.end(bytes);
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    answer(pathname, response).catch(() => response.writeHead(404, ISOLATED).end());
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return {
    root: `http://localhost:${(server.address() as AddressInfo).port}/`,
    payload: () => {
      const found = payload;
      payload = { bytes: 0, gzipBytes: 0 };
      return found;
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
