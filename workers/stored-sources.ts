import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { BlobSource } from '../src/weights/blob-source.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';

/** A file in the browser's storage, and what its server calls this version of it. */
export interface StoredFile {
  source: BlobSource;
  version: string;
}

/**
 * Stored files as sources that outlive them: where one is deleted meanwhile, by another tab or with the site's data, `reopen`
 * brings all of them again. Errors: `network` where that fails; `bad_file` where the server has another version by now.
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
      "its copy in the browser's storage is gone, and the server has another version now, which createEngine loads";
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

/** A file that was deleted, or written anew, is one that cannot be read. */
const isGone = (error: unknown): boolean => error instanceof ChunkwiseError && error.cause instanceof DOMException;
