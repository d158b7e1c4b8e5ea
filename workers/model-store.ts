import { megabytes } from '../src/util/values.ts';
import type { LoadProgress } from '../src/session/session-options.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { HubOptions } from '../src/hub/hub-api.ts';
import { BlobSource, type ByteSource } from '../src/weights/byte-source.ts';
import type { FileDownload } from '../src/downloads/file-download.ts';
import { OutdatedDownload } from '../src/downloads/remote-file.ts';
import { keep } from '../src/downloads/piece-store.ts';
import { storageHost, withFiles } from '../src/storage/storage-host.ts';
import {
  deleteModel,
  isWhole,
  type Manifest,
  nameOf,
  readManifest,
  type StoredModel,
  writeManifest,
} from '../src/storage/model-files.ts';
import { findModelFiles, unlisted, type WantedFile } from './model-sources.ts';
import { closeParts, isOffline, openParts, type Part } from './stored-parts.ts';
import type { ConfirmLoad, LoadOptions, FoundFiles } from './protocol.ts';

const PROGRESS_INTERVAL_MS = 50;
/** Question of a tab that begins to wait. */
const HOW_FAR = 'how far';

export interface StoreOptions {
  kind: StoredModel['kind'];
  /** Checks a model by its header before its weights are downloaded; throws to refuse it. */
  check?: (sources: readonly ByteSource[]) => Promise<{ license: string | undefined }>;
  /** Called before more than headers is downloaded, or once everything is found stored. */
  confirm: ConfirmLoad | undefined;
  onProgress: (progress: LoadProgress) => void;
}

export interface OpenModelOptions extends Required<Omit<StoreOptions, 'kind'>> {
  hub: HubOptions;
  /** Maximum bytes of a file chosen among several. */
  budgetBytes: number;
}

/**
 * Opens a model's files. Files of a hub id or URL, including all parts of a split model, are downloaded into the browser's
 * storage, or into memory if there is none. A stored model needs no network. Throws `network`, `over_limit`, `bad_file`,
 * `aborted` if `confirm` returns false, and what `check` throws.
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

/** Opens stored files, downloading and checking what is missing. Files deleted while in use are downloaded again. */
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
 * Called before a model or an adapter is opened. Returns an error handler for that: it deletes a refused file that was not
 * complete in storage before, and throws the error.
 */
export async function whenRefused(name: LoadOptions['model'] | undefined): Promise<(error: unknown) => Promise<never>> {
  const isKept = typeof name !== 'string' || isWhole(await readManifest(name));
  return async (error) => {
    if (!isKept && isRefusal(error)) await deleteModel(name).catch(() => undefined); // another tab uses it
    throw error;
  };
}

/** Whether the file's content, or what it needs of the device, is at fault. A full storage may get room again. */
const isRefusal = (error: unknown): boolean =>
  error instanceof ChunkwiseError &&
  error.detail.file !== undefined &&
  (['bad_file', 'unsupported'].includes(error.code) ||
    (error.code === 'over_limit' && ![undefined, 'storage'].includes(error.detail.field)));

/** One tab downloads. The others wait, report its progress, and then use its files or continue its download. */
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
    // Copies that the manifest does not name only take room.
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

/** Checks the header if it can be read before the rest, and refuses a download that does not fit. */
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
    // Old and new version do not fit together.
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

/** Runs `work` on one file after another and reports the progress of all. */
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

type Asked = Pick<FoundFiles, 'kind' | 'name'>;
/** An opened file. */
interface Found {
  source: ByteSource;
}
/** Called when the missing parts passed the checks and are about to be downloaded. */
export type OnMissing = (missing: Omit<FoundFiles, keyof Asked>) => void;

/** Ends an attempt to open files, and its locks, while the user is asked. */
class Unanswered extends Error {
  constructor(readonly missing: Parameters<OnMissing>[0]) {
    super('the user must agree first');
  }
}

/**
 * Opens files through `bring` once `confirm` agrees to the download, or to the stored files. Holds no locks while it asks, so
 * that other tabs can use the files. Throws what `bring` throws, and `aborted` if `confirm` returns false.
 */
