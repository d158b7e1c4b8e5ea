import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '../config/is-record.ts';
import type { TuningStore } from '../gpu/autotuner.ts';
import { cacheFolder, writeWhole } from './cache-folder.ts';

/** Keeps what the autotuner found on this machine, for all models, in `tuning.json` of a folder. */
export function tuningStore(folder = cacheFolder()): TuningStore {
  const file = join(folder, 'tuning.json');
  const read = async (): Promise<Record<string, unknown>> => {
    const text = await readFile(file, 'utf8').catch(() => '{}');
    const choices: unknown = JSON.parse(text);
    return isRecord(choices) ? choices : {};
  };
  return {
    get: async (key) => (await read())[key],
    // A damaged file is begun anew.
    set: async (key, chosen) =>
      writeWhole(file, JSON.stringify({ ...(await read().catch(() => ({}))), [key]: chosen }, null, 1)),
  };
}
