import { megabytes } from '../src/config/megabytes.ts';
import type { LoadProgress } from '../src/engine/types.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import type { FileDownload } from '../src/downloads/file-download.ts';
import { OutdatedDownload } from '../src/downloads/outdated-download.ts';
import { keep } from '../src/downloads/piece-store.ts';
import { askFirst } from './ask-first.ts';
import type { OnMissing } from './ask-first.ts';
import { withFiles } from '../src/storage/file-locks.ts';
import { deleteModel, isWhole, nameOf, readManifest, writeManifest } from '../src/storage/model-files.ts';
import type { Manifest, StoredModel } from '../src/storage/model-files.ts';
import { storageHost } from '../src/storage/storage-host.ts';
import { findModelFiles, unlisted } from './model-sources.ts';
import { closeParts, isOffline, openParts } from './stored-parts.ts';
import type { Part } from './stored-parts.ts';
import type { WantedFile } from './model-sources.ts';
import type { ConfirmLoad, LoadOptions } from './protocol.ts';
import { lastingSources } from './stored-sources.ts';
import type { StoredFile } from './stored-sources.ts';

const PROGRESS_INTERVAL_MS = 50;
/** What a tab asks that begins to wait. */
const HOW_FAR = 'how far';

export interface StoreOptions {
  kind: StoredModel['kind'];
  /** Judges a model by its header, before its weights are downloaded; throws to refuse it. */
  check?: (sources: readonly ByteSource[]) => Promise<{ license: string | undefined }>;
  /** Asked before more than headers is downloaded, or once all is found stored. */
  confirm: ConfirmLoad | undefined;
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
 * network. Throws `network`, `over_limit`, `bad_file`, `aborted` where `confirm` says no, and what `check` throws.
 */
export async function openModel(
  model: string | readonly (Blob | FileSystemFileHandle)[],
  { hub, budgetBytes, ...options }: OpenModelOptions,
): Promise<ByteSource[]> {
  if (typeof model !== 'string') {
    const blobs = await Promise.all(model.map(async (file) => (file instanceof Blob ? file : file.getFile())));
    const sources = blobs.map((blob, i) => new BlobSource(blob instanceof File ? blob.name : `file ${i + 1}`, blob));
    await askFirst({ kind: 'model', name: sources[0]?.name ?? '' }, options.confirm, async () =>
      sources.map((source) => ({ source })),
    );
    return sources;
  }
  const manifest = await readManifest(model);
  const wanted = await findModelFiles(model, hub, budgetBytes, isWhole(manifest) ? { attempts: 1 } : {}).catch(
    (error: unknown) => {
      if (!isWhole(manifest) || !isOffline(error)) throw error;
      return unlisted(manifest.files, error);
    },
  );
  return openStored(model, wanted, { kind: 'model', ...options });
}

/** Files that were downloaded, or are now, checked and ready to be read; they come again where they are deleted meanwhile. */
export async function openStored(
  name: string,
  wanted: readonly WantedFile[],
  options: StoreOptions,
): Promise<ByteSource[]> {
  const { kind, confirm, onProgress } = options;
  const opened = await askFirst({ kind, name }, confirm, (onMissing) => storeFiles(name, wanted, options, onMissing));
  return lastingSources(opened, () =>
    storeFiles(name, wanted, { kind, confirm: undefined, onProgress }, () => undefined),
  );
}

/**
 * Asked before a model or an adapter is opened: what to do with the error of that. Where a file is refused, and it was not
 * there whole before, what has come of it is deleted. Throws the error.
 */
export async function whenRefused(name: LoadOptions['model'] | undefined): Promise<(error: unknown) => Promise<never>> {
  const isKept = typeof name !== 'string' || isWhole(await readManifest(name));
  return async (error) => {
    if (!isKept && isRefusal(error)) await deleteModel(name).catch(() => undefined); // another tab has it
    throw error;
  };
}

/** Whether it is by what a file holds, or needs of this device. A full storage may have room again. */
const isRefusal = (error: unknown): boolean =>
  error instanceof ChunkwiseError &&
  error.detail.file !== undefined &&
  (['bad_file', 'unsupported'].includes(error.code) ||
    (error.code === 'over_limit' && ![undefined, 'storage'].includes(error.detail.field)));

/** One tab downloads; the others wait, tell how far it is, and find the files, or go on where it ended. */
async function storeFiles(
  name: string,
  wanted: readonly WantedFile[],
  options: StoreOptions,
  onMissing: OnMissing,
): Promise<StoredFile[]> {
  const files = await Promise.all(wanted.map(({ key }) => nameOf(key)));
  const tabs = new BroadcastChannel(`chunkwise ${files[0]}`);
  tabs.onmessage = ({ data }) => {
    if (data !== HOW_FAR) options.onProgress(data as LoadProgress);
  };
  tabs.postMessage(HOW_FAR);
  try {
    return await withFiles(files, { file: name }, async () => {
      let latest: LoadProgress | undefined;
      tabs.onmessage = ({ data }) => {
        if (data === HOW_FAR && latest) tabs.postMessage(latest);
      };
      const onProgress = (progress: LoadProgress): void => {
        latest = progress;
        options.onProgress(progress);
        tabs.postMessage(progress);
      };
      const bring = (): Promise<StoredFile[]> =>
        keep(name, () => bringFiles(name, wanted, { ...options, onProgress }, onMissing));
      return bring().catch((error: unknown) => {
        if (!(error instanceof OutdatedDownload)) throw error;
        return bring();
      });
    });
  } finally {
    tabs.close();
  }
}

async function bringFiles(
  name: string,
  wanted: readonly WantedFile[],
  options: StoreOptions,
  onMissing: OnMissing,
): Promise<StoredFile[]> {
  const before = await readManifest(name);
  const manifest: Manifest = { version: 2, kind: options.kind, files: wanted.map(({ key }) => key) };
  const parts = await openParts(wanted, before);
  try {
    if (parts.some(({ file }) => file.missing > 0)) {
      if (!before) await writeManifest(name, { ...manifest, isPartial: true });
      const [bytes, missingBytes] = [sum(parts, 'size'), sum(parts, 'missing')]; // before the header comes
      const header = await refuseEarly(parts, options);
      onMissing({ bytes, missingBytes, license: header?.license ?? wanted[0]?.license });
      await follow(parts, 'download', options.onProgress, (file, onBytes) => file.complete(onBytes));
    }
    await follow(parts, 'verify', options.onProgress, (file, onBytes) => file.verify(onBytes));
    const versions = Object.fromEntries(parts.map(({ key, store }) => [key, store.note?.version ?? '']));
    const isKept = await writeManifest(name, { ...manifest, versions });
    // What the manifest speaks of stays; anything else only takes room.
    if (isKept || !before) for (const { old } of parts) await old.remove().catch(() => undefined);
    return await Promise.all(
      parts.map(async ({ key, file, store }) => ({
        source: new BlobSource(key, await file.blob()),
        version: store.note?.version ?? '',
      })),
    );
  } finally {
    closeParts(parts);
  }
}

const sum = (parts: readonly Part[], of: 'size' | 'missing'): number =>
  parts.reduce((total, { file }) => total + file[of], 0);

/** What the header says, where it can be read before the rest. */
async function refuseEarly(
  parts: readonly Part[],
  { check, onProgress }: StoreOptions,
): Promise<{ license: string | undefined } | undefined> {
  onProgress({ phase: 'header', bytes: 0, total: 0 });
  const isReadable = parts.every(({ file }) => file.missing === 0 || file.hasRanges);
  const header = check && isReadable ? await check(parts.map(({ file }) => file)) : undefined;
  const wanted = sum(parts, 'missing');
  let { quota = Infinity, usage = 0 } = await storageHost.estimate();
  if (wanted > quota - usage) {
    // There is no room for the old version beside the new one.
    for (const { old } of parts) await old.remove();
    ({ quota = Infinity, usage = 0 } = await storageHost.estimate());
  }
  if (wanted <= quota - usage) return header;
  throw new ChunkwiseError('over_limit', {
    ...(parts[0] !== undefined && { file: parts[0].key }),
    field: 'storage',
    reason: `needs ${megabytes(wanted)}, but the browser grants ${megabytes(quota - usage, Math.floor)}`,
  });
}

/** Does `work` to one file after another, and tells how far all of them are. */
async function follow(
  parts: readonly Part[],
  phase: 'download' | 'verify',
  onProgress: StoreOptions['onProgress'],
  work: (file: FileDownload, onBytes: (bytes: number) => void) => Promise<void>,
): Promise<void> {
  const total = sum(parts, 'size');
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
