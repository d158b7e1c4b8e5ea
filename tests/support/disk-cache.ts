import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, vi } from 'vitest';
import { keepOnDisk } from '../../src/node/storage-host.ts';

/** A folder for this test file, in which Node keeps what a browser would store; emptied before each test. */
export function diskCacheForTests(): string {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-cache-'));
  vi.stubEnv('CHUNKWISE_CACHE', folder);
  keepOnDisk();
  afterAll(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
  });
  return folder;
}
