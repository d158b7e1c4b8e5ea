import { createStore, del, entries, get, set } from 'idb-keyval';
import { hexDigest } from '../src/weights/digest.ts';
import { MemoryPieces } from '../src/weights/memory-pieces.ts';
import type { PieceStore } from '../src/weights/piece-store.ts';
import { CachePieces } from './cache-pieces.ts';
import { OpfsPieces } from './opfs-pieces.ts';

/** A downloaded model or adapter, or what has come of it. */
export interface StoredModel {
  kind: 'model' | 'adapter';
  /** As it was asked for: a hub id or a URL. */
  name: string;
  bytes: number;
}

/** Of which files a model was made up when it was last loaded, so that it can be loaded without its server. */
export interface Manifest {
  version: 2;
  kind: StoredModel['kind'];
  /** What files are kept under. */
  files: string[];
}

const manifests = createStore('chunkwise-models', 'manifests');

export const readManifest = (name: string): Promise<Manifest | undefined> => get<Manifest>(name, manifests);
export const writeManifest = (name: string, manifest: Manifest): Promise<void> => set(name, manifest, manifests);

/** The place for a file that is known by `key`: OPFS, the Cache API, or memory, whichever the browser has. */
export async function openPieces(key: string): Promise<PieceStore> {
  const name = await nameOf(key);
  const folder = await modelFolder();
  if (folder) return OpfsPieces.open(folder, name);
  return CachePieces.open(name).catch(() => new MemoryPieces());
}

/** Models and adapters with the bytes that are stored of them; a file that several share counts at the first. */
export async function listModels(): Promise<StoredModel[]> {
  const left = await storedFiles();
  const listed: StoredModel[] = [];
  for (const [name, { kind, files }] of await entries<string, Manifest>(manifests)) {
    const names = await Promise.all(files.map(nameOf));
    listed.push({ kind, name, bytes: names.reduce((sum, file) => sum + (left.get(file)?.bytes ?? 0), 0) });
    for (const file of names) left.delete(file);
  }
  // What an interrupted download left, and what an older version stored.
  for (const { url, bytes } of left.values()) if (url !== undefined) listed.push({ kind: 'model', name: url, bytes });
  return listed;
}

/** Whether there was such a model. Files that another one shares stay. */
export async function deleteModel(name: string): Promise<boolean> {
  const all = await entries<string, Manifest>(manifests);
  const own = all.find(([other]) => other === name)?.[1];
  const stored = await storedFiles();
  const files = new Set(await Promise.all((own?.files ?? [name]).map(nameOf)));
  const isKnown = own !== undefined || [...files].some((file) => stored.has(file));
  for (const [other, manifest] of all) {
    if (other !== name) for (const file of manifest.files) files.delete(await nameOf(file));
  }
  const folder = await modelFolder();
  for (const file of files) {
    if (!stored.has(file)) continue;
    if (folder) await OpfsPieces.remove(folder, file);
    else await (await CachePieces.open(file)).remove();
  }
  await del(name, manifests);
  return isKnown;
}

/** By the name of the file, which is the digest of its key. */
async function storedFiles(): Promise<Map<string, { url: string | undefined; bytes: number }>> {
  const folder = await modelFolder();
  if (folder) return OpfsPieces.list(folder);
  const found = new Map<string, { url: string | undefined; bytes: number }>();
  for (const name of await CachePieces.names().catch(() => [])) {
    const { note, pieces } = await CachePieces.open(name);
    found.set(name, { url: note?.url, bytes: Math.min(note?.size ?? 0, pieces.size * (note?.pieceBytes ?? 0)) });
  }
  return found;
}

/** The folder of downloaded models in the origin's private file system; undefined where the browser has none. */
async function modelFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle('chunkwise-models', { create: true });
  } catch {
    return undefined; // private windows of some browsers refuse
  }
}

const nameOf = (key: string): Promise<string> => hexDigest([key]);
