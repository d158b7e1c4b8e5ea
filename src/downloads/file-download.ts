import { sha256 } from '@noble/hashes/sha2.js';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type ByteSource, checkReadRange } from '../weights/byte-source.ts';
import { toHex } from '../util/digest.ts';
import { type FileNote, keep, type PieceStore } from './piece-store.ts';
import {
  isSteady,
  OutdatedDownload,
  readPart,
  readRemote,
  type RemoteFile,
  type RemoteOptions,
} from './remote-file.ts';

/** Bytes of a piece: the unit of hashing, storage and retries. An interruption loses less than this per connection. */
export const PIECE_BYTES = 1 << 20;
/** Most pieces per request. */
const RANGE_PIECES = 32;
const CONNECTIONS = 4;
/**
 * The first pieces, which cover a model's header. After a download the start of each but the first is compared with the
 * server again.
 */
const EARLY_PIECES = 16;
const SAMPLE_BYTES = 1 << 16;
/** Passes over a file with a wrong SHA-256 to find the wrong pieces. */
const MAX_REPAIRS = 2;

type OnBytes = (bytes: number) => void;

export interface DownloadOptions extends RemoteOptions {
  pieceBytes?: number;
}

/**
 * Downloads a file into a store, piece by piece. Held pieces are never fetched again and survive every interruption. A
 * read fetches the missing pieces of its range. Every method may throw `network` (an `OutdatedDownload` when the file
 * changed on the server or was deleted from the store), `aborted`, and `over_limit` when the store is full.
 */
export class FileDownload implements ByteSource {
  readonly name: string;
  readonly size: number;
  private readonly pieceBytes: number;

  private constructor(
    note: FileNote,
    private readonly store: PieceStore,
    /** Undefined when the server cannot be reached. */
    private readonly remote: RemoteFile | undefined,
    private readonly options: DownloadOptions,
  ) {
    this.name = note.url;
    this.size = note.size;
    this.pieceBytes = note.pieceBytes;
  }

  /** Resumes from the pieces of this version in `store`; discards pieces of any other version. */
  static async open(remote: RemoteFile, store: PieceStore, options: DownloadOptions = {}): Promise<FileDownload> {
    const { url } = remote;
    const { pieceBytes = PIECE_BYTES } = options;
    const held = store.note;
    if (held && FileDownload.isOf(remote, store)) {
      return new FileDownload({ ...held, url }, store, { ...remote, size: held.size }, options);
    }
    const whole = remote.size === undefined ? await readPart(remote, 0, Infinity, options) : undefined;
    const size = remote.size ?? whole?.length ?? 0;
    const note = { url, size, version: versionOf(remote), pieceBytes };
    await keep(
      url,
      () => store.begin(note),
      () => `before its ${size} bytes came`,
    );
    const file = new FileDownload(note, store, { ...remote, size }, options);
    for (let i = 0; whole && i * pieceBytes < size; i++)
      await file.#put(i, whole.slice(i * pieceBytes, (i + 1) * pieceBytes));
    return file;
  }

  /** Whether `store` holds this version of the file, in part or whole. */
  static isOf(remote: RemoteFile, store: PieceStore): boolean {
    const { note } = store;
    const version = versionOf(remote);
    // Without version and length nothing identifies the file.
    const isTold = version !== '' || remote.size !== undefined;
    if (!isTold || note?.version !== version || note.size !== (remote.size ?? note.size)) return false;
    return remote.hasRanges || isSteady(remote) || FileDownload.offline(store) !== undefined;
  }

  /** The file from `store` while its server cannot be reached; undefined unless all of it is there. */
  static offline(store: PieceStore): FileDownload | undefined {
    const { note } = store;
    if (!note) return undefined;
    const file = new FileDownload(note, store, undefined, {});
    return file.missing === 0 ? file : undefined;
  }

  /** Bytes left to fetch. */
  get missing(): number {
    let held = 0;
    for (const index of this.store.pieces.keys()) held += this.#length(index);
    return this.size - held;
  }

