import type { FileNote, PieceStore } from './piece-store.ts';

/** Keeps a file's pieces in memory, where a browser has no other place. */
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
