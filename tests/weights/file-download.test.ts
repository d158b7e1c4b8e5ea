import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FileDownload } from '../../src/downloads/file-download.ts';
import { MemoryPieces } from '../../src/downloads/piece-store.ts';
import { describeRemote } from '../../src/downloads/remote-file.ts';
import { HubServer, sha256Of } from '../support/hub-server.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';

const PIECE = 10_000;
const SIZE = 412_345;
const PATH = 'weights.gguf';
const random = new Random(4);
const BYTES = Uint8Array.from({ length: SIZE }, () => random.below(256));
const SHA256 = sha256Of(BYTES);
const FAST = { retryDelayMs: 1, stallMs: 10_000, pieceBytes: PIECE };

let hub: HubServer;
beforeAll(async () => {
  hub = await HubServer.start('owner/tiny', { [PATH]: BYTES });
});
afterAll(() => hub.close());
beforeEach(() => hub.forget());

async function open(store: MemoryPieces, options = {}, sha256: string | undefined = SHA256): Promise<FileDownload> {
  const all = { ...FAST, ...options };
  const remote = await describeRemote(hub.fileUrl(PATH), all);
  return FileDownload.open({ ...remote, sha256 }, store, all);
}

async function download(store: MemoryPieces, options = {}, sha256: string | undefined = SHA256): Promise<string> {
  const file = await open(store, options, sha256);
  await file.complete();
  await file.verify();
  return sha256Of(new Uint8Array(await (await file.blob()).arrayBuffer()));
}

test('downloads a file by parallel ranges, each byte once, and reports progress', async () => {
  const store = new MemoryPieces();
  const file = await open(store);
  expect([file.size, file.missing]).toEqual([SIZE, SIZE]);
  const told: number[] = [];
  await file.complete((bytes) => told.push(bytes));
  expect(told.at(-1)).toBe(SIZE);
  expect(told).toEqual([...told].sort((a, b) => a - b));
  await file.verify();
  expect(sha256Of(new Uint8Array(await (await file.blob()).arrayBuffer()))).toBe(SHA256);
  expect([hub.sentBytes(PATH), hub.sentTwice(PATH)]).toEqual([SIZE, 0]);
  expect(store.isVerified).toBe(true);
  // Another visit requests only the file's description.
  hub.forget();
  expect(await download(store)).toBe(SHA256);
  expect(hub.sentBytes(PATH)).toBe(0);
});

test('interrupted at every twentieth of the file in one visit: no byte is sent twice', async () => {
  const cuts = new Set(Array.from({ length: 19 }, (_, i) => Math.round(((i + 1) * SIZE) / 20)));
  hub.behaviour.cutAt = ({ from, to }) => {
    const cut = [...cuts].find((at) => at > from && at < to);
    if (cut !== undefined) cuts.delete(cut);
    return cut;
  };
  expect(await download(new MemoryPieces())).toBe(SHA256);
  expect(cuts.size).toBe(0);
  expect([hub.sentBytes(PATH), hub.sentTwice(PATH)]).toEqual([SIZE, 0]);
});

test('ended at every twentieth of the file and resumed in another visit: no held piece is sent twice', async () => {
  const store = new MemoryPieces();
  const heldAt: number[] = [];
  for (let part = 1; part < 20; part++) {
    const control = new AbortController();
    const file = await open(store, { signal: control.signal });
    // Each of four connections finishes its current piece.
    if (SIZE - file.missing >= (part * SIZE) / 20 || file.missing < 8 * PIECE) continue;
    const work = file.complete((bytes) => {
      if (bytes >= (part * SIZE) / 20) control.abort();
    });
    await expectError(() => work, 'aborted', { file: hub.fileUrl(PATH) });
    heldAt.push(store.pieces.size);
  }
  expect(heldAt).toEqual([...heldAt].sort((a, b) => a - b));
  const before = [...store.pieces.keys()];
  for (const bytes of hub.sent.values()) bytes.fill(0);
  expect(await download(store)).toBe(SHA256);
  const sent = hub.sent.get(PATH)!;
  for (const index of before)
    expect(sent.subarray(index * PIECE, (index + 1) * PIECE).every((times) => times === 0)).toBe(true);
  expect(hub.sentTwice(PATH)).toBe(0);
});

test.each([429, 500, 503])('status %i is retried', async (status) => {
  hub.behaviour.instead = ({ count, response }) => {
    if (count % 2 === 0) return false;
    response.writeHead(status).end();
    return true;
  };
  expect(await download(new MemoryPieces())).toBe(SHA256);
  expect(hub.sentTwice(PATH)).toBe(0);
  hub.behaviour.instead = ({ response }) => Boolean(response.writeHead(status).end());
  await expectError(() => download(new MemoryPieces()), 'network', {
    file: hub.fileUrl(PATH),
    reason: new RegExp(`status ${status}, 5 times`),
  });
});

