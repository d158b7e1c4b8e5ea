import { hexDigest } from '../util/digest.ts';
import { keep, MemoryPieces, type PieceStore } from '../downloads/piece-store.ts';
import { CachePieces } from './cache-pieces.ts';
import { busy, isTaken, storageHost, withFiles } from './storage-host.ts';
import { OpfsPieces } from './opfs-pieces.ts';

/** A downloaded model or adapter, possibly incomplete. */
export interface StoredModel {
  kind: 'model' | 'adapter';
  /** The hub id or URL that was requested. */
  name: string;
  bytes: number;
}

/** The files of a model at its last load, so that it can be loaded without its server. */
export interface Manifest {
  version: 2;
  kind: StoredModel['kind'];
  /** Keys of the stored files. */
  files: string[];
  /** Version of each file, by key, when all were complete. Manifests of older releases have none. */
  versions?: Record<string, string>;
  /** The files were never complete. */
  isPartial?: true;
}

/** Undefined if there is none, or if the browser has no database. */
export async function readManifest(name: string): Promise<Manifest | undefined> {
  try {
    return await storageHost.manifests.get<Manifest>(name);
  } catch {
    return undefined;
  }
}

/** Whether the files were complete once, so that the model may load without its server. */
export const isWhole = (manifest: Manifest | undefined): manifest is Manifest =>
  manifest !== undefined && !manifest.isPartial;

async function allManifests(): Promise<[name: string, manifest: Manifest][]> {
  try {
    return await storageHost.manifests.entries<Manifest>();
  } catch {
    return [];
  }
}

/** Returns whether it was written; without a manifest a model needs its server. */
export async function writeManifest(name: string, manifest: Manifest): Promise<boolean> {
  try {
    await storageHost.manifests.set(name, manifest);
    return true;
  } catch {
    return false; // the browser has no database or no room
  }
}

/**
 * The two places of a file: a new version is written to one while the other keeps the old version complete. They are in
 * OPFS, the Cache API or memory, the first that the browser has.
 */
export async function openPieces(file: string): Promise<[PieceStore, PieceStore]> {
  const folder = await modelFolder();
  const open = async (place: string): Promise<PieceStore> =>
    folder ? OpfsPieces.open(folder, place) : CachePieces.open(place).catch(() => new MemoryPieces());
  const [first, second] = placesOf(file);
  return [await open(first), await open(second)];
}

const SECOND = '-2';
const placesOf = (file: string): [string, string] => [file, file + SECOND];

/** Name under which a file is stored and locked; `key` is the hub's file or the URL. */
export const nameOf = (key: string): Promise<string> => hexDigest([key]);

/** Models and adapters with their stored bytes; a shared file counts for the first one. */
export async function listModels(): Promise<StoredModel[]> {
  const left = await storedFiles();
  const listed: StoredModel[] = [];
  for (const [name, { kind, files }] of await allManifests()) {
    const names = await Promise.all(files.map(nameOf));
    listed.push({ kind, name, bytes: names.reduce((sum, file) => sum + (left.get(file)?.bytes ?? 0), 0) });
    for (const file of names) left.delete(file);
  }
  // Files of interrupted downloads and of older releases.
  for (const { url, bytes } of left.values()) if (url !== undefined) listed.push({ kind: 'model', name: url, bytes });
  return listed;
}

/**
 * Deletes a model and returns whether it existed. Files shared with another model stay. Throws `busy` while another tab
 * loads it, and `over_limit` if the storage has no room to update its list; the files are deleted by then.
 */
export async function deleteModel(name: string): Promise<boolean> {
  const all = await allManifests();
  const own = all.find(([other]) => other === name)?.[1];
  const stored = await storedFiles();
  const files = new Set(await Promise.all((own?.files ?? [name]).map(nameOf)));
  // An interrupted download is listed by its URL.
  for (const [file, { url }] of stored) if (!own && url === name) files.add(file);
  const isKnown = own !== undefined || [...files].some((file) => stored.has(file));
  for (const [other, manifest] of all) {
    if (other !== name) for (const file of manifest.files) files.delete(await nameOf(file));
  }
  await withFiles([...files], { file: name, ifAvailable: true }, async () => {
    for (const file of files) {
      if (!stored.has(file)) continue;
      for (const place of await openPieces(file)) await place.remove();
    }
    if (own)
      await keep(
        name,
        () => storageHost.manifests.delete(name),
        () => 'while it was deleted',
      );
  }).catch((error: unknown) => {
    throw isTaken(error) ? busy(name, error) : error;
  });
  return isKnown;
}

/** Stored files by name, with the bytes of both places. */
async function storedFiles(): Promise<Map<string, { url: string | undefined; bytes: number }>> {
  const folder = await modelFolder();
  const places = folder ? await OpfsPieces.list(folder) : await cachedFiles();
  const found = new Map<string, { url: string | undefined; bytes: number }>();
  for (const [place, { url, bytes }] of places) {
    const file = place.endsWith(SECOND) ? place.slice(0, -SECOND.length) : place;
    const other = found.get(file);
    found.set(file, { url: other?.url ?? url, bytes: bytes + (other?.bytes ?? 0) });
  }
  return found;
}

async function cachedFiles(): Promise<Map<string, { url: string | undefined; bytes: number }>> {
  const found = new Map<string, { url: string | undefined; bytes: number }>();
  for (const name of await CachePieces.names().catch(() => [])) {
    const { note, pieces } = await CachePieces.open(name);
    found.set(name, { url: note?.url, bytes: Math.min(note?.size ?? 0, pieces.size * (note?.pieceBytes ?? 0)) });
  }
  return found;
}

/** The folder of downloaded models in the origin's private file system; undefined if the browser has none. */
async function modelFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await storageHost.directory();
    return await root.getDirectoryHandle('chunkwise-models', { create: true });
  } catch {
    return undefined; // some browsers refuse in private windows
  }
}
