import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import { BlobSource, type ByteSource } from '../../src/weights/byte-source.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';

const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

async function temporaryFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'chunkwise-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'x.bin');
  await writeFile(path, BYTES);
  return path;
}

async function openFile(path: string): Promise<FileSource> {
  const source = await FileSource.open(path);
  onTestFinished(() => source.close());
  return source;
}

test.each<[string, () => Promise<ByteSource>]>([
  ['bytes', () => Promise.resolve(new BytesSource('x', BYTES))],
  ['a blob', () => Promise.resolve(new BlobSource('x', new Blob([BYTES.slice(0, 400), BYTES.slice(400)])))],
  ['a file', async () => openFile(await temporaryFile())],
])('%s: reads exactly what is asked for, and refuses to read past the end', async (_, open) => {
  const source = await open();
  const file = source.name;
  expect(source.size).toBe(1000);
  expect(await source.read(0, 1000)).toEqual(BYTES);
  expect(await source.read(397, 10)).toEqual(BYTES.slice(397, 407));
  expect(await source.read(1000, 0)).toEqual(new Uint8Array(0));
  await expectError(() => source.read(990, 11), 'bad_file', { file, reason: /bytes 990 to 1001 .* ends at 1000/ });
  await expectError(() => source.read(2 ** 40, 1), 'bad_file', { file, reason: /ends at 1000/ });
  await expectError(() => source.read(-1, 1), 'bad_file', { file });
  await expectError(() => source.read(NaN, 1), 'bad_file', { file });
});

test('a missing file, a folder, and a file that shrinks while it is open', async () => {
  const path = await temporaryFile();
  await expectError(() => FileSource.open(`${path}.none`), 'bad_file', { file: `${path}.none`, reason: /ENOENT/ });
  await expectError(() => FileSource.open(tmpdir()), 'bad_file', { file: tmpdir(), reason: /not a regular file/ });
  const source = await openFile(path);
  await truncate(path, 500);
  await expectError(() => source.read(400, 200), 'bad_file', { file: path, reason: /ended at byte 500/ });
});