  get hasRanges(): boolean {
    return this.remote?.hasRanges ?? false;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkReadRange(this, offset, length);
    const { pieceBytes, store } = this;
    const first = Math.floor(offset / pieceBytes);
    const end = Math.ceil((offset + length) / pieceBytes);
    await this.#fetchAll(missingRanges(store.pieces, { first, end }, RANGE_PIECES));
    const bytes = new Uint8Array(length);
    for (let i = first; i < end; i++) {
      const from = Math.max(offset, i * pieceBytes);
      const piece = (await this.#get(i)).subarray(from - i * pieceBytes, offset + length - i * pieceBytes);
      bytes.set(piece, from - offset);
    }
    return bytes;
  }

  /** Fetches all missing pieces. `onBytes` receives the number of bytes held. */
  async complete(onBytes: OnBytes = () => undefined): Promise<void> {
    const all = { first: 0, end: pieceCount(this, this.pieceBytes) };
    // Without ranges every request starts at the first byte.
    const most = this.hasRanges ? Math.min(RANGE_PIECES, Math.ceil(all.end / CONNECTIONS)) : Infinity;
    const ranges = missingRanges(this.store.pieces, all, most);
    let held = this.size - this.missing;
    await this.#fetchAll(ranges, (bytes) => onBytes((held += bytes)));
  }

  /**
   * Reads all held pieces and fetches damaged ones again. When the file completes for the first time, its SHA-256 is
   * checked; on a mismatch its pieces are fetched again until it matches. When nothing proves that all pieces belong to
   * one version, some early ones are fetched again. `onBytes` reports progress. Throws `bad_file`, or an
   * `OutdatedDownload`, if none of that helps, and discards the file.
   */
  async verify(onBytes: OnBytes = () => undefined): Promise<void> {
    const { store, remote } = this;
    const whole = store.isVerified ? undefined : sha256.create();
    for (let i = 0; i < pieceCount(this, this.pieceBytes); i++) {
      const bytes = await this.#get(i);
      const isGood = bytes.length === this.#length(i) && (await hexOf(bytes)) === store.pieces.get(i);
      if (!isGood) await this.#refetch(i);
      whole?.update(isGood ? bytes : await this.#get(i));
      onBytes(Math.min(this.size, (i + 1) * this.pieceBytes));
    }
    // Without the server the SHA-256 is unknown.
    if (!whole || !remote) return;
    const wanted = remote.sha256;
    if (wanted !== undefined && toHex(whole.digest()) !== wanted) await this.#repair(wanted);
    if (!isSteady(remote)) await this.#refuseMixture(remote);
    await this.#keep(() => store.setVerified());
  }

  blob(): Promise<Blob> {
    return this.#keep(() => this.store.blob());
  }

  /** Detects a file that changed during the download: the server then sends other bytes for the first pieces. */
  async #refuseMixture(remote: RemoteFile): Promise<void> {
    const early = [...this.store.pieces.keys()].slice(0, EARLY_PIECES);
    // Without ranges the file came in one request.
    for (const index of remote.hasRanges ? new Set([0, ...early]) : [0]) {
      const from = index * this.pieceBytes;
      const length = Math.min(index === 0 ? Infinity : SAMPLE_BYTES, this.#length(index));
      const again = await readPart(remote, from, from + length, this.options);
      const came = (await this.#get(index)).subarray(0, length);
      if (again.every((byte, i) => byte === came[i])) continue;
      await this.#forget();
      const reason = `the file changed on the server during the download: its bytes from ${from} on differ now`;
      throw new OutdatedDownload('network', { file: this.name, reason });
    }
  }

  /**
   * The stored piece is damaged: it is fetched again. If the whole was verified, it must match the piece's old hash.
   */
  async #refetch(index: number): Promise<void> {
    const { store } = this;
    const before = store.isVerified ? store.pieces.get(index) : undefined;
    for (let attempt = 0; attempt < MAX_REPAIRS; attempt++) {
      await this.#fetch({ first: index, end: index + 1 });
      if (before === undefined || store.pieces.get(index) === before) return;
    }
    await this.#evict('sha256', `the server gives other bytes from ${index * this.pieceBytes} on than before`);
  }

  /**
   * Every piece matches its own hash, but the file's SHA-256 is wrong: a piece that now arrives with other bytes was
   * wrong.
   */
  async #repair(wanted: string): Promise<void> {
    const { store } = this;
    for (let attempt = 0; attempt < MAX_REPAIRS; attempt++) {
      const before = sha256.create();
      for (let i = 0; i < pieceCount(this, this.pieceBytes); i++) {
        const had = store.pieces.get(i);
        await this.#fetch({ first: i, end: i + 1 });
        if (store.pieces.get(i) !== had && (await this.#wholeFrom(i, before)) === wanted) return;
        before.update(await this.#get(i));
      }
    }
    await this.#evict('sha256', `the file is not the one with SHA-256 ${wanted}, however often it is fetched`);
  }

  /** SHA-256 of the file; `before` is the hash state of the pieces before `index`. */
  async #wholeFrom(index: number, before: ReturnType<typeof sha256.create>): Promise<string> {
    const whole = before.clone();
    for (let i = index; i < pieceCount(this, this.pieceBytes); i++) whole.update(await this.#get(i));
    return toHex(whole.digest());
  }

  async #evict(field: string, reason: string): Promise<never> {
    await this.#forget();
    throw new ChunkwiseError('bad_file', { file: this.name, field, reason });
  }

  async #forget(): Promise<void> {
    const { note } = this.store;
    if (note) await this.#keep(() => this.store.begin(note));
  }

  /** Fetches ranges in parallel. The first failure stops all; received pieces stay. */
  async #fetchAll(ranges: PieceRange[], onPiece?: OnBytes): Promise<void> {
    if (ranges.length === 0) return;
    const control = new AbortController();
    const { signal } = this.options;
    const onAbort = (): void => control.abort();
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted) onAbort();
    const work = async (): Promise<void> => {
      for (let range = ranges.shift(); range; range = ranges.shift()) await this.#fetch(range, onPiece, control.signal);
    };
    const failures: unknown[] = [];
    const connections = Array.from({ length: this.hasRanges ? CONNECTIONS : 1 }, () =>
      work().catch((error: unknown) => {
        failures.push(error);
        ranges.length = 0;
        control.abort();
      }),
    );
    await Promise.all(connections);
    signal?.removeEventListener('abort', onAbort);
    if (failures.length > 0) throw failures[0];
  }