export async function askFirst<T extends Found>(
  asked: Asked,
  confirm: ConfirmLoad | undefined,
  bring: (onMissing: OnMissing) => Promise<T[]>,
): Promise<T[]> {
  if (!confirm) return bring(() => undefined);
  /** Bytes that the user agreed to; undefined before the question. */
  let agreed: number | undefined;
  for (;;) {
    try {
      const files = await bring((missing) => {
        // The file may have grown since.
        if (agreed === undefined || missing.missingBytes > agreed) throw new Unanswered(missing);
      });
      if (agreed === undefined) await agree(confirm, { ...asked, bytes: sizeOf(files), missingBytes: 0 });
      return files;
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      await agree(confirm, { ...asked, ...error.missing });
      agreed = error.missing.missingBytes;
    }
  }
}

async function agree(confirm: ConfirmLoad, found: FoundFiles): Promise<void> {
  if (await confirm(found)) return;
  throw new ChunkwiseError('aborted', { file: found.name, reason: 'the loading was declined' });
}

const sizeOf = (files: readonly Found[]): number => files.reduce((sum, { source }) => sum + source.size, 0);

/** A file in the browser's storage, and the server's name of its version. */
export interface StoredFile {
  source: BlobSource;
  version: string;
}

/**
 * Returns sources that survive the deletion of their stored files, by another tab or with the site's data: `reopen` then
 * downloads all files again. Errors: `network` if that fails; `bad_file` if the server now has another version.
 */
export function lastingSources(opened: readonly StoredFile[], reopen: () => Promise<StoredFile[]>): ByteSource[] {
  let files = opened;
  let reopening: Promise<StoredFile[]> | undefined;
  const again = async (): Promise<StoredFile[]> => {
    const brought = await reopen().catch((error: unknown) => {
      if (!(error instanceof ChunkwiseError)) throw error;
      const reason = `its copy in the browser's storage is gone: ${error.detail.reason}`;
      throw new ChunkwiseError(error.code, { ...error.detail, reason }, { cause: error });
    });
    const changed = brought.find(
      ({ version, source }, i) => version !== opened[i]?.version || source.size !== opened[i].source.size,
    );
    if (!changed) return brought;
    const reason =
      "its copy in the browser's storage is gone, and the server now has another version; createEngine loads that one";
    throw new ChunkwiseError('bad_file', { file: changed.source.name, reason });
  };
  return opened.map(({ source: { name, size } }, i) => ({
    name,
    size,
    async read(offset, length) {
      const now = files;
      try {
        return await (now[i] as StoredFile).source.read(offset, length);
      } catch (error) {
        if (!isGone(error)) throw error;
        if (files === now) files = await (reopening ??= again().finally(() => (reopening = undefined)));
        return (files[i] as StoredFile).source.read(offset, length);
      }
    },
  }));
}

/** A deleted or rewritten file cannot be read. */
const isGone = (error: unknown): boolean => error instanceof ChunkwiseError && error.cause instanceof DOMException;

/** Milliseconds over which the rate is averaged. */
const WINDOW_MS = 3000;

/** Adds to each event the rate of its phase and the time left, once they are known. */
export function withRate(
  onProgress: (progress: LoadProgress) => void,
  now: () => number = () => performance.now(),
): (progress: LoadProgress) => void {
  let phase: LoadProgress['phase'] | undefined;
  let seen: { at: number; bytes: number }[] = [];
  return (progress) => {
    if (progress.phase !== phase) seen = [];
    phase = progress.phase;
    const at = now();
    seen.push({ at, bytes: progress.bytes });
    // Keeps one event before the window, where it begins.
    while (seen[1] && at - seen[1].at > WINDOW_MS) seen.shift();
    const [first] = seen;
    const rate = first && at > first.at ? ((progress.bytes - first.bytes) / (at - first.at)) * 1000 : 0;
    const timeLeft = (progress.total - progress.bytes) / rate;
    onProgress(rate > 0 ? { ...progress, rate, timeLeft } : progress);
  };
}
