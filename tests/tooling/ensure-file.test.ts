import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { download } from '../../tools/setup/download.ts';
import type { FileSource } from '../../tools/setup/ensure-file.ts';
import { ensureFile } from '../../tools/setup/ensure-file.ts';
import { closeServer } from '../support/close-server.ts';

const content = randomBytes(3_000_000);
const sha256 = createHash('sha256').update(content).digest('hex');

let folder = '';
let path = '';
/** The Range header of each request, in order. */
let ranges: (string | undefined)[] = [];
let respond: (request: IncomingMessage, response: ServerResponse) => void = sendRange;

const server = createServer((request, response) => {
  ranges.push(request.headers.range);
  respond(request, response);
});

function sendRange(request: IncomingMessage, response: ServerResponse, body = content, cutAfter = Infinity): void {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (start >= body.length) return void response.writeHead(416).end();
  const rest = body.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': rest.length });
  if (cutAfter >= rest.length) return void response.end(rest);
  response.write(rest.subarray(0, cutAfter));
  // Unread bytes are lost with the connection.
  void vi
    .waitFor(async () => expect((await stat(`${path}.part`)).size).toBe(start + cutAfter), {
      timeout: 10_000,
      interval: 5,
    })
    .finally(() => response.destroy());
}

/** `patienceMs`: how long the server may be silent. A busy machine is silent for seconds. */
function source(patienceMs = 60_000): FileSource {
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/model`;
  return {
    name: url,
    get: (part) => download(url, part, { connectTimeoutMs: patienceMs, stallTimeoutMs: patienceMs }),
  };
}

/** By hash, because comparing megabytes element by element takes seconds. */
async function expectContent(expected: Buffer): Promise<void> {
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  expect(hash(await readFile(path))).toBe(hash(expected));
}

const unused: FileSource = { name: 'unused', get: () => Promise.reject(new Error('must not be asked')) };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ensure-file-'));
  path = join(folder, 'model.gguf');
  ranges = [];
  respond = sendRange;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  await closeServer(server);
  await rm(folder, { recursive: true });
});

it('resumes a broken connection', async () => {
  respond = (request, response) => sendRange(request, response, content, ranges.length <= 2 ? 1_000_000 : Infinity);
  await ensureFile({ path, sha256 }, [source()]);
  await expectContent(content);
  expect(ranges).toEqual([undefined, 'bytes=1000000-', 'bytes=2000000-']);
});

it('resumes an earlier process’s download', async () => {
  await writeFile(`${path}.part`, content.subarray(0, 2_500_000));
  await ensureFile({ path, sha256 }, [source()]);
  await expectContent(content);
  expect(ranges).toEqual(['bytes=2500000-']);
});

it('accepts a complete part', async () => {
  await writeFile(`${path}.part`, content);
  await ensureFile({ path, sha256 }, [source()]);
  await expectContent(content);
});

it('starts over if the server has no ranges', async () => {
  await writeFile(`${path}.part`, content.subarray(0, 1000));
  respond = (_request, response) => void response.end(content);
  await ensureFile({ path, sha256 }, [source()]);
  await expectContent(content);
});

it('starts over if the part belongs to another file', async () => {
  await writeFile(`${path}.part`, randomBytes(1000));
  await ensureFile({ path, sha256 }, [source()]);
  await expectContent(content);
  expect(ranges).toEqual(['bytes=1000-', undefined]);
});

it('refuses a wrong hash and says which', async () => {
  const other = randomBytes(1000);
  respond = (request, response) => sendRange(request, response, other);
  const found = createHash('sha256').update(other).digest('hex');
  await expect(ensureFile({ path, sha256 }, [source()])).rejects.toThrow(`sha256: ${found}, not ${sha256}`);
  expect(existsSync(path)).toBe(false);
  expect(existsSync(`${path}.part`)).toBe(false);
});

it.each<[string, (response: ServerResponse) => void, number?]>([
  ['refuses', (response: ServerResponse) => void response.writeHead(404).end('not here')],
  ['is silent', () => undefined, 100],
  ['breaks off at once', (response: ServerResponse) => void response.destroy()],
  ['sends other bytes', (response: ServerResponse) => void response.end(randomBytes(5000))],
])('tries the next source when one %s', async (_what, answer, patienceMs) => {
  respond = (_request, response) => answer(response);
  const second: FileSource = { name: 'second', get: (part) => writeFile(part, content) };
  await ensureFile({ path, sha256 }, [source(patienceMs), second, unused]);
  await expectContent(content);
});

it('names the file and every failure when no source gives it', async () => {
  respond = (_request, response) => void response.writeHead(404).end();
  const attempt = ensureFile({ path, sha256 }, [source(), unused]);
  await expect(attempt).rejects.toMatchObject({ name: 'ChunkwiseError', code: 'network', detail: { file: path } });
  await expect(attempt).rejects.toThrow(/HTTP status 404.*must not be asked/);
});

it('does not hash a verified file again, and notices when it changes', async () => {
  await ensureFile({ path, sha256 }, [source()]);
  const time = 1_700_000_000;
  await utimes(path, time, time);
  await ensureFile({ path, sha256 }, [unused]);

  const spoilt = Buffer.alloc(content.length);
  await writeFile(path, spoilt);
  await utimes(path, time, time);
  await ensureFile({ path, sha256 }, [unused]); // same size and time: treated as verified
  await expectContent(spoilt);

  await utimes(path, time + 1, time + 1);
  await ensureFile({ path, sha256 }, [source()]);
  await expectContent(content);
});
