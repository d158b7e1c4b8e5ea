import type { LoadProgress } from '../src/engine/types.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { shardNames } from '../src/weights/gguf-split.ts';
import { HttpSource } from '../src/weights/http-source.ts';
import type { RemoteFile } from './remote-file.ts';
import { describeRemote, readRemote } from './remote-file.ts';
import { modelFolder, StoredFile } from './stored-file.ts';

const PROGRESS_INTERVAL_MS = 50;

export interface OpenModelOptions {
  /** Judges a model by its header, before its weights are downloaded; throws to refuse it. */
  check: (sources: readonly ByteSource[]) => Promise<unknown>;
  onProgress: (progress: LoadProgress) => void;
}

/**
 * A model's files, ready to be read: given files as they are; those of a URL, all parts of a split model, after they
 * were downloaded into the origin's private file system, or into memory where the browser has none or the server
 * gives no ranges. A stored model needs no network. Throws `network`, `over_limit`, and what `check` throws.
 */
export async function openModel(model: string | readonly Blob[], options: OpenModelOptions): Promise<ByteSource[]> {
  if (typeof model !== 'string') return model.map((blob, i) => new BlobSource(nameOf(blob, i), blob));
  const urls = shardNames(model);
  // One tab downloads, the others wait and find the files.
  return navigator.locks.request(`chunkwise ${urls[0]}`, async () => {
    const folder = await modelFolder();
    const parts: Part[] = [];
    for (const url of urls) parts.push(await findPart(url, folder));
    if (parts.some((part) => part.missing > 0)) {
      await refuseEarly(parts, options);
      await download(parts, options.onProgress);
    }
    return Promise.all(parts.map(async ({ url, blob }) => new BlobSource(url, await blob())));
  });
}

const nameOf = (blob: Blob, index: number): string => (blob instanceof File ? blob.name : `file ${index + 1}`);

/** One file of the model on its way here. */
interface Part {
  url: string;
  size: number;
  /** Bytes still to be downloaded. */
  missing: number;
  /** Where it is kept; memory otherwise. */
  stored: StoredFile | undefined;
  /** Undefined for a stored file whose server cannot be reached. */
  remote: RemoteFile | undefined;
  blob: () => Promise<Blob>;
}

async function findPart(url: string, folder: FileSystemDirectoryHandle | undefined): Promise<Part> {
  const stored = folder && (await StoredFile.open(folder, url));
  const remote = await describeRemote(url).catch((error: unknown) => {
    if (stored?.isComplete && error instanceof ChunkwiseError) return undefined;
    throw error;
  });
  if (stored !== undefined && (remote === undefined || remote.hasRanges)) {
    const blob = (): Promise<Blob> => stored.blob();
    const size = remote?.size ?? (await blob()).size;
    return { url, size, missing: remote === undefined ? 0 : size - stored.held(remote), stored, remote, blob };
  }
  const blob = (): Promise<Blob> => Promise.reject(new Error(`${url} was not downloaded`));
  // A server without ranges may not tell the size either; there is at least a byte to get.
  return { url, size: remote?.size ?? 0, missing: remote?.size || 1, stored: undefined, remote, blob };
}

async function refuseEarly(parts: readonly Part[], { check, onProgress }: OpenModelOptions): Promise<void> {
  onProgress({ phase: 'header', bytes: 0, total: 0 });
  if (parts.every(({ remote }) => remote === undefined || remote.hasRanges)) {
    const sources = parts.map(async ({ url, missing, blob }) =>
      missing > 0 ? HttpSource.open(url) : new BlobSource(url, await blob()),
    );
    await check(await Promise.all(sources));
  }
  const wanted = parts.reduce((sum, part) => sum + (part.stored === undefined ? 0 : part.missing), 0);
  const { quota, usage = 0 } = await navigator.storage.estimate();
  if (quota === undefined || wanted <= quota - usage) return;
  throw new ChunkwiseError('over_limit', {
    ...(parts[0] !== undefined && { file: parts[0].url }),
    field: 'storage',
    reason: `${wanted} bytes are to be stored, the browser grants ${quota - usage} (${usage} of ${quota} are used)`,
  });
}

async function download(parts: readonly Part[], onProgress: OpenModelOptions['onProgress']): Promise<void> {
  const total = parts.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  let toldAt = -Infinity;
  const tell = (bytes: number): void => {
    const now = performance.now();
    if (now - toldAt < PROGRESS_INTERVAL_MS && bytes < total) return;
    toldAt = now;
    onProgress({ phase: 'download', bytes, total });
  };
  for (const part of parts) {
    const { remote, stored } = part;
    if (remote !== undefined && part.missing > 0) {
      const onBytes = (held: number): void => tell(before + held);
      if (stored !== undefined) await stored.append(remote, (offset) => readRemote(remote, offset), onBytes);
      else part.blob = await readIntoMemory(remote, onBytes);
    }
    before += part.size;
    tell(before);
  }
}

async function readIntoMemory(remote: RemoteFile, onBytes: (held: number) => void): Promise<() => Promise<Blob>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let held = 0;
  for await (const bytes of readRemote(remote, 0)) {
    chunks.push(bytes);
    held += bytes.length;
    onBytes(held);
  }
  const blob = new Blob(chunks);
  return async () => blob;
}