  async #fetch({ first, end }: PieceRange, onPiece?: OnBytes, signal = this.options.signal): Promise<void> {
    const { remote, size, pieceBytes } = this;
    if (!remote) {
      const reason = `the the bytes from ${first * pieceBytes} on are damaged, and the server cannot be reached`;
      throw new ChunkwiseError('network', { file: this.name, reason });
    }
    let index = first;
    let filled = 0;
    let piece = new Uint8Array(this.#length(index));
    for await (const chunk of readRemote(remote, first * pieceBytes, Math.min(size, end * pieceBytes), {
      ...this.options,
      signal,
    })) {
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + piece.length - filled);
        piece.set(part, filled);
        at += part.length;
        filled += part.length;
        if (filled < piece.length) continue;
        if (signal?.aborted)
          throw new ChunkwiseError('aborted', { file: this.name, reason: 'the download was aborted' });
        await this.#put(index, piece);
        onPiece?.(piece.length);
        index++;
        filled = 0;
        piece = new Uint8Array(this.#length(index));
      }
    }
  }

  async #put(index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const sha256 = await hexOf(bytes);
    await this.#keep(() => this.store.put(index, bytes, sha256));
  }

  #get(index: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#keep(() => this.store.get(index));
  }

  #keep<T>(work: () => Promise<T>): Promise<T> {
    return keep(this.name, work, () => `after ${this.size - this.missing} of ${this.size} bytes`);
  }

  #length(index: number): number {
    return pieceLength(this, this.pieceBytes, index);
  }
}

const versionOf = ({ content, sha256, version }: RemoteFile): string => content ?? sha256 ?? version;

const hexOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));

/** Consecutive pieces, `end` exclusive. */
export interface PieceRange {
  first: number;
  end: number;
}

export const pieceCount = ({ size }: { size: number }, pieceBytes: number): number => Math.ceil(size / pieceBytes);

/** Bytes of a piece; 0 after the last one. */
export const pieceLength = ({ size }: { size: number }, pieceBytes: number, index: number): number =>
  Math.max(0, Math.min(pieceBytes, size - index * pieceBytes));

/** Runs of pieces in `range` that are not in `held`, each of at most `most` pieces. */
export function missingRanges(held: { has(index: number): boolean }, range: PieceRange, most: number): PieceRange[] {
  const ranges: PieceRange[] = [];
  for (let i = range.first; i < range.end; i++) {
    if (held.has(i)) continue;
    const last = ranges.at(-1);
    if (last?.end === i && i - last.first < most) last.end++;
    else ranges.push({ first: i, end: i + 1 });
  }
  return ranges;
}
