import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isRecord } from '../src/config/is-record.ts';
import type { TuningStore } from '../src/gpu/autotuner.ts';

/** Keeps what the autotuner found in `tuning.json` next to the model. */
export function tuningStore(model: string): TuningStore {
  const file = join(dirname(model), 'tuning.json');
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
