import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';

export interface WantedFile {
  path: string;
  /** Lower-case hexadecimal. */
  sha256: string;
}

/** A source of a file. `get` leaves the file at `part`, which may hold the start of an earlier attempt. */
export interface FileSource {
  name: string;
  get: (part: string) => Promise<void>;
}

/** Verified files, recorded beside them, so that a start does not hash them again. */
const VERIFIED = '.verified.json';
type Verified = Record<string, { size: number; mtimeMs: number; sha256: string } | undefined>;

/**
 * Makes sure that `file.path` holds the bytes with `file.sha256`, trying the sources in order, and returns the path.
 * @throws ChunkwiseError `network` when no source gave it, with each source's reason.
 */
export async function ensureFile(file: WantedFile, sources: FileSource[]): Promise<string> {
  await mkdir(dirname(file.path), { recursive: true });
  if (await isRight(file)) return file.path;
  const failures: string[] = [];
  for (const source of sources) {
    try {
      console.log(`${basename(file.path)}: from ${source.name}`);
      await take(file, source);
      return file.path;
    } catch (error) {
      const failure = `${source.name}: ${error instanceof Error ? error.message : String(error)}`;
      console.log(failure);
      failures.push(failure);
    }
  }
  const reason = `no source gave this file (${failures.join('; ')}); put it there by hand: sha256 ${file.sha256}`;
  throw new ChunkwiseError('network', { file: file.path, reason });
}

async function take(file: WantedFile, source: FileSource): Promise<void> {
  const part = `${file.path}.part`;
  const hadBeginning = existsSync(part);
  await source.get(part);
  let found = await sha256Of(part);
  if (found !== file.sha256 && hadBeginning) {
    // The existing part may belong to another file: retry from the start.
    await rm(part);
    await source.get(part);
    found = await sha256Of(part);
  }
  if (found !== file.sha256) {
    await rm(part);
    const reason = `${found}, not ${file.sha256}`;
    throw new ChunkwiseError('bad_file', { file: source.name, field: 'sha256', reason });
  }
  await rename(part, file.path);
  await remember(file);
}

async function isRight(file: WantedFile): Promise<boolean> {
  if (!existsSync(file.path)) return false;
  const { size, mtimeMs } = await stat(file.path);
  const known = (await readVerified(file))[basename(file.path)];
  if (known?.size === size && known.mtimeMs === mtimeMs && known.sha256 === file.sha256) return true;
  if ((await sha256Of(file.path)) !== file.sha256) return false;
  await remember(file);
  return true;
}

async function remember(file: WantedFile): Promise<void> {
  const { size, mtimeMs } = await stat(file.path);
  const verified = await readVerified(file);
  verified[basename(file.path)] = { size, mtimeMs, sha256: file.sha256 };
  await writeFile(join(dirname(file.path), VERIFIED), JSON.stringify(verified, undefined, 2));
}

async function readVerified(file: WantedFile): Promise<Verified> {
  try {
    return JSON.parse(await readFile(join(dirname(file.path), VERIFIED), 'utf8')) as Verified;
  } catch {
    return {}; // missing or damaged: hash again
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