test('waits for Retry-After, but not for an hour', async () => {
  let asked = 0;
  hub.behaviour.instead = ({ response }) => {
    if (asked !== 0) return false;
    asked = performance.now();
    response.writeHead(429, { 'Retry-After': '1' }).end();
    return true;
  };
  await open(new MemoryPieces());
  expect(performance.now() - asked).toBeGreaterThan(990);
  hub.behaviour.instead = ({ response }) => Boolean(response.writeHead(429, { 'Retry-After': '3600' }).end());
  await expectError(() => open(new MemoryPieces()), 'network', {
    file: hub.fileUrl(PATH),
    reason: /429: .* after 3600 seconds/,
  });
});

test.each([401, 403, 404, 416])('status %i is an error at once', async (status) => {
  hub.behaviour.instead = ({ response }) => Boolean(response.writeHead(status).end());
  await expectError(() => download(new MemoryPieces()), 'network', {
    file: hub.fileUrl(PATH),
    reason: new RegExp(`status ${status}`),
  });
  expect(hub.requests.filter(({ origin }) => origin === 'cdn')).toHaveLength(1);
});

test('a body that ends early, and one longer than its length', async () => {
  hub.behaviour.instead = ({ from, to, size, count, response }) => {
    if (count % 3 === 0) return false;
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${to - 1}/${size}` });
    response.end(
      count % 3 === 1 ? BYTES.subarray(from, from + Math.ceil((to - from) / 2)) : BYTES.subarray(from, to + 5000),
    );
    return true;
  };
  expect(await download(new MemoryPieces())).toBe(SHA256);
});

test.each<[string, (from: number, to: number, size: number) => string | undefined, RegExp]>([
  ['another range', (_, __, size) => `bytes 0-9/${size}`, /Content-Range is bytes 0-9/],
  ['no Content-Range', () => undefined, /missing or hidden/],
  ['another length of the file', (from, to) => `bytes ${from}-${to - 1}/4000`, /412345 bytes long, then 4000/],
])('an answer with %s is an error at once', async (_, range, reason) => {
  const file = await open(new MemoryPieces());
  hub.behaviour.instead = ({ from, to, size, response }) => {
    const header = range(from, to, size);
    response.writeHead(206, header === undefined ? {} : { 'Content-Range': header }).end(BYTES.subarray(from, to));
    return true;
  };
  await expectError(() => file.complete(), 'network', { file: hub.fileUrl(PATH), reason });
});

test('a compressed response: accepted for the whole file, an error for a part', async () => {
  const zipped = gzipSync(BYTES);
  hub.behaviour.instead = ({ response }) =>
    Boolean(response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': zipped.length }).end(zipped));
  expect(await download(new MemoryPieces())).toBe(SHA256);
  hub.behaviour.instead = ({ from, to, size, response }) => {
    if (to - from === 2) return false;
    const headers = { 'Content-Encoding': 'gzip', 'Content-Range': `bytes ${from}-${to - 1}/${size}` };
    return Boolean(response.writeHead(206, headers).end(gzipSync(BYTES.subarray(from, to))));
  };
  await expectError(() => download(new MemoryPieces()), 'network', {
    file: hub.fileUrl(PATH),
    reason: /compresses the parts/,
  });
});

test('a response longer than announced: an error, not the start of another file', async () => {
  hub.behaviour = { ranges: false };
  const file = await open(new MemoryPieces());
  hub.behaviour.instead = ({ response }) =>
    Boolean(response.writeHead(200, { ETag: `"${SHA256.slice(0, 32)}"` }).end(Buffer.concat([BYTES, BYTES])));
  await expectError(() => file.complete(), 'network', {
    file: hub.fileUrl(PATH),
    reason: /more than the 412345 bytes/,
  });
});

test('a server that falls silent before or within its response', async () => {
  const requests = new Map<number, number>();
  hub.behaviour.instead = ({ from, to, size, response }) => {
    const count = (requests.get(to) ?? 0) + 1;
    requests.set(to, count);
    if (count > 2) return false;
    if (count === 1) return true; // never responds
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${to - 1}/${size}`, 'Content-Length': to - from });
    response.write(BYTES.subarray(from, from + 100));
    return true;
  };
  expect(await download(new MemoryPieces(), { stallMs: 300 })).toBe(SHA256);
  const ofPieces = [...requests].filter(([to]) => to >= PIECE);
  expect(Math.min(...ofPieces.map(([, count]) => count))).toBeGreaterThan(2);
  hub.behaviour.instead = () => true;
  await expectError(() => download(new MemoryPieces(), { stallMs: 20 }), 'network', {
    file: hub.fileUrl(PATH),
    reason: /nothing came for 20 ms, 5 times/,
  });
});

