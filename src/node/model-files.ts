import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { pickModelFiles } from '../hub/pick-files.ts';
import { shardNames } from '../weights/gguf/gguf-split.ts';
import { FileSource } from './file-source.ts';
import { pathToFileURL } from 'node:url';
import type { ToUrl } from '../api/names.ts';

/** Folders of sentence-transformers' modules. */
const MODULE = /^\d_(?:Pooling|Dense)$/;
const SAFETENSORS = /\.safetensors$/;
const INDEX = /\.safetensors\.index\.json$/;
/** The first shard of a split model, or an unsplit model; neither an image projector nor an importance matrix. */
const GGUF = /^(?!.*(?:mmproj|imatrix))(?:.*-00001-of-\d{5}|(?!.*-\d{5}-of-\d{5}).*)\.gguf$/i;

export async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * Paths of a model's files. For a folder: its GGUF, else its safetensors with the files beside them, as on the hub. For
 * a file: all files that belong to it. Errors: `bad_request`, naming `field`, if a folder holds no model or several;
 * `unsupported` if it holds only pickles.
 */
export async function modelFiles(path: string, field = '--model'): Promise<string[]> {
  if (await isDirectory(path)) return pick(path, await namesIn(path), { field });
  const [folder, name] = [dirname(path), basename(path)];
  const isIndex = INDEX.test(name);
  if (!isIndex && !SAFETENSORS.test(name)) return shardNames(name).map((part) => join(folder, part));
  const names = await namesIn(folder).catch((): string[] => []);
  if (!names.includes(name)) return [path]; // opening it fails with its name
  // An index belongs to the shards, whatever else lies in the folder.
  return isIndex
    ? pick(
        folder,
        names.filter((other) => !other.endsWith('.gguf') && other !== 'model.safetensors'),
        { field },
      )
    : pick(folder, names, { field, file: name });
}

/** Names in a folder, with those in sentence-transformers' module folders. */
async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  for (const module of names.filter((name) => MODULE.test(name)).sort()) {
    names.push(...(await readdir(join(folder, module)).catch((): string[] => [])).map((name) => `${module}/${name}`));
  }
  return names;
}

function pick(folder: string, names: readonly string[], { field, file }: { field: string; file?: string }): string[] {
  const models = names.filter((name) => GGUF.test(name));
  if (file === undefined && models.length > 1) {
    const reason = `the folder holds several models; name one of ${models.sort().join(', ')}`;
    throw new ChunkwiseError('bad_request', { file: folder, field, reason });
  }
  const [model] = models;
  if (file === undefined && model !== undefined) return shardNames(model).map((part) => join(folder, part));
  const files = names.map((path) => ({ path, size: 0, oid: '', url: '' }));
  const id = { repo: folder, revision: '', ...(file !== undefined && { file }) };
  return pickModelFiles(id, { commit: '', files }, Infinity).map((found) => join(folder, found.path));
}

/** Opens a model's files. Errors: those of `modelFiles`; `bad_file` naming a missing file. */
export async function openSources(path: string, field?: string): Promise<FileSource[]> {
  const opened: FileSource[] = [];
  try {
    for (const file of await modelFiles(path, field)) opened.push(await FileSource.open(file));
    return opened;
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

export async function closeAll(sources: readonly { close: () => Promise<void> }[]): Promise<void> {
  await Promise.all(sources.map((source) => source.close()));
}

/** The folder for data kept with a model: that of its files. */
export async function folderOf(model: string): Promise<string> {
  return (await isDirectory(model)) ? model : dirname(model);
}

/** Anything but a URL is the path of a file or folder. */
export const fileOrUrl: ToUrl = (text) =>
  /^(?:https?|file|blob|data):/i.test(text) ? new URL(text) : pathToFileURL(resolve(text));

export const isFileUrl = (file: unknown): file is string => typeof file === 'string' && file.startsWith('file:');
