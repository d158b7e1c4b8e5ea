import { hexDigest } from '../util/digest.ts';
import type { FileNote, PieceStore } from '../downloads/piece-store.ts';
import { PIECE_BYTES } from '../downloads/file-download.ts';
import { busy, isMissing, isTaken } from './storage-host.ts';

/** Only in workers, so TypeScript's library for pages omits it. */
interface SyncAccessHandle {
  read(bytes: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

declare global {
  interface FileSystemFileHandle {
    createSyncAccessHandle(): Promise<SyncAccessHandle>;
  }
}

/** Extension of data files. It has not changed since version 1, so that its files stay usable. */
const DATA = '.gguf';
const JOURNAL = '.journal';
/** A closed tab holds its files for a moment longer. */
const MOST_WAITS = 20;
const WAIT_MS = 100;
/** The note of version 1, which stored only a file's beginning. */
const NOTE_1 = '.json';

/**
 * A file's pieces in a data file of the origin's private file system, with a journal of the stored pieces beside it.
 */
export class OpfsPieces implements PieceStore {
  note: FileNote | undefined;
  pieces = new Map<number, string>();
  isVerified = false;
  #data: SyncAccessHandle | undefined;
  #journal: SyncAccessHandle | undefined;
  #opening: Promise<[data: SyncAccessHandle, journal: SyncAccessHandle]> | undefined;
  /** The journal's last line is incomplete; the next one must start on a new line. */
  #isTorn = false;

  private constructor(
    private readonly folder: FileSystemDirectoryHandle,
    /** Names of the stored files, without extensions. */
    private readonly name: string,
  ) {}

  /** Creates no file before there is something to store. */
  static async open(folder: FileSystemDirectoryHandle, name: string): Promise<OpfsPieces> {
    const store = new OpfsPieces(folder, name);
    const old = await readNote1(folder, name);
    if (old) {
      await store.#migrate(old);
      await folder.removeEntry(name + NOTE_1);
    }
    const text = await textOf(folder, name + JOURNAL);
    store.#isTorn = text !== '' && !text.endsWith('\n');
    const kept = readJournal(text);
    if (kept) Object.assign(store, kept);
    return store;
  }

  static async remove(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
    for (const end of [JOURNAL, NOTE_1, DATA]) await folder.removeEntry(name + end).catch(unlessMissing);
  }

  /** The source and size of each stored file, by name. */
  static async list(
    folder: FileSystemDirectoryHandle,
  ): Promise<Map<string, { url: string | undefined; bytes: number }>> {
    const files = new Map<string, File>();
    for await (const handle of folder.values()) {
      const file = handle.kind === 'file' && (await handle.getFile().catch(() => undefined)); // deleted meanwhile
      if (file) files.set(handle.name, file);
    }
    const found = new Map<string, { url: string | undefined; bytes: number }>();
    for (const [fileName, { size }] of files) {
      if (!fileName.endsWith(DATA)) continue;
      const name = fileName.slice(0, -DATA.length);
      const journal = readJournal((await files.get(name + JOURNAL)?.text()) ?? '');
      found.set(name, { url: journal?.note?.url ?? (await readNote1(folder, name))?.url, bytes: size });
    }
    return found;
  }

  async begin(note: FileNote): Promise<void> {
    const [data, journal] = await this.#handles();
    journal.truncate(0);
    data.truncate(0);
    this.note = note;
    this.pieces.clear();
    this.isVerified = false;
    this.#isTorn = false;
    await this.#append(journal, journalHead(note));
  }

  async put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
    const [data, journal] = await this.#handles();
    await this.#write(data, bytes, index * (this.note?.pieceBytes ?? 0));
    // Flush first: the journal must not list bytes that a crash may lose.
    data.flush();
    await this.#append(journal, { piece: index, sha256 });
    this.pieces.set(index, sha256);
  }

  async get(index: number): Promise<Uint8Array<ArrayBuffer>> {
    const { size = 0, pieceBytes = 0 } = this.note ?? {};
    const [data] = await this.#handles();
    const bytes = new Uint8Array(Math.min(pieceBytes, size - index * pieceBytes));
    return bytes.subarray(0, data.read(bytes, { at: index * pieceBytes }));
  }

  async setVerified(): Promise<void> {
    if (!this.isVerified) await this.#append((await this.#handles())[1], { verified: true });
    this.isVerified = true;
  }

  async blob(): Promise<Blob> {
    this.close();
    return this.#dataFile();
  }

  async remove(): Promise<void> {
    this.close();
    await OpfsPieces.remove(this.folder, this.name);
  }

  close(): void {
    this.#data?.close();
    this.#journal?.close();
    this.#data = this.#journal = this.#opening = undefined;
  }

  /** An open handle is exclusive to one tab. Parallel writes share the handle that the first one opens. */
  #handles(): Promise<[data: SyncAccessHandle, journal: SyncAccessHandle]> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<[data: SyncAccessHandle, journal: SyncAccessHandle]> {
    this.#data ??= await this.#take(DATA);
    this.#journal ??= await this.#take(JOURNAL);
    return [this.#data, this.#journal];
  }

  /** Throws if the file was deleted. */
  async #dataFile(): Promise<File> {
    return (await this.folder.getFileHandle(this.name + DATA)).getFile();
  }

