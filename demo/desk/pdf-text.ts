/** A line of a page, with its place and the size of its letters in points; y grows upwards. */
export interface Line {
  text: string;
  x: number;
  y: number;
  size: number;
}

/** The text of a document of pages, with an empty line between paragraphs. */
export interface PagedText {
  text: string;
  /** Where in the text each page starts. */
  pageStarts: number[];
}

/** Distance of two paragraphs' lines, in distances of a paragraph's lines. */
const PARAGRAPH_DISTANCE = 1.35;
/** Indent of a paragraph's first line, in sizes of its letters. */
const LEAST_INDENT = 0.5;
/** Ratio of the sizes of a heading and its text. */
const HEADING_RATIO = 1.1;

/**
 * Joins the lines of pages to paragraphs. A paragraph ends before a wider distance, an indent or another size of letters; one
 * that goes on in the next column or on the next page is recognized by its words. Words that were cut at a line's end are joined.
 */
export function textOfPages(pages: readonly (readonly Line[])[]): PagedText {
  const pageStarts: number[] = [];
  const parts: string[] = [];
  let length = 0;
  const add = (part: string): void => {
    parts.push(part);
    length += part.length;
  };
  let before: Line | undefined;
  for (const lines of pages) {
    const distance = usualDistance(lines);
    let isFirst = true;
    for (const line of lines) {
      if (before && isFirst ? !goesOn(before, line) : before && endsParagraph(before, line, distance)) add('\n\n');
      else if (before && !isDivided(before.text, line.text)) add(' ');
      else if (before && /^\p{Ll}/u.test(line.text)) {
        // A hyphen before a small letter divides a word; before another one it belongs to the word.
        parts.push(parts.pop()!.slice(0, -1));
        length--;
      }
      if (isFirst) pageStarts.push(length);
      add(line.text);
      before = line;
      isFirst = false;
    }
    if (isFirst) pageStarts.push(length);
  }
  return { text: parts.join(''), pageStarts };
}

/** The distance between a paragraph's lines: the lower quartile of all, because headings and paragraphs have wider ones. */
function usualDistance(lines: readonly Line[]): number {
  const all = lines.slice(1).map(({ y }, i) => (lines[i] as Line).y - y);
  const sorted = all.filter((distance) => distance > 0).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 4)] ?? 0;
}

function endsParagraph(before: Line, line: Line, usual: number): boolean {
  const distance = before.y - line.y;
  if (distance <= 0) return !goesOn(before, line); // another column
  const isIndented = line.x - before.x > LEAST_INDENT * line.size && endsSentence(before);
  return distance > PARAGRAPH_DISTANCE * usual || isIndented || isHeading(before, line);
}

const isHeading = (before: Line, line: Line): boolean =>
  Math.max(before.size, line.size) > HEADING_RATIO * Math.min(before.size, line.size);

/** Whether a paragraph goes on from the end of a column or page to the next. */
const goesOn = (before: Line, line: Line): boolean =>
  !endsSentence(before) && /^\p{Ll}/u.test(line.text) && !isHeading(before, line);

const endsSentence = ({ text }: Line): boolean => /[.!?:]["'”’)\]]*$/.test(text);

/** Whether a line ends with a hyphen in a word that the next one goes on with. */
const isDivided = (line: string, next: string): boolean => /\p{L}[-\u00AD]$/u.test(line) && /^[\p{L}\p{N}]/u.test(next);
