import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { pickModelFiles } from '../hub/pick-files.ts';
import { shardNames } from '../weights/gguf/gguf-split.ts';
import { FileSource } from './file-source.ts';

/** What sentence-transformers has folders of its own for. */
const MODULE = /^\d_(?:Pooling|Dense)$/;
const SAFETENSORS = /\.safetensors$/;
const INDEX = /\.safetensors\.index\.json$/;
/** The first part of a split model, or one that is not split; neither a projector of images nor statistics. */
const GGUF = /^(?!.*(?:mmproj|imatrix))(?:.*-00001-of-\d{5}|(?!.*-\d{5}-of-\d{5}).*)\.gguf$/i;

export async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * Paths of the files of a model: of the one that lies in a folder (a GGUF, else safetensors with what belongs to them, as
 * on the hub), or of all that belongs to the file that `path` names. Errors: `bad_request` where a folder holds none, or
 * several, which names `field`; `unsupported` where it holds pickles alone.
 */
export async function modelFiles(path: string, field = '--model'): Promise<string[]> {
  if (await isDirectory(path)) return pick(path, await namesIn(path), { field });
  const [folder, name] = [dirname(path), basename(path)];
  const isIndex = INDEX.test(name);
  if (!isIndex && !SAFETENSORS.test(name)) return shardNames(name).map((part) => join(folder, part));
  const names = await namesIn(folder).catch((): string[] => []);
  if (!names.includes(name)) return [path]; // to be missed by its name
  // An index is of the parts, whatever else lies there.
  return isIndex
    ? pick(
        folder,
        names.filter((other) => !other.endsWith('.gguf') && other !== 'model.safetensors'),
        { field },
      )
    : pick(folder, names, { field, file: name });
}

/** With those in sentence-transformers' folders. */
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

/** Opens the files of a model. Errors: those of `modelFiles`; `bad_file` naming one that is not there. */
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

/** Where what is kept of a model is put: beside its files. */
export async function folderOf(model: string): Promise<string> {
  return (await isDirectory(model)) ? model : dirname(model);
}
