import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { deleteModel, listModels } from '../../src/storage/model-files.ts';
import { storageHost } from '../../src/storage/storage-host.ts';
import { openStored } from '../../workers/model-store.ts';
import { diskCacheForTests } from '../support/disk-cache.ts';
import { HubServer } from '../support/hub-server.ts';
import { Random } from '../support/random.ts';

const PATH = 'weights.gguf';
const random = new Random(7);
const FILE = Uint8Array.from({ length: 1_300_000 }, () => random.below(256));

const hub = await HubServer.start('owner/tiny', { [PATH]: FILE });
const folder = diskCacheForTests();
afterAll(() => hub.close());
beforeEach(() => hub.forget());

const load = async (phases: string[] = []): Promise<Uint8Array> => {
  const url = hub.fileUrl(PATH);
  const [source] = await openStored(url, [{ url, key: url, headers: {} }], {
    kind: 'model',
    confirm: undefined,
    onProgress: ({ phase }) => void (phases.at(-1) === phase || phases.push(phase)),
  });
  return source!.read(0, source!.size);
};

it('stores a download in the cache folder, finds it offline, lists and deletes it', async () => {
  const phases: string[] = [];
  expect(Buffer.compare(await load(phases), FILE)).toBe(0);
  expect(phases).toContain('download');
  const listed = await listModels();
  expect(listed).toEqual([{ kind: 'model', name: hub.fileUrl(PATH), bytes: FILE.length }]);
  hub.behaviour.instead = ({ response }) => {
    response.destroy();
    return true;
  };
  const again: string[] = [];
  expect(Buffer.compare(await load(again), FILE)).toBe(0);
  expect(again).toEqual(['verify']);
  expect(await deleteModel(hub.fileUrl(PATH))).toBe(true);
  expect(await listModels()).toEqual([]);
  expect(readdirSync(join(folder, 'chunkwise-models'))).toEqual([]);
});

it('serialises two loads of one file: each byte is sent once', async () => {
  const loads = await Promise.all([load(), load()]);
  for (const bytes of loads) expect(Buffer.compare(bytes, FILE)).toBe(0);
  expect(hub.sentTwice(PATH)).toBe(0);
  expect(readdirSync(join(folder, 'chunkwise-locks'))).toEqual([]);
});

it('has exclusive locks, fails with ifAvailable, and takes over a stale lock', async () => {
  const seen: string[] = [];
  let waited: Promise<void> | undefined;
  await storageHost.lock('a', {}, async (lock) => {
    seen.push(`first ${lock === null ? 'without' : 'with'}`);
    waited = storageHost.lock('a', {}, async () => void seen.push('third'));
    await storageHost.lock(
      'a',
      { ifAvailable: true },
      async (second) => void seen.push(`second ${second === null ? 'without' : 'with'}`),
    );
    await storageHost.lock('b', { ifAvailable: true }, async (other) => void seen.push(`other ${typeof other}`));
  });
  await waited;
  expect(seen).toEqual(['first with', 'second without', 'other object', 'third']);
  // The lock of a killed process.
  const locks = join(folder, 'chunkwise-locks');
  let name = '';
  await storageHost.lock('c', {}, async () => void (name = readdirSync(locks)[0] ?? ''));
  writeFileSync(join(locks, name), '');
  utimesSync(join(locks, name), new Date(0), new Date(0));
  await storageHost.lock('c', { ifAvailable: true }, async (lock) => expect(lock).not.toBe(null));
});

it('skips a damaged manifest, and reports the free space', async () => {
  await storageHost.manifests.set('a/b', { files: ['x'] });
  expect(await storageHost.manifests.get('a/b')).toEqual({ files: ['x'] });
  const [file = ''] = readdirSync(join(folder, 'chunkwise-manifests'));
  writeFileSync(join(folder, 'chunkwise-manifests', file), '["a/b", {');
  expect(await storageHost.manifests.get('a/b')).toBe(undefined);
  expect(await storageHost.manifests.entries()).toEqual([]);
  const { quota = 0 } = await storageHost.estimate();
  expect(quota).toBeGreaterThan(0);
});
