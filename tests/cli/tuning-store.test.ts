import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { cacheFolder, tuningStore } from '../../src/node/cache-folder.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Large enough that a write can fail at several places. */
const LARGE = { name: 'x'.repeat(5000) };

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-tuning-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test.each<[string, NodeJS.Platform, NodeJS.ProcessEnv, string]>([
  ['a folder that is named', 'linux', { CHUNKWISE_CACHE: '/own', XDG_CACHE_HOME: '/cache' }, '/own'],
  ['Linux', 'linux', {}, join(homedir(), '.cache/chunkwise')],
  ['Linux with a folder for caches', 'linux', { XDG_CACHE_HOME: '/cache' }, '/cache/chunkwise'],
  ['macOS', 'darwin', { XDG_CACHE_HOME: '/cache' }, join(homedir(), 'Library/Caches/chunkwise')],
  ['Windows', 'win32', { LOCALAPPDATA: '/local' }, '/local/chunkwise'],
  ['Windows without its variable', 'win32', {}, join(homedir(), 'AppData/Local/chunkwise')],
])('%s: what is kept of a user lies there', (_, platform, env, folder) =>
  expect(cacheFolder(env, platform)).toBe(folder),
);

test('stores results in a folder that it creates, and replaces a damaged file', async () => {
  const folder = join(temporary(), 'a', 'b');
  const store = tuningStore(folder);
  expect(await store.get('one')).toBeUndefined();
  await store.set('one', { lanes: 1 });
  await store.set('two', { lanes: 2 });
  expect([await store.get('one'), await tuningStore(folder).get('two')]).toEqual([{ lanes: 1 }, { lanes: 2 }]);
  writeFileSync(join(folder, 'tuning.json'), '{"one": {"la');
  await expect(store.get('one')).rejects.toThrow();
  await store.set('two', { lanes: 3 });
  expect([await store.get('one'), await store.get('two')]).toEqual([undefined, { lanes: 3 }]);
});

/** Limits a file to this many KiB; then the system ends the process, or the write fails as on a full disk. */
test.each([
  ['killed', ''],
  ['full', "trap '' XFSZ; "],
])('a command that is %s while it writes leaves what was whole', async (how, trap) => {
  const folder = temporary();
  const store = tuningStore(folder);
  await store.set('one', { lanes: 1 });
  const code = `
    const { tuningStore } = await import('./src/node/cache-folder.ts');
    await tuningStore(${JSON.stringify(folder)}).set('large', ${JSON.stringify(LARGE)});`;
  const write = (kib: number): void => {
    const script = `${trap}ulimit -f ${kib}; exec '${process.execPath}' --import tsx --input-type=module -e "$CODE"`;
    execFileSync('bash', ['-c', script], {
      cwd: ROOT,
      env: { ...process.env, CODE: code, TSX_DISABLE_CACHE: '1' },
      stdio: 'ignore',
    });
  };
  for (const kib of [0, 1, 4]) {
    expect(() => write(kib)).toThrow();
    expect([await store.get('one'), await store.get('large')]).toEqual([{ lanes: 1 }, undefined]);
    if (how === 'full') expect(readdirSync(folder)).toEqual(['tuning.json']);
  }
  write(8);
  expect([await store.get('one'), await store.get('large')]).toEqual([{ lanes: 1 }, LARGE]);
});
