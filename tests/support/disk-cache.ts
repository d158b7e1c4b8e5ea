import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, vi } from 'vitest';
import { keepOnDisk } from '../../src/node/storage-host.ts';
import { storageHost } from '../../src/storage/storage-host.ts';

/** A folder for this test file, in which Node keeps what a browser would store; emptied before each test. */
export function diskCacheForTests(): string {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-cache-'));
  vi.stubEnv('CHUNKWISE_CACHE', folder);
  const before = { ...storageHost };
  keepOnDisk();
  afterAll(() => {
    Object.assign(storageHost, before); // the next file of this process may test the browser's storage
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
  });
  return folder;
}
