import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LadderBuilder } from '../src/adapters/ladder/adapter-ladder.ts';
import type { LadderStore } from '../src/adapters/ladder/ladder-cache.ts';
import { laddersHere } from '../src/node/ladders-here.ts';
import { writeWhole } from '../src/node/cache-folder.ts';

/** Keeps ladders as files of a folder. */
export const ladderStore = (folder: string): LadderStore => ({
  async get(key) {
    const { buffer, byteOffset, byteLength } = await readFile(join(folder, `${key}.ladder`));
    return buffer.slice(byteOffset, byteOffset + byteLength);
  },

  async put(key, bytes) {
    await writeWhole(join(folder, `${key}.ladder`), bytes);
  },
});

/** Rank ladders as they lie in `ladders/` in the model's folder, or built here and now. */
export const buildLadders = (folder: string): LadderBuilder => laddersHere(ladderStore(join(folder, 'ladders')));
