import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { OutdatedDownload } from './outdated-download.ts';

/** What a stored file is a copy of. */
export interface FileNote {
  url: string;
  /** Bytes. */
  size: number;
  /** Changes with the content: the SHA-256 where it is known, or what the server calls its version. */
  version: string;
  /** Bytes of a piece; the last one is shorter. */
  pieceBytes: number;
}

/**
 * Where the pieces of one file are kept, whatever happens in between. Nobody else may write meanwhile. Throws a
 * DOMException: `QuotaExceededError` when there is no room, `NotFoundError` when what was kept is gone.
 */
export interface PieceStore {
  /** Undefined where nothing is kept, or nothing that can be read. */
  readonly note: FileNote | undefined;
  /** SHA-256 of the pieces held, in hexadecimal, by their number. What lies there need not be that any more. */
  readonly pieces: ReadonlyMap<number, string>;
  /** All pieces together were once found to be the file. */
  readonly isVerified: boolean;
  /** Forgets what is kept and begins anew. */
  begin(note: FileNote): Promise<void>;
  /** Keeps a piece, wholly or not at all. */
  put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void>;
  /** A piece as it lies there; shorter, or empty, where something took it away. */
  get(index: number): Promise<Uint8Array<ArrayBuffer>>;
  setVerified(): Promise<void>;
  /** The whole file. Nothing may be written after it. */
  blob(): Promise<Blob>;
  /** Keeps nothing any more. Throws a DOMException `NoModificationAllowedError` while another tab has it open. */
  remove(): Promise<void>;
  close(): void;
}

/** Of a DOMException: a file or its folder is not there any more, or what was open of it was closed. */
const GONE = ['NotFoundError', 'NotReadableError', 'InvalidStateError'];

/**
 * Does what a store does for `file`, and tells its errors as this package's: `over_limit`; an `OutdatedDownload`
 * (`storage_lost`) for what is gone.
 */
export async function keep<T>(
  file: string,
  work: () => Promise<T>,
  when = (): string => 'when it was opened',
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const name = cause instanceof DOMException ? cause.name : '';
    const detail = { file, field: 'storage' };
    if (name === 'QuotaExceededError') {
      throw new ChunkwiseError(
        'over_limit',
        { ...detail, reason: `the browser's storage was full ${when()}` },
        { cause },
      );
    }
    if (!GONE.includes(name)) throw cause;
    throw new OutdatedDownload(
      'storage_lost',
      { ...detail, reason: `what was downloaded of it was deleted from the browser's storage ${when()}` },
      { cause },
    );
  }
}