  async #take(end: string): Promise<SyncAccessHandle> {
    const file = await this.folder.getFileHandle(this.name + end, { create: true });
    for (let waits = 0; ; waits++) {
      try {
        return await file.createSyncAccessHandle();
      } catch (error) {
        if (!isTaken(error)) throw error;
        if (waits === MOST_WAITS) throw busy(this.note?.url ?? file.name, error);
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      }
    }
  }

  async #append(journal: SyncAccessHandle, entry: object): Promise<void> {
    const line = `${this.#isTorn ? '\n' : ''}${JSON.stringify(entry)}\n`;
    this.#isTorn = true;
    await this.#write(journal, new TextEncoder().encode(line), journal.getSize());
    journal.flush();
    this.#isTorn = false;
  }

  /** On a full disk Chromium returns a negative error code as an unsigned number, where the specification throws. */
  async #write(handle: SyncAccessHandle, bytes: Uint8Array, at: number): Promise<void> {
    if (handle.write(bytes, { at }) === bytes.length) return;
    await this.#dataFile();
    throw new DOMException('the disk is full', 'QuotaExceededError');
  }

  /** Keeps the complete pieces of a version 1 file. */
  async #migrate({ url, size, version }: Note1): Promise<void> {
    const held = await this.#dataFile().catch(() => new Blob()); // deleted meanwhile
    const note = { url, size, version, pieceBytes: PIECE_BYTES };
    const lines = [JSON.stringify(journalHead(note))];
    const whole = held.size >= size ? size : held.size - (held.size % PIECE_BYTES);
    for (let at = 0; at < whole; at += PIECE_BYTES) {
      const piece = held.slice(at, Math.min(at + PIECE_BYTES, whole));
      lines.push(JSON.stringify({ piece: at / PIECE_BYTES, sha256: await hexDigest([piece]) }));
    }
    const [, journal] = await this.#handles();
    journal.truncate(0);
    await this.#write(journal, new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')), 0);
    journal.flush();
    this.close();
  }
}

interface Note1 {
  url: string;
  size: number;
  version: string;
}

async function readNote1(folder: FileSystemDirectoryHandle, name: string): Promise<Note1 | undefined> {
  try {
    return JSON.parse(await textOf(folder, name + NOTE_1)) as Note1;
  } catch {
    return undefined; // no note, or an interrupted write
  }
}

/** Empty if the file does not exist. */
async function textOf(folder: FileSystemDirectoryHandle, name: string): Promise<string> {
  try {
    return await (await (await folder.getFileHandle(name)).getFile()).text();
  } catch (error) {
    unlessMissing(error);
    return '';
  }
}

function unlessMissing(error: unknown): void {
  if (!isMissing(error)) throw error;
}

/** Journal lines: the first is the file's note; each other one is a piece, or marks the whole as verified. */
export const JOURNAL_VERSION = 2;

/**
 * Parses a journal. A later line of a piece replaces an earlier one. Unreadable lines were cut off or damaged, and are
 * skipped. Undefined if the first line is unreadable or of another version.
 */
export function readJournal(
  text: string,
): (Pick<PieceStore, 'note' | 'isVerified'> & { pieces: Map<number, string> }) | undefined {
  const [head, ...lines] = text.split('\n').map(parse);
  if (head?.['version'] !== JOURNAL_VERSION) return undefined;
  const { url, size, pieceBytes } = head;
  const version = head['content'];
  if (
    typeof url !== 'string' ||
    typeof version !== 'string' ||
    !isWhole(size) ||
    !isWhole(pieceBytes) ||
    pieceBytes === 0
  )
    return undefined;
  const pieces = new Map<number, string>();
  for (const line of lines) {
    const { piece, sha256 } = line ?? {};
    if (isWhole(piece) && piece * pieceBytes < size && typeof sha256 === 'string') pieces.set(piece, sha256);
  }
  return {
    note: { url, size, version, pieceBytes },
    pieces,
    isVerified: lines.some((line) => line?.['verified'] === true),
  };
}

/** The journal's first line. */
export const journalHead = ({ version: content, ...note }: FileNote): object => ({
  version: JOURNAL_VERSION,
  content,
  ...note,
});

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