test('a slow server has time as long as it sends', async () => {
  hub.behaviour.instead = ({ from, to, size, response }) => {
    if (to - from < 100) return false;
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${to - 1}/${size}`, 'Content-Length': to - from });
    let at = from;
    const timer = setInterval(() => {
      response.write(BYTES.subarray(at, Math.min(to, at + 20_000)));
      at += 20_000;
      if (at < to) return;
      clearInterval(timer);
      response.end();
    }, 50);
    return true;
  };
  expect(await download(new MemoryPieces(), { stallMs: 500 })).toBe(SHA256);
});

test.each([true, false])('a server without ranges that sends the length: %s', async (length) => {
  const misbehaves = { ranges: false, length };
  hub.behaviour = misbehaves;
  const store = new MemoryPieces();
  expect(await download(store)).toBe(SHA256);
  expect(await download(store)).toBe(SHA256);
  expect(hub.sentBytes(PATH)).toBe(SIZE);
  let cuts = 2;
  hub.behaviour = { ...misbehaves, cutAt: () => (cuts-- > 0 ? SIZE / 2 : undefined) };
  expect(await download(new MemoryPieces())).toBe(SHA256);
});

test('bytes corrupted in transit: the piece is found and fetched again', async () => {
  let isTampered = false;
  hub.behaviour.tampered = (bytes, { from, to }) => {
    const at = 200_000;
    if (isTampered || to - from < 3 || at < from || at >= to) return bytes;
    isTampered = true;
    return bytes.map((byte, i) => (from + i === at ? byte ^ 1 : byte));
  };
  expect(await download(new MemoryPieces())).toBe(SHA256);
  expect(isTampered).toBe(true);
  // Nothing shows which piece was wrong: pieces are fetched again one by one up to that one.
  expect(hub.sent.get(PATH)!.findLastIndex((times) => times > 1)).toBe(210_000 - 1);
});

test('a server whose bytes never match the hub’s SHA-256: an error, and nothing is stored', async () => {
  const store = new MemoryPieces();
  hub.behaviour.tampered = (bytes, { from }) =>
    from <= 5 && bytes.length > 5 ? bytes.map((byte, i) => (from + i === 5 ? byte ^ 1 : byte)) : bytes;
  await expectError(() => download(store), 'bad_file', {
    file: hub.fileUrl(PATH),
    field: 'sha256',
    reason: new RegExp(SHA256),
  });
  expect(store.pieces.size).toBe(0);
  hub.behaviour = {};
  expect(await download(store)).toBe(SHA256);
});

test.each<[string, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>]>([
  ['changed', (bytes) => bytes.map((byte, i) => (i === 77 ? byte ^ 4 : byte))],
  ['cut short', (bytes) => bytes.slice(0, 100)],
  ['gone', () => new Uint8Array()],
])('a piece %s in the store comes again, and no other', async (_, damage) => {
  const store = new MemoryPieces();
  await download(store);
  hub.forget();
  store.bytes.set(21, damage(store.bytes.get(21)!));
  expect(await download(store)).toBe(SHA256);
  expect(hub.sentBytes(PATH)).toBe(PIECE);
  expect(hub.sent.get(PATH)!.indexOf(1)).toBe(21 * PIECE);

  // Offline a damaged file is an error that names the place, and an intact one is read.
  expect(FileDownload.offline(store)?.missing).toBe(0);
  await FileDownload.offline(store)!.verify();
  store.bytes.set(21, damage(store.bytes.get(21)!));
  await expectError(() => FileDownload.offline(store)!.verify(), 'network', {
    file: hub.fileUrl(PATH),
    reason: /bytes from 210000 on/,
  });
  // A server whose bytes differ from verified ones is not trusted.
  hub.behaviour.tampered = (bytes, { from }) => bytes.map((byte) => (from === 21 * PIECE ? byte ^ 1 : byte));
  await expectError(() => download(store), 'bad_file', {
    file: hub.fileUrl(PATH),
    field: 'sha256',
    reason: /from 210000 on/,
  });
});

test('reading fetches only the pieces that are read, and they count as downloaded', async () => {
  const file = await open(new MemoryPieces());
  expect(await file.read(95_000, 12_000)).toEqual(BYTES.slice(95_000, 107_000));
  expect(await file.read(0, 0)).toEqual(new Uint8Array());
  expect(hub.sentBytes(PATH)).toBe(2 * PIECE);
  await expectError(() => file.read(SIZE - 1, 2), 'bad_file', { reason: /ends at 412345/ });
  await file.complete();
  await file.verify();
  expect([hub.sentBytes(PATH), hub.sentTwice(PATH)]).toEqual([SIZE, 0]);
});

test('a new version on the server is downloaded again', async () => {
  const store = new MemoryPieces();
  await download(store, {}, undefined);
  const held = await open(store, {}, undefined);
  expect(held.missing).toBe(0);
  await store.begin({ ...store.note!, version: '"older"' });
  expect((await open(store, {}, undefined)).missing).toBe(SIZE);
});

test('a full store ends the download with the numbers; held pieces stay', async () => {
  class SmallStore extends MemoryPieces {
    override async put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
      if (this.pieces.size === 30) throw new DOMException('full', 'QuotaExceededError');
      return super.put(index, bytes, sha256);
    }
  }
  const store = new SmallStore();
  await expectError(() => download(store), 'over_limit', {
    field: 'storage',
    reason: /full after 300000 of 412345 bytes/,
  });
  expect(store.pieces.size).toBe(30);
});
