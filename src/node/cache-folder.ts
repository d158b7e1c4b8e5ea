import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { isRecord } from '../util/values.ts';
import type { TuningStore } from '../gpu/autotuner.ts';

/** The user's cache folder: `CHUNKWISE_CACHE`, or the platform's usual place. */
export function cacheFolder(
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
): string {
  const { CHUNKWISE_CACHE, LOCALAPPDATA, XDG_CACHE_HOME } = env;
  if (CHUNKWISE_CACHE) return CHUNKWISE_CACHE;
  if (platform === 'win32') return join(LOCALAPPDATA || join(homedir(), 'AppData', 'Local'), 'chunkwise');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'chunkwise');
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'chunkwise');
}

/** Writes a file completely or not at all, even if two processes write at once. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}.part`;
  try {
    await writeFile(part, content);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }); // part of a file is useless
    throw error;
  }
}

/** Stores autotuner results of this machine, for all models, in `tuning.json` of a folder. */
export function tuningStore(folder = cacheFolder()): TuningStore {
  const file = join(folder, 'tuning.json');
  const read = async (): Promise<Record<string, unknown>> => {
    const text = await readFile(file, 'utf8').catch(() => '{}');
    const choices: unknown = JSON.parse(text);
    return isRecord(choices) ? choices : {};
  };
  return {
    get: async (key) => (await read())[key],
    // A damaged file is replaced.
    set: async (key, chosen) =>
      writeWhole(file, JSON.stringify({ ...(await read().catch(() => ({}))), [key]: chosen }, null, 1)),
  };
}
