import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LadderBuilder } from '../src/adapters/ladder/adapter-ladder.ts';
import { buildAdapterLadder } from '../src/adapters/ladder/adapter-ladder.ts';
import type { LadderStore } from '../src/adapters/ladder/ladder-cache.ts';
import { cachedLadders } from '../src/adapters/ladder/ladder-cache.ts';

/** Keeps ladders as files of a folder. */
export const ladderStore = (folder: string): LadderStore => ({
  async get(key) {
    const { buffer, byteOffset, byteLength } = await readFile(join(folder, `${key}.ladder`));
    return buffer.slice(byteOffset, byteOffset + byteLength);
  },

  async put(key, bytes) {
    await mkdir(folder, { recursive: true });
    // Whole or not at all, also where two commands write at once.
    const part = join(folder, `${key}.${process.pid}.part`);
    await writeFile(part, bytes);
    await rename(part, join(folder, `${key}.ladder`));
  },
});

/** Rank ladders as they lie in `ladders/` in the model's folder, or built here and now. */
export const buildLadders = (folder: string): LadderBuilder =>
  cachedLadders(ladderStore(join(folder, 'ladders')), async (adapter, options) =>
    buildAdapterLadder(adapter, options),
  );
