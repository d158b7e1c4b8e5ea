import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { OutdatedDownload } from './remote-file.ts';

/** The source of a stored file. */
export interface FileNote {
  url: string;
  /** Bytes. */
  size: number;
  /** Identifies the content: the SHA-256 if known, else the server's version. */
  version: string;
  /** Bytes of a piece; the last one is shorter. */
  pieceBytes: number;
}

/**
 * Stores the pieces of one file durably. Only one writer at a time. Throws a DOMException: `QuotaExceededError` when
 * there is no room, `NotFoundError` when the file is gone.
 */
export interface PieceStore {
  /** Undefined when nothing readable is stored. */
  readonly note: FileNote | undefined;
  /** Hexadecimal SHA-256 of each stored piece, by piece number. The stored bytes may be damaged meanwhile. */
  readonly pieces: ReadonlyMap<number, string>;
  /** The SHA-256 of the whole file was checked once. */
  readonly isVerified: boolean;
  /** Discards all pieces and starts a new file. */
  begin(note: FileNote): Promise<void>;
  /** Stores a piece completely or not at all. */
  put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void>;
  /** The stored bytes of a piece; shorter, or empty, if they were lost. */
  get(index: number): Promise<Uint8Array<ArrayBuffer>>;
  setVerified(): Promise<void>;
  /** The whole file. No writes may follow. */
  blob(): Promise<Blob>;
  /** Deletes the file. Throws a DOMException `NoModificationAllowedError` while another tab has it open. */
  remove(): Promise<void>;
  close(): void;
}

/** Names of DOMExceptions for a deleted file or folder, or a closed handle. */
const GONE = ['NotFoundError', 'NotReadableError', 'InvalidStateError'];

/**
 * Runs a store operation for `file` and converts its errors: `over_limit`; an `OutdatedDownload` (`storage_lost`) for a
 * deleted file.
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
      { ...detail, reason: `its downloaded part was deleted from the browser's storage ${when()}` },
      { cause },
    );
  }
}

/** Keeps a file's pieces in memory, for browsers without storage. */
export class MemoryPieces implements PieceStore {
  note: FileNote | undefined;
  isVerified = false;
  readonly pieces = new Map<number, string>();
  readonly bytes = new Map<number, Uint8Array<ArrayBuffer>>();

  async begin(note: FileNote): Promise<void> {
    this.note = note;
    this.isVerified = false;
    this.pieces.clear();
    this.bytes.clear();
  }

  async put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
    this.bytes.set(index, bytes);
    this.pieces.set(index, sha256);
  }

  async get(index: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.bytes.get(index) ?? new Uint8Array();
  }

  async setVerified(): Promise<void> {
    this.isVerified = true;
  }

  async blob(): Promise<Blob> {
    return new Blob(Array.from({ length: this.bytes.size }, (_, i) => this.bytes.get(i) ?? ''));
  }

  async remove(): Promise<void> {
    this.note = undefined;
    this.isVerified = false;
    this.pieces.clear();
    this.bytes.clear();
  }

  close(): void {}
}
