import type { LoadProgress } from '../src/engine/types.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { FileDownload } from '../src/weights/file-download.ts';
import type { PieceStore } from '../src/weights/piece-store.ts';
import { describeRemote } from '../src/weights/remote-file.ts';
import { openPieces, readManifest, writeManifest } from './model-files.ts';
import type { StoredModel } from './model-files.ts';
import { findModelFiles } from './model-sources.ts';
import type { WantedFile } from './model-sources.ts';
import { lastingSources } from './stored-sources.ts';
import type { StoredFile } from './stored-sources.ts';

const PROGRESS_INTERVAL_MS = 50;

export interface StoreOptions {
  kind: StoredModel['kind'];
  /** Judges a model by its header, before its weights are downloaded; throws to refuse it. */
  check?: (sources: readonly ByteSource[]) => Promise<unknown>;
  onProgress: (progress: LoadProgress) => void;
}

export interface OpenModelOptions extends Required<Omit<StoreOptions, 'kind'>> {
  hub: HubOptions;
  /** Most bytes of a file that is chosen among several. */
  budgetBytes: number;
}

/**
 * A model's files, ready to be read: given files as they are; those of a hub id or a URL, all parts of a split model,
 * after they were downloaded into the browser's storage, or into memory where it has none. A stored model needs no
 * network. Throws `network`, `over_limit`, `bad_file`, and what `check` throws.
 */
export async function openModel(
  model: string | readonly (Blob | FileSystemFileHandle)[],
  { hub, budgetBytes, ...options }: OpenModelOptions,
): Promise<ByteSource[]> {
  if (typeof model !== 'string') {
    const blobs = await Promise.all(model.map(async (file) => (file instanceof Blob ? file : file.getFile())));
    return blobs.map((blob, i) => new BlobSource(blob instanceof File ? blob.name : `file ${i + 1}`, blob));
  }
  const manifest = await readManifest(model).catch(() => undefined);
  const find = findModelFiles(model, hub, budgetBytes, manifest ? { attempts: 1 } : {});
  const wanted = await find.catch((error: unknown) => {
    if (!manifest || !isOffline(error)) throw error;
    return manifest.files.map((key): WantedFile => ({ url: key, key, headers: {} }));
  });
  return openStored(model, wanted, { kind: 'model', ...options });
}

/** Files that were downloaded, or are now, checked and ready to be read; they come again where they are deleted meanwhile. */
export async function openStored(name: string, wanted: readonly WantedFile[], options: StoreOptions): Promise<ByteSource[]> {
  const { kind, onProgress } = options;
  return lastingSources(await storeFiles(name, wanted, options), () => storeFiles(name, wanted, { kind, onProgress }));
}

async function storeFiles(name: string, wanted: readonly WantedFile[], options: StoreOptions): Promise<StoredFile[]> {
  // One tab downloads, the others wait and find the files.
  return navigator.locks.request(`chunkwise ${wanted[0]?.key}`, async () => {
    const parts: Part[] = [];
    try {
      for (const file of wanted) parts.push(await openPart(file));
      if (parts.some(({ file }) => file.missing > 0)) {
        await refuseEarly(parts, options);
        await follow(parts, 'download', options.onProgress, (file, onBytes) => file.complete(onBytes));
      }
      await follow(parts, 'verify', options.onProgress, (file, onBytes) => file.verify(onBytes));
      const manifest = { version: 2 as const, kind: options.kind, files: wanted.map(({ key }) => key) };
      await writeManifest(name, manifest).catch(() => undefined); // without it a model needs its server
      const opened = parts.map(async ({ url, file, store }) => ({ source: new BlobSource(url, await file.blob()), version: store.note?.version ?? '' }));
      return await Promise.all(opened);
    } catch (cause) {
      if (!isDeleted(cause)) throw cause;
      const reason = "what the browser stored of it was deleted meanwhile: the site's data were cleared, or another tab deleted it";
      throw new ChunkwiseError('storage_lost', { file: name, reason }, { cause });
    } finally {
      for (const { store } of parts) store.close();
    }
  });
}

/** A file or its folder is not there any more, or what was open of them was closed. */
const isDeleted = (error: unknown): boolean =>
  error instanceof DOMException && ['NotFoundError', 'NotReadableError', 'InvalidStateError'].includes(error.name);

interface Part {
  url: string;
  store: PieceStore;
  file: FileDownload;
}

async function openPart({ url, key, headers, known }: WantedFile): Promise<Part> {
  const store = await openPieces(key);
  const offline = FileDownload.offline(store);
  if (offline && known && store.note?.version === known.content) {
    const file = await FileDownload.open({ url, version: '', hasRanges: true, ...known }, store, { headers });
    return { url: key, store, file };
  }
  try {
    const described = await describeRemote(url, { headers, ...(offline && { attempts: 1 }) });
    const remote = known && described.size === known.size ? { ...described, ...known } : described;
    return { url: key, store, file: await FileDownload.open(remote, store, { headers }) };
  } catch (error) {
    if (offline && isOffline(error)) return { url: key, store, file: offline };
    store.close();
    throw error;
  }
}

/** There is no judging by the error: a server that is not there may be one that refuses. */
const isOffline = (error: unknown): boolean => error instanceof ChunkwiseError && error.code === 'network';

async function refuseEarly(parts: readonly Part[], { check, onProgress }: StoreOptions): Promise<void> {
  onProgress({ phase: 'header', bytes: 0, total: 0 });
  const isReadable = parts.every(({ file }) => file.missing === 0 || file.hasRanges);
  if (check && isReadable) await check(parts.map(({ file }) => file));
  const wanted = parts.reduce((sum, { file }) => sum + file.missing, 0);
  const { quota, usage = 0 } = await navigator.storage.estimate();
  if (quota === undefined || wanted <= quota - usage) return;
  throw new ChunkwiseError('over_limit', {
    ...(parts[0] !== undefined && { file: parts[0].url }),
    field: 'storage',
    reason: `${wanted} bytes are to be stored, the browser grants ${quota - usage} (${usage} of ${quota} are used)`,
  });
}

/** Does `work` to one file after another, and tells how far all of them are. */
async function follow(
  parts: readonly Part[],
  phase: 'download' | 'verify',
  onProgress: StoreOptions['onProgress'],
  work: (file: FileDownload, onBytes: (bytes: number) => void) => Promise<void>,
): Promise<void> {
  const total = parts.reduce((sum, { file }) => sum + file.size, 0);
  let before = 0;
  let toldAt = -Infinity;
  const tell = (bytes: number): void => {
    const now = performance.now();
    if (now - toldAt < PROGRESS_INTERVAL_MS && bytes < total) return;
    toldAt = now;
    onProgress({ phase, bytes, total });
  };
  for (const { file } of parts) {
    await work(file, (bytes) => tell(before + bytes));
    before += file.size;
    tell(before);
  }
}
