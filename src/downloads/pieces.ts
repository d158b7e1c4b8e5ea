/** Consecutive pieces, `end` exclusive. */
export interface PieceRange {
  first: number;
  end: number;
}

export const pieceCount = ({ size }: { size: number }, pieceBytes: number): number => Math.ceil(size / pieceBytes);

/** Bytes of a piece; none behind the last. */
export const pieceLength = ({ size }: { size: number }, pieceBytes: number, index: number): number =>
  Math.max(0, Math.min(pieceBytes, size - index * pieceBytes));

/** Runs of pieces within `range` that are not among `held`, none longer than `most`. */
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
