import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '../src/config/is-record.ts';
import type { TuningStore } from '../src/gpu/autotuner.ts';

/** Keeps what the autotuner found in `tuning.json` in the model's folder. */
export function tuningStore(folder: string): TuningStore {
  const file = join(folder, 'tuning.json');
  const read = async (): Promise<Record<string, unknown>> => {
    const text = await readFile(file, 'utf8').catch(() => '{}');
    const choices: unknown = JSON.parse(text);
    return isRecord(choices) ? choices : {};
  };
  return {
    get: async (key) => (await read())[key],
    // A damaged file is begun anew.
    set: async (key, chosen) => writeFile(file, JSON.stringify({ ...(await read().catch(() => ({}))), [key]: chosen }, null, 1)),
  };
}
