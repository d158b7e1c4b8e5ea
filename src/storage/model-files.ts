import { hexDigest } from '../weights/digest.ts';
import { MemoryPieces } from '../downloads/memory-pieces.ts';
import { keep } from '../downloads/piece-store.ts';
import type { PieceStore } from '../downloads/piece-store.ts';
import { CachePieces } from './cache-pieces.ts';
import { busy, isTaken, withFiles } from './file-locks.ts';
import { OpfsPieces } from './opfs-pieces.ts';
import { storageHost } from './storage-host.ts';

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
  /** What each of them was a copy of when all were whole, by what it is kept under. Older ones have none. */
  versions?: Record<string, string>;
  /** They were never whole yet. */
  isPartial?: true;
}

/** Undefined where the browser has no database, too. */
export async function readManifest(name: string): Promise<Manifest | undefined> {
  try {
    return await storageHost.manifests.get<Manifest>(name);
  } catch {
    return undefined;
  }
}

/** Whether its files were whole once, and may be without their server. */
export const isWhole = (manifest: Manifest | undefined): manifest is Manifest =>
  manifest !== undefined && !manifest.isPartial;

async function allManifests(): Promise<[name: string, manifest: Manifest][]> {
  try {
    return await storageHost.manifests.entries<Manifest>();
  } catch {
    return [];
  }
}

/** Whether it could be: without it a model needs its server. */
export async function writeManifest(name: string, manifest: Manifest): Promise<boolean> {
  try {
    await storageHost.manifests.set(name, manifest);
    return true;
  } catch {
    return false; // the browser has no database, or no room
  }
}

/**
 * The two places for a file: a new version comes into the one while the other keeps the old one whole. They are in OPFS,
 * the Cache API, or memory, whichever the browser has.
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

/** What a file is stored and locked as, by what it is known by: the hub's file or the URL. */
export const nameOf = (key: string): Promise<string> => hexDigest([key]);

/** Models and adapters with the bytes that are stored of them; a file that several share counts at the first. */
export async function listModels(): Promise<StoredModel[]> {
  const left = await storedFiles();
  const listed: StoredModel[] = [];
  for (const [name, { kind, files }] of await allManifests()) {
    const names = await Promise.all(files.map(nameOf));
    listed.push({ kind, name, bytes: names.reduce((sum, file) => sum + (left.get(file)?.bytes ?? 0), 0) });
    for (const file of names) left.delete(file);
  }
  // What an interrupted download left, and what an older version stored.
  for (const { url, bytes } of left.values()) if (url !== undefined) listed.push({ kind: 'model', name: url, bytes });
  return listed;
}

/**
 * Whether there was such a model. Files that another one shares stay. Throws `busy` while another tab loads it, and
 * `over_limit` where the storage has no room for it to be struck off the list, with its files gone.
 */
export async function deleteModel(name: string): Promise<boolean> {
  const all = await allManifests();
  const own = all.find(([other]) => other === name)?.[1];
  const stored = await storedFiles();
  const files = new Set(await Promise.all((own?.files ?? [name]).map(nameOf)));
  // What an interrupted download left is listed by its URL.
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

/** By the name of the file, with the bytes of both its places. */
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

/** The folder of downloaded models in the origin's private file system; undefined where the browser has none. */
async function modelFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await storageHost.directory();
    return await root.getDirectoryHandle('chunkwise-models', { create: true });
  } catch {
    return undefined; // private windows of some browsers refuse
  }
}
