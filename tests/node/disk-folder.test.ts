import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { diskFolder } from '../../src/node/disk-folder.ts';

let path: string;
let folder: FileSystemDirectoryHandle;
beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'chunkwise-disk-'));
  folder = await diskFolder(join(path, 'made/at/once'));
});
afterEach(() => rmSync(path, { recursive: true }));

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);

it('finds created files, and throws a browser’s errors for missing ones', async () => {
  await expect(folder.getFileHandle('a')).rejects.toMatchObject({ name: 'NotFoundError' });
  await expect(folder.removeEntry('a')).rejects.toMatchObject({ name: 'NotFoundError' });
  await folder.getFileHandle('a', { create: true });
  await folder.getDirectoryHandle('b', { create: true });
  const kinds: Record<string, string> = {};
  for await (const { name, kind } of folder.values()) kinds[name] = kind;
  expect(kinds).toEqual({ a: 'file', b: 'directory' });
  await folder.removeEntry('a');
  await expect(folder.getFileHandle('a')).rejects.toBeInstanceOf(DOMException);
});

it('keeps a file’s content when it is created again, and writes and reads at offsets', async () => {
  const file = await folder.getFileHandle('a', { create: true });
  const access = await file.createSyncAccessHandle();
  expect(access.write(bytes(1, 2, 3), { at: 2 })).toBe(3);
  expect(access.getSize()).toBe(5);
  const read = new Uint8Array(9);
  expect(access.read(read, { at: 1 })).toBe(4);
  expect([...read.subarray(0, 4)]).toEqual([0, 1, 2, 3]);
  access.truncate(3);
  access.close();
  await folder.getFileHandle('a', { create: true });
  expect([...new Uint8Array(await (await file.getFile()).arrayBuffer())]).toEqual([0, 0, 1]);
});

it('returns a file that is read on demand, unless it has changed since', async () => {
  const place = join(path, 'made/at/once/a');
  writeFileSync(place, '0123456789');
  const file = await (await folder.getFileHandle('a')).getFile();
  const part = file.slice(2, 8).slice(1, 3);
  expect([file.size, part.size, await part.text(), await file.slice(8, 99).text()]).toEqual([10, 2, '34', '89']);
  utimesSync(place, new Date(0), new Date(0));
  await expect(part.text()).rejects.toMatchObject({ name: 'NotReadableError' });
  rmSync(place);
  await expect(part.text()).rejects.toMatchObject({ name: 'NotFoundError' });
});

it('reads a file after its first 4 GiB', async () => {
  const place = join(path, 'made/at/once/large');
  writeFileSync(place, '');
  truncateSync(place, 5 * 2 ** 30); // sparse
  const file = await folder.getFileHandle('large');
  const access = await file.createSyncAccessHandle();
  access.write(bytes(7), { at: 4.5 * 2 ** 30 });
  access.close();
  const whole = await file.getFile();
  expect(whole.size).toBe(5 * 2 ** 30);
  const part = whole.slice(4.5 * 2 ** 30 - 1, 4.5 * 2 ** 30 + 2);
  expect([...new Uint8Array(await part.arrayBuffer())]).toEqual([0, 7, 0]);
});

it('replaces a file completely or leaves it unchanged', async () => {
  const file = await folder.getFileHandle('a', { create: true });
  for (const [text, end] of [
    ['first', 'close'],
    ['second', 'abort'],
  ] as const) {
    const writable = await file.createWritable();
    await writable.write(new TextEncoder().encode(text));
    await writable[end]();
    expect(readFileSync(join(path, 'made/at/once/a'), 'utf8')).toBe('first');
    expect(readdirSync(join(path, 'made/at/once'))).toEqual(['a']);
  }
});
