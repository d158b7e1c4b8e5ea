import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { storageHost } from '../storage/storage-host.ts';
import { cacheFolder, writeWhole } from './cache-folder.ts';
import { diskFolder } from './disk-folder.ts';

/** Makes `src/storage` use the folder of `cacheFolder`. */
export function keepOnDisk(): void {
  Object.assign(storageHost, onDisk);
}

const onDisk: typeof storageHost = {
  directory: () => diskFolder(cacheFolder()),

  async estimate() {
    try {
      await mkdir(cacheFolder(), { recursive: true });
      const { bavail, bsize } = await statfs(cacheFolder());
      return { quota: bavail * bsize, usage: 0 };
    } catch {
      return {}; // the folder is not writable: models stay in memory
    }
  },

  async lock(name, { ifAvailable = false }, work) {
    const file = join(cacheFolder(), 'chunkwise-locks', hashOf(name));
    const nothing = async (): Promise<void> => undefined;
    // If the folder is not writable there is nothing to lock.
    const release = await takeLock(file, ifAvailable).catch(() => nothing);
    if (!release) return work(null);
    try {
      return await work({ name });
    } finally {
      await release();
    }
  },

  manifests: {
    async get<T>(name: string) {
      const text = await readFile(manifestFile(name), 'utf8').catch(() => undefined);
      return text === undefined ? undefined : readManifest<T>(text)?.[1];
    },
    set: (name, manifest) => writeWhole(manifestFile(name), JSON.stringify([name, manifest])),
    delete: (name) => rm(manifestFile(name), { force: true }),
    async entries<T>() {
      const folder = manifestFolder();
      const names = (await readdir(folder)).filter((name) => name.endsWith('.json'));
      const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8').catch(() => '')));
      return texts.flatMap((text) => {
        const entry = readManifest<T>(text);
        return entry ? [entry] : [];
      });
    },
  },
};

const hashOf = (name: string): string => createHash('sha256').update(name).digest('hex');
const manifestFolder = (): string => join(cacheFolder(), 'chunkwise-manifests');
const manifestFile = (name: string): string => join(manifestFolder(), `${hashOf(name)}.json`);

/** Undefined if the file is damaged. */
function readManifest<T>(text: string): [name: string, manifest: T] | undefined {
  try {
    return JSON.parse(text) as [string, T];
  } catch {
    return undefined;
  }
}

/** A lock is a file that its holder touches at this interval; an older one was left by a dead process. */
const TOUCH_MS = 1000;
const LEFT_MS = 10_000;
const WAIT_MS = 100;

/**
 * Takes a lock across processes. Returns its release function, or undefined if it is taken and `ifAvailable` is set.
 * Two processes that find the same stale lock may both continue; piece hashes detect the damage.
 */
async function takeLock(file: string, ifAvailable: boolean): Promise<(() => Promise<void>) | undefined> {
  await mkdir(join(file, '..'), { recursive: true });
  while (!(await isMade(file))) {
    const touched = await stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(), // released meanwhile
    );
    if (Date.now() - touched > LEFT_MS) await rm(file, { force: true });
    else if (ifAvailable) return undefined;
    else await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
  const touch = (): void => void utimes(file, new Date(), new Date()).catch(() => undefined); // another process removed it as stale
  const timer = setInterval(touch, TOUCH_MS);
  return async () => {
    clearInterval(timer);
    await rm(file, { force: true });
  };
}

/** Creates the file; false if it exists. */
async function isMade(file: string): Promise<boolean> {
  try {
    await (await open(file, 'wx')).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
