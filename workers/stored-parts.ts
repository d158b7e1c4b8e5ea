import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { FileDownload } from '../src/downloads/file-download.ts';
import { keep } from '../src/downloads/piece-store.ts';
import type { PieceStore } from '../src/downloads/piece-store.ts';
import { describeRemote } from '../src/downloads/remote-file.ts';
import type { RemoteFile } from '../src/downloads/remote-file.ts';
import { nameOf, openPieces } from '../src/storage/model-files.ts';
import type { Manifest } from '../src/storage/model-files.ts';
import type { WantedFile } from './model-sources.ts';

/** One file of a model in the browser's storage. */
export interface Part {
  key: string;
  file: FileDownload;
  store: PieceStore;
  /** The file's other place, whose content is outdated once all parts are complete. */
  old: PieceStore;
}

/**
 * Opens the parts as the server has them now. If the server cannot be reached for one, opens all as they were last complete
 * together. Throws `network`, `over_limit`, `busy`.
 */
export async function openParts(
  wanted: readonly WantedFile[],
  { versions = {} }: Partial<Manifest> = {},
): Promise<Part[]> {
  const parts: Part[] = [];
  try {
    for (const each of wanted) parts.push(await openPart(each, versions[each.key]));
    return parts;
  } catch (error) {
    closeParts(parts);
    const kept = isOffline(error) && (await keptParts(wanted, versions));
    if (!kept) throw error;
    return kept;
  }
}

export function closeParts(parts: readonly Part[]): void {
  for (const { store, old } of parts) for (const each of [store, old]) each.close();
}

/** An unreachable server and one that refuses look the same. */
export const isOffline = (error: unknown): error is ChunkwiseError =>
  error instanceof ChunkwiseError && error.code === 'network';

/** `version`: of the complete copy. */
async function openPart(
  { url, key, headers, known, unlisted }: WantedFile,
  version: string | undefined,
): Promise<Part> {
  if (unlisted) throw unlisted;
  const places = await placesOf(key);
  const whole = wholeOf(places, version);
  const open = async (remote: RemoteFile): Promise<Part> => {
    const held = places.find((store) => FileDownload.isOf(remote, store));
    const store = held ?? places.find((place) => place !== whole) ?? places[0];
    try {
      return { key, store, old: otherOf(places, store), file: await FileDownload.open(remote, store, { headers }) };
    } catch (error) {
      store.close();
      throw error;
    }
  };
  if (known) {
    const remote = { url, version: '', hasRanges: true, ...known };
    if (places.some((store) => isWhole(store) && FileDownload.isOf(remote, store))) return open(remote);
  }
  const described = await describeRemote(url, { headers, ...(whole && { attempts: 1 }) });
  return open(known && described.size === known.size ? { ...described, ...known } : described);
}

/** Returns undefined unless all parts are complete. */
async function keptParts(wanted: readonly WantedFile[], versions: Record<string, string>): Promise<Part[] | undefined> {
  const parts: Part[] = [];
  for (const { key } of wanted) {
    const places = await placesOf(key);
    const version = versions[key];
    const store = wholeOf(places, version);
    const file = store && FileDownload.offline(store);
    // Files of different versions do not make a model.
    if (!file || (wanted.length > 1 && version !== undefined && store.note?.version !== version)) return undefined;
    parts.push({ key, file, store, old: otherOf(places, store) });
  }
  return parts;
}

type Places = [PieceStore, PieceStore];

const placesOf = (key: string): Promise<Places> => keep(key, async () => openPieces(await nameOf(key)));

const otherOf = ([first, second]: Places, store: PieceStore): PieceStore => (store === first ? second : first);

const isWhole = (store: PieceStore): boolean => FileDownload.offline(store) !== undefined;

/** Returns the place that holds the complete file, if possible of this version. */
function wholeOf(places: Places, version: string | undefined): PieceStore | undefined {
  const whole = places.filter(isWhole);
  return whole.find((store) => store.note?.version === version) ?? whole[0];
}
