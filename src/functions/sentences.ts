/**
 * Splits texts into sentences as NLTK's Punkt does without training (nltk 3.10, `PunktSentenceTokenizer()`), because
 * functions were trained on texts split that way. Without training there are no abbreviations: a period ends a sentence
 * except after an initial, after a number that a lower-case word or punctuation follows, and in an ellipsis.
 */

/** White space in patterns; JavaScript's `\s` differs from it. */
const SPACE = '\\p{White_Space}';
/** What Python strips from the ends of a text. */
const STRIPPED = `${SPACE}\\x1c-\\x1f`;
const QUOTES = '‘’“”«»';
/** Characters that end a word and do not belong to it. */
const ENDS_WORD = `[)";}\\]*:@'({[${QUOTES}?!]`;
/** Dashes and dots that are a word of their own. */
const RUN = `(?:-{2,}|\\.{2,}|(?:\\.[${SPACE}]){2,}\\.)`;
/** Characters that no word begins with. */
const NOT_FIRST = '("`{[:;&#*@)}\\]\\-,';

const WORDS = new RegExp(
  `${RUN}` +
    `|[^${NOT_FIRST}${SPACE}][^${SPACE}]*?(?=[${SPACE}]|$|${ENDS_WORD}|${RUN}|,(?:$|[${SPACE}]|${ENDS_WORD}|${RUN}))` +
    `|[^${SPACE}]`,
  'gu',
);
/** A mark that may end a sentence: more punctuation follows, or space and a word. */
const MARKS = new RegExp(`[.?!](?=(?<closing>${ENDS_WORD})|(?<gap>[${SPACE}]+)(?<word>[^${SPACE}]+))`, 'gu');
/** Closing punctuation at the start of a sentence; it belongs to the sentence before. */
const CLOSING = new RegExp(`(?<![^])["')\\]}${QUOTES}]+?(?:(?<gap>[${SPACE}]+)|(?=--)|$)`, 'mu');
const TRAILING = new RegExp(`[${STRIPPED}]+$`, 'u');
const BLANK = new RegExp(`^[${STRIPPED}]*$`, 'u');

const INITIAL = /^[\p{Alphabetic}\p{M}\p{Pc}\p{Join_Control}]\.$/u;
const NUMBER = /^-?[.,]?\p{Nd}[\p{Nd},.-]*\.?$/u;
const PUNCTUATION = [';', ':', ',', '.', '!', '?'];

/** The sentences of a text, in order, without the white space between them. */
export function splitSentences(text: string): string[] {
  const pieces: [start: number, end: number][] = [];
  let start = 0;
  for (const { at, next, context } of candidates(text)) {
    if (!hasBreak(context)) continue;
    pieces.push([start, at + 1]);
    start = next;
  }
  pieces.push([start, text.replace(TRAILING, '').length]);
  return withClosings(text, pieces);
}

interface Candidate {
  /** Index of the mark. */
  at: number;
  /** Where the next sentence begins, if the mark ends one. */
  next: number;
  /** The word before the mark, the mark, and what follows it. */
  context: string;
}

/** The last mark of each word. */
function* candidates(text: string): Generator<Candidate, void> {
  let found: (Candidate & { wordStart: number }) | undefined;
  for (const match of text.matchAll(MARKS)) {
    const at = match.index;
    const { closing, gap = '', word = '' } = match.groups as Record<string, string | undefined>;
    const before = found?.at ?? 0;
    const space = lastSpace(text, before, at);
    const wordStart = space > before ? space + 1 : (found?.wordStart ?? 0);
    if (found && found.at <= wordStart) yield found;
    const next = at + 1 + gap.length;
    const context = text.slice(wordStart, at + 1) + (closing ?? gap + word);
    found = { at, next, context, wordStart };
  }
  if (found) yield found;
}

/** Index of the last ASCII space from `from` to `to`; −1 if there is none. */
function lastSpace(text: string, from: number, to: number): number {
  for (let i = to - 1; i >= from; i--) if (' \t\n\r\v\f'.includes(text[i] as string)) return i;
  return -1;
}

/** Whether a sentence ends within a context: after one of its words, but not the last. */
function hasBreak(context: string): boolean {
  const words = context
    .split('\n')
    .filter((line) => !BLANK.test(line))
    .flatMap((line) => line.match(WORDS) ?? []);
  return words.some((word, i) => i + 1 < words.length && endsSentence(word, words[i + 1] as string));
}

function endsSentence(word: string, next: string): boolean {
  if (word === '.' || word === '?' || word === '!') return true;
  if (!word.endsWith('.') || word.endsWith('..')) return false;
  const isInitial = INITIAL.test(word);
  if (!isInitial && !NUMBER.test(word)) return true;
  if (PUNCTUATION.includes(next) || /^\p{Lowercase}/u.test(next)) return false;
  return !(isInitial && /^\p{Uppercase}/u.test(next));
}

/** Moves closing punctuation from the start of a piece to the end of the one before. */
function withClosings(text: string, pieces: readonly [start: number, end: number][]): string[] {
  const sentences: string[] = [];
  let moved = 0;
  pieces.forEach(([from, to], i) => {
    const start = from + moved;
    const [nextStart, nextEnd] = pieces[i + 1] ?? [0, 0];
    const closing = i + 1 < pieces.length ? CLOSING.exec(text.slice(nextStart, nextEnd)) : null;
    moved = closing?.[0].length ?? 0;
    const end = closing ? nextStart + moved - (closing.groups?.['gap']?.length ?? 0) : to;
    if (end > start) sentences.push(text.slice(start, end));
  });
  return sentences;
}
