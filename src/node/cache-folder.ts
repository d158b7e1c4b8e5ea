import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Where what can be found again is kept of a user: `CHUNKWISE_CACHE`, or a folder at the platform's usual place. */
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

/** Writes a file whole or not at all, also where two commands write at once. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}.part`;
  try {
    await writeFile(part, content);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }); // half a file only takes room
    throw error;
  }
}
