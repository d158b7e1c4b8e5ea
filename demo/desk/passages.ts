/** A part of the document's text, from `start` to before `end`. */
export interface Span {
  start: number;
  end: number;
}

/** Neighbouring sentences that are read together. */
export interface Passage {
  sentences: readonly Span[];
  text: string;
}

/** Most characters of a passage; about 250 tokens, as in the adapters' training. */
const MOST_CHARACTERS = 1000;

/**
 * From its first character to a full stop, question or exclamation mark before a capital or a digit, to an empty line, or to
 * the end. `tools/train/functions.py` has the same expression, and a test compares them.
 */
export const SENTENCE =
  /\S.*?(?:(?<!\b[A-Z])(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)[.!?]["'”’)\]]*(?=\s+["'“‘(\[]?[A-Z0-9])|(?=\n[^\S\n]*\n)|$)/gs;

export function sentencesOf(text: string): Span[] {
  return [...text.matchAll(SENTENCE)].map(({ index, 0: found }) => ({
    start: index,
    end: index + found.trimEnd().length,
  }));
}

/** Splits a text into passages of whole sentences. A longer sentence is cut at white space, or where it must be. */
export function passagesOf(text: string): Passage[] {
  const passages: Span[][] = [];
  for (const sentence of sentencesOf(text).flatMap((span) => piecesOf(text, span))) {
    const last = passages.at(-1);
    const isFull = !last || sentence.end - (last[0] as Span).start > MOST_CHARACTERS;
    if (isFull) passages.push([sentence]);
    else last.push(sentence);
  }
  return passages.map((sentences) => ({
    sentences,
    text: text.slice((sentences[0] as Span).start, (sentences.at(-1) as Span).end),
  }));
}

function piecesOf(text: string, { start, end }: Span): Span[] {
  const pieces: Span[] = [];
  while (end - start > MOST_CHARACTERS) {
    const whole = text.slice(start, start + MOST_CHARACTERS + 1);
    const space = whole.search(/\s\S*$/);
    // No character of two halves is cut.
    const last = /[\uD800-\uDBFF]$/.test(whole.slice(0, -1)) ? MOST_CHARACTERS - 1 : MOST_CHARACTERS;
    const cut = start + (space > 0 ? space : last);
    pieces.push({ start, end: cut });
    start = cut + (text.slice(cut).match(/^\s+/)?.[0].length ?? 0);
  }
  return [...pieces, { start, end }];
}

/** The `count` passages that share the most words with the question, rare words before common ones; all if there are fewer. */
export function likeliest(passages: readonly Passage[], question: string, count: number): Passage[] {
  const known = passages.map(({ text }) => wordsOf(text));
  const weight = (word: string): number =>
    Math.log((known.length + 1) / (known.filter((words) => words.has(word)).length + 1));
  const asked = [...wordsOf(question)].map((word) => ({ word, weight: weight(word) }));
  return passages
    .map((passage, i) => ({
      passage,
      shared: asked.reduce((sum, { word, weight }) => sum + (known[i]?.has(word) ? weight : 0), 0),
    }))
    .sort((a, b) => b.shared - a.shared)
    .slice(0, count)
    .map(({ passage }) => passage);
}

/** The sentence that an answer rests on, and where in the text its words begin. */
export interface Grounds {
  sentence: Span;
  start: number;
}

/**
 * Of the sentences that have the answer's words, the one with the most words of the question; undefined if none has them.
 * `text`: of the sentences' document. `tools/train/functions.py` does the same.
 */
export function groundsOf(
  text: string,
  sentences: readonly Span[],
  { question, answer }: { question: string; answer: string },
): Grounds | undefined {
  const asked = wordsOf(question);
  let best: (Grounds & { shared: number }) | undefined;
  for (const sentence of sentences) {
    const own = text.slice(sentence.start, sentence.end);
    const at = indexOfPhrase(own, answer);
    if (at === undefined) continue;
    const found = wordsOf(own);
    const shared = [...asked].filter((word) => found.has(word)).length;
    if (!best || shared > best.shared) best = { sentence, start: sentence.start + at, shared };
  }
  return best && { sentence: best.sentence, start: best.start };
}

/** The sentence of `text` that shares the most words with the question, rare words before common ones. */
export function closestTo(question: string, text: string, sentences: readonly Span[]): Span | undefined {
  const alone = sentences.map((sentence) => ({
    sentences: [sentence],
    text: text.slice(sentence.start, sentence.end),
  }));
  return likeliest(alone, question, 1)[0]?.sentences[0];
}

const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu));

/** Where a phrase occurs as whole words. */
function indexOfPhrase(text: string, phrase: string): number | undefined {
  if (phrase === '') return undefined;
  const isLetter = (character = ''): boolean => /^[\p{L}\p{N}]$/u.test(character);
  for (let at = text.indexOf(phrase); at >= 0; at = text.indexOf(phrase, at + 1)) {
    const end = at + phrase.length;
    const isCut = (i: number): boolean => isLetter(text[i - 1]) && isLetter(text[i]);
    if (!isCut(at) && !isCut(end)) return at;
  }
  return undefined;
}
