import { mkdtempSync, openAsBlob, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { lastingSources, type StoredFile } from '../../workers/model-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'chunkwise-stored-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Files on disk, which become unreadable as those of a browser's storage do when they are deleted. */
const store = (version: string, ...texts: string[]): Promise<StoredFile[]> =>
  Promise.all(
    texts.map(async (text, i) => {
      const path = join(folder, `part ${i}`);
      writeFileSync(path, text);
      return { source: new BlobSource(`part ${i}`, await openAsBlob(path)), version };
    }),
  );
const remove = (part: number): void => rmSync(join(folder, `part ${part}`));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

it('downloads all files again, once, when one is deleted', async () => {
  let reopened = 0;
  const [first, second] = lastingSources(await store('1', 'one', 'two'), async () => {
    reopened++;
    return store('1', 'one', 'two');
  });
  expect(await first?.read(0, 3)).toEqual(bytes('one'));
  remove(0);
  remove(1);
  const read = await Promise.all([first?.read(1, 2), second?.read(0, 3), first?.read(0, 1)]);
  expect(read).toEqual([bytes('ne'), bytes('two'), bytes('o')]);
  expect(reopened).toBe(1);
  remove(0);
  expect(await first?.read(0, 3)).toEqual(bytes('one'));
  expect(reopened).toBe(2);
});

it.each([
  ['another version', '2', 'one'],
  ['another length', '1', 'ones'],
])('goes on with no file of %s', async (_, version, text) => {
  const [file] = lastingSources(await store('1', 'one'), () => store(version, text));
  remove(0);
  const error = expect.objectContaining({
    code: 'bad_file',
    detail: { file: 'part 0', reason: expect.stringContaining('another version') as string },
  }) as Error;
  await expect(file?.read(0, 3)).rejects.toEqual(error);
});

it('reports a lost copy that cannot be downloaded again, and tries again at the next read', async () => {
  let isOnline = false;
  const [file] = lastingSources(await store('1', 'one'), async () => {
    if (isOnline) return store('1', 'one');
    throw new ChunkwiseError('network', { file: 'part 0', reason: 'no answer, 5 times' });
  });
  remove(0);
  await expect(file?.read(0, 3)).rejects.toMatchObject({
    code: 'network',
    detail: { file: 'part 0', reason: "its copy in the browser's storage is gone: no answer, 5 times" },
  });
  isOnline = true;
  expect(await file?.read(0, 3)).toEqual(bytes('one'));
});
