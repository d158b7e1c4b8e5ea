import type { FileNote, PieceStore } from '../downloads/piece-store.ts';

/** Of the journal: the first line is the file's note, each other one a piece, or that the whole was verified. */
export const JOURNAL_VERSION = 2;

/**
 * What a journal says is held; a later line of a piece takes the place of an earlier one. Lines that cannot be read were
 * cut off or damaged, and are passed over. Undefined where the first one is such, or of another version.
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
