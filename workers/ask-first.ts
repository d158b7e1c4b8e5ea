import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import type { ConfirmLoad, FoundFiles } from './protocol.ts';

type Asked = Pick<FoundFiles, 'kind' | 'name'>;
/** A file that was brought. */
interface Found {
  source: ByteSource;
}
/** Called when what is missing has been judged and is about to be downloaded. */
export type OnMissing = (missing: Omit<FoundFiles, keyof Asked>) => void;

/** Ends the bringing of files, with the locks that it holds, while the user is asked. */
class Unanswered extends Error {
  constructor(readonly missing: Parameters<OnMissing>[0]) {
    super('the user is to be asked first');
  }
}

/**
 * Brings files, once `confirm` has agreed to their download, or to what is already there. While it is asked, other tabs
 * have the files. Throws what `bring` throws, and `aborted` where it is told no.
 */
export async function askFirst<T extends Found>(
  asked: Asked,
  confirm: ConfirmLoad | undefined,
  bring: (onMissing: OnMissing) => Promise<T[]>,
): Promise<T[]> {
  if (!confirm) return bring(() => undefined);
  /** Bytes; undefined before it was asked. */
  let agreed: number | undefined;
  for (;;) {
    try {
      const files = await bring((missing) => {
        // Meanwhile the file may have become a larger one.
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
