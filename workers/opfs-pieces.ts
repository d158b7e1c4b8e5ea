import { hexDigest } from '../src/weights/digest.ts';
import type { FileNote, PieceStore } from '../src/weights/piece-store.ts';
import { PIECE_BYTES } from '../src/weights/file-download.ts';
import { journalHead, readJournal } from './piece-journal.ts';

/** Exists in workers only, so TypeScript's library for pages leaves it out. */
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

/** Data files end so whatever they hold: those of older versions, which knew nothing else, stay where they are. */
const DATA = '.gguf';
const JOURNAL = '.journal';
/** The note of version 1, beside a file of which only the beginning was ever held. */
const NOTE_1 = '.json';

/** A file's pieces at their places in a file of the origin's private file system, beside a journal of what is there. */
export class OpfsPieces implements PieceStore {
  note: FileNote | undefined;
  pieces = new Map<number, string>();
  isVerified = false;
  #data: SyncAccessHandle | undefined;
  #journal: SyncAccessHandle | undefined;

  private constructor(
    private readonly dataFile: FileSystemFileHandle,
    private readonly journalFile: FileSystemFileHandle,
  ) {}

  /** `name`: of the files, without their endings. */
  static async open(folder: FileSystemDirectoryHandle, name: string): Promise<OpfsPieces> {
    const [data, journal] = await Promise.all([DATA, JOURNAL].map((end) => folder.getFileHandle(name + end, { create: true })));
    if (!data || !journal) throw new Error('no handles');
    const store = new OpfsPieces(data, journal);
    const old = await readNote1(folder, name);
    if (old) {
      await store.#migrate(old);
      await folder.removeEntry(name + NOTE_1);
    }
    const kept = readJournal(await (await journal.getFile()).text());
    if (kept) Object.assign(store, kept);
    return store;
  }

  static async remove(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
    for (const end of [JOURNAL, NOTE_1, DATA]) await folder.removeEntry(name + end).catch(unlessMissing);
  }

  /** By their names: what each file is a copy of, and the bytes it takes. */
  static async list(folder: FileSystemDirectoryHandle): Promise<Map<string, { url: string | undefined; bytes: number }>> {
    const files = new Map<string, File>();
    for await (const handle of folder.values()) if (handle.kind === 'file') files.set(handle.name, await handle.getFile());
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
    this.#append(journal, journalHead(note));
  }

  async put(index: number, bytes: Uint8Array<ArrayBuffer>, sha256: string): Promise<void> {
    const [data, journal] = await this.#handles();
    try {
      writeAll(data, bytes, index * (this.note?.pieceBytes ?? 0));
      // The journal must not speak of what a crash may yet take away.
      data.flush();
      this.#append(journal, { piece: index, sha256 });
    } catch (error) {
      // Chromium says of a file that was deleted what it says of a full disk. This throws NotFoundError then.
      await this.dataFile.getFile();
      throw error;
    }
    this.pieces.set(index, sha256);
  }

  async get(index: number): Promise<Uint8Array<ArrayBuffer>> {
    const { size = 0, pieceBytes = 0 } = this.note ?? {};
    const [data] = await this.#handles();
    const bytes = new Uint8Array(Math.min(pieceBytes, size - index * pieceBytes));
    return bytes.subarray(0, data.read(bytes, { at: index * pieceBytes }));
  }

  async setVerified(): Promise<void> {
    if (!this.isVerified) this.#append((await this.#handles())[1], { verified: true });
    this.isVerified = true;
  }

  async blob(): Promise<Blob> {
    this.close();
    return this.dataFile.getFile();
  }

  close(): void {
    this.#data?.close();
    this.#journal?.close();
    this.#data = this.#journal = undefined;
  }

  /** Each of them belongs to one tab alone while it is open. */
  async #handles(): Promise<[data: SyncAccessHandle, journal: SyncAccessHandle]> {
    this.#data ??= await this.dataFile.createSyncAccessHandle();
    this.#journal ??= await this.journalFile.createSyncAccessHandle();
    return [this.#data, this.#journal];
  }

  #append(journal: SyncAccessHandle, entry: object): void {
    writeAll(journal, new TextEncoder().encode(`${JSON.stringify(entry)}\n`), journal.getSize());
    journal.flush();
  }

  /** Whole pieces of what version 1 held go on being held. */
  async #migrate({ url, size, version }: Note1): Promise<void> {
    const held = await this.dataFile.getFile();
    const note = { url, size, version, pieceBytes: PIECE_BYTES };
    const lines = [JSON.stringify(journalHead(note))];
    const whole = held.size >= size ? size : held.size - (held.size % PIECE_BYTES);
    for (let at = 0; at < whole; at += PIECE_BYTES) {
      const piece = held.slice(at, Math.min(at + PIECE_BYTES, whole));
      lines.push(JSON.stringify({ piece: at / PIECE_BYTES, sha256: await hexDigest([piece]) }));
    }
    const [, journal] = await this.#handles();
    journal.truncate(0);
    writeAll(journal, new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')), 0);
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
    const file = await (await folder.getFileHandle(name + NOTE_1)).getFile();
    return JSON.parse(await file.text()) as Note1;
  } catch {
    return undefined; // none, or its writing was interrupted
  }
}

function writeAll(handle: SyncAccessHandle, bytes: Uint8Array, at: number): void {
  // Chromium returns a negative error code, as an unsigned number, where the specification throws.
  if (handle.write(bytes, { at }) !== bytes.length) throw new DOMException('the disk is full', 'QuotaExceededError');
}

function unlessMissing(error: unknown): void {
  if (!(error instanceof DOMException) || error.name !== 'NotFoundError') throw error;
}
