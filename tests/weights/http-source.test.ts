import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { readGguf } from '../../src/weights/gguf-reader.ts';
import { HttpSource } from '../../src/weights/http-source.ts';
import { expectError } from './expect-error.ts';
import { tinyModel } from './tiny-model.ts';

const BYTES = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);
const FAST = { retryDelayMs: 1 };

type Handler = (request: IncomingMessage, response: ServerResponse, attempt: number) => void;

interface Server {
  url: string;
  /** The Range header of each request so far. */
  ranges: string[];
}

/** A server on the loopback interface; `handler` gets the number of the request, from 1. */
async function serve(handler: Handler): Promise<Server> {
  const ranges: string[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range ?? '');
    handler(request, response, ranges.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/m.gguf`, ranges };
}

/** Answers a range request as it should be. */
function sendRange(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array = BYTES): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const part = bytes.subarray(Number(from), Number(to) + 1);
  response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/${bytes.length}`, 'Content-Length': part.length });
  response.end(part);
}

/** Serves the first request, from which the length is learnt, well and the others with `handler`. */
function serveAfterOpening(handler: Handler): Promise<Server> {
  return serve((request, response, attempt) => {
    if (attempt === 1) sendRange(request, response);
    else handler(request, response, attempt);
  });
}

test('reads ranges, and a whole header through them', async () => {
  const { url, ranges } = await serve((request, response) => sendRange(request, response));
  const source = await HttpSource.open(url);
  expect([source.name, source.size]).toEqual([url, 5000]);
  expect(await source.read(100, 2000)).toEqual(BYTES.slice(100, 2100));
  expect(await source.read(5000, 0)).toEqual(new Uint8Array(0));
  expect(ranges).toEqual(['bytes=0-1', 'bytes=100-2099']);
  await expectError(() => source.read(4999, 2), 'bad_file', { file: url, reason: /ends at 5000/ });

  const model = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1 });
  const modelServer = await serve((request, response) => sendRange(request, response, model));
  const { tensors } = await readGguf(await HttpSource.open(modelServer.url));
  expect(tensors.length).toBe(20);
});

test.each([404, 403, 416])('status %i is an error at once', async (status) => {
  const { url, ranges } = await serve((_, response) => response.writeHead(status).end('no'));
  await expectError(() => HttpSource.open(url, FAST), 'network', { file: url, reason: new RegExp(`status ${status}`) });
  expect(ranges.length).toBe(1);
});

test('a server without range requests is refused before the whole file comes', async () => {
  let sent = 0;
  const { url } = await serve((_, response) => {
    response.writeHead(200, { 'Content-Length': 2 ** 30 });
    const send = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
    };
    response.on('drain', send);
    send();
  });
  await expectError(() => HttpSource.open(url, FAST), 'network', { file: url, reason: /status 200.*range requests/ });
  expect(sent).toBeLessThan(64 * 2 ** 20);
});

test.each<[string, Handler, RegExp]>([
  [
    'another range',
    (_, r) => r.writeHead(206, { 'Content-Range': 'bytes 0-9/5000' }).end(BYTES.subarray(0, 10)),
    /bytes 0-9\/5000/,
  ],
  ['no Content-Range', (_, r) => r.writeHead(206).end(BYTES.subarray(10, 20)), /missing or hidden/],
  [
    'an unknown length',
    (_, r) => r.writeHead(206, { 'Content-Range': 'bytes 10-19/*' }).end(BYTES.subarray(10, 20)),
    /bytes 10-19\/\*/,
  ],
  [
    'too many bytes',
    (_, r) => r.writeHead(206, { 'Content-Range': 'bytes 10-19/5000' }).end(BYTES),
    /more than the 10 bytes/,
  ],
  [
    'another file',
    (_, r) => r.writeHead(206, { 'Content-Range': 'bytes 10-19/4000' }).end(BYTES.subarray(10, 20)),
    /5000 bytes long, then 4000/,
  ],
])('an answer with %s is an error at once', async (_, handler, reason) => {
  const { url, ranges } = await serveAfterOpening(handler);
  const source = await HttpSource.open(url, FAST);
  await expectError(() => source.read(10, 10), 'network', { file: url, reason });
  expect(ranges.length).toBe(2);
});

test.each<[string, Handler]>([
  ['status 503', (_, response) => response.writeHead(503).end()],
  ['status 429', (_, response) => response.writeHead(429).end()],
  ['a connection closed without an answer', (request) => request.socket.destroy()],
  [
    'a body that breaks off',
    (request, response) => {
      response.writeHead(206, { 'Content-Range': 'bytes 10-1009/5000', 'Content-Length': 1000 });
      response.write(BYTES.subarray(10, 500), () => request.socket.destroy());
    },
  ],
  [
    'a body that ends early',
    (_, response) => response.writeHead(206, { 'Content-Range': 'bytes 10-1009/5000' }).end(BYTES.subarray(10, 500)),
  ],
])('%s is tried again, and in the end an error', async (_, handler) => {
  const recovering = await serveAfterOpening((request, response, attempt) =>
    attempt <= 3 ? handler(request, response, attempt) : sendRange(request, response),
  );
  const source = await HttpSource.open(recovering.url, FAST);
  expect(await source.read(10, 1000)).toEqual(BYTES.slice(10, 1010));
  expect(recovering.ranges.length).toBe(4);

  const broken = await serveAfterOpening(handler);
  const hopeless = await HttpSource.open(broken.url, FAST);
  await expectError(() => hopeless.read(10, 1000), 'network', { file: broken.url, reason: /4 times/ });
  expect(broken.ranges.length).toBe(5);
});

test('a server that is not there', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/m.gguf`;
  await new Promise((resolve) => server.close(resolve));
  await expectError(() => HttpSource.open(url, FAST), 'network', { file: url, reason: /no answer, 4 times/ });
});

test('an abort stops a read in flight and one that waits to try again', async () => {
  for (const handler of [
    () => undefined,
    (_: IncomingMessage, response: ServerResponse) => response.writeHead(503).end(),
  ]) {
    const { url, ranges } = await serveAfterOpening(handler);
    const controller = new AbortController();
    const source = await HttpSource.open(url, { signal: controller.signal, retryDelayMs: 60_000 });
    const reading = expectError(() => source.read(0, 10), 'aborted', { file: url });
    await expect.poll(() => ranges.length).toBe(2);
    controller.abort();
    await reading;
    await expectError(() => source.read(0, 10), 'aborted', { file: url });
    expect(ranges.length).toBe(2);
  }
});
