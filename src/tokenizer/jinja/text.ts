/** Python strings: code points, with Python's white space and line ends. */

const SURROGATE = /[\ud800-\udfff]/;
const BLANKS = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const BLANK = new RegExp(`[${BLANKS}]`);
export const BLANK_RUN = new RegExp(`[${BLANKS}]+`, 'g');
const NOT_PRINTABLE = /[\p{C}\p{Z}]/u;

export const isBlank = (character: string | undefined): boolean => character !== undefined && BLANK.test(character);

/** Whether the code units are the code points. */
export const isPlain = (text: string): boolean => !SURROGATE.test(text);
export const points = (text: string): string[] => (isPlain(text) ? text.split('') : Array.from(text));

export function lengthOf(text: string): number {
  if (isPlain(text)) return text.length;
  return Array.from(text).length;
}

/** Compares by code points: negative, 0 or positive. */
export function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  if (isPlain(left) && isPlain(right)) return left < right ? -1 : 1;
  const others = points(right);
  for (const [at, character] of points(left).entries()) {
    const other = others[at];
    if (other === undefined) return 1;
    if (character !== other) return (character.codePointAt(0) ?? 0) - (other.codePointAt(0) ?? 0);
  }
  return -1;
}

export type Side = 'left' | 'right' | 'both';

/** `str.strip` and variants: removes white space, or the characters of `chars`. */
export function strip(text: string, side: Side, chars?: string): string {
  const characters = chars === undefined || isPlain(chars + text) ? text : points(text);
  const set = chars === undefined ? undefined : new Set(points(chars));
  const goes = (character: string | undefined): boolean =>
    character !== undefined && (set === undefined ? isBlank(character) : set.has(character));
  let start = 0;
  let end = characters.length;
  if (side !== 'right') while (start < end && goes(characters[start])) start++;
  if (side !== 'left') while (end > start && goes(characters[end - 1])) end--;
  return typeof characters === 'string' ? characters.slice(start, end) : characters.slice(start, end).join('');
}

export function lines(text: string, keepEnds = false): string[] {
  const found: string[] = [];
  let start = 0;
  for (const { 0: end, index } of text.matchAll(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g)) {
    found.push(text.slice(start, index) + (keepEnds ? end : ''));
    start = index + end.length;
  }
  if (start < text.length) found.push(text.slice(start));
  return found;
}

/** `str.split`; at runs of white space if `separator` is undefined. */
export function split(text: string, separator: string | undefined, most: number): string[] {
  if (separator !== undefined) {
    const parts = text.split(separator);
    return most >= 0 && parts.length > most + 1 ? [...parts.slice(0, most), parts.slice(most).join(separator)] : parts;
  }
  const parts: string[] = [];
  let rest = strip(text, 'left');
  while (rest !== '' && (most < 0 || parts.length < most)) {
    BLANK_RUN.lastIndex = 0;
    const blanks = BLANK_RUN.exec(rest);
    parts.push(blanks ? rest.slice(0, blanks.index) : rest);
    rest = blanks ? rest.slice(blanks.index + blanks[0].length) : '';
  }
  return rest === '' ? parts : [...parts, rest];
}

export function splitFromRight(text: string, separator: string | undefined, most: number): string[] {
  if (most < 0) return split(text, separator, -1);
  if (separator !== undefined) {
    const parts = text.split(separator);
    const kept = Math.max(1, parts.length - most);
    return [parts.slice(0, kept).join(separator), ...parts.slice(kept)];
  }
  const parts: string[] = [];
  let rest = strip(text, 'right');
  while (rest !== '' && parts.length < most) {
    let at = rest.length;
    while (at > 0 && !isBlank(rest[at - 1])) at--;
    parts.unshift(rest.slice(at));
    rest = strip(rest.slice(0, at), 'right');
  }
  return rest === '' ? parts : [rest, ...parts];
}

/** `str.replace`; an empty `old` matches between all characters. */
export function replace(text: string, old: string, by: string, most: number): string {
  if (most === 0) return text;
  if (old === '') {
    const characters = points(text);
    const ends = most < 0 ? characters.length + 1 : Math.min(most, characters.length + 1);
    return (
      characters.map((character, i) => (i < ends ? by : '') + character).join('') + (ends > characters.length ? by : '')
    );
  }
  const parts = text.split(old);
  if (most < 0 || parts.length <= most + 1) return parts.join(by);
  return [parts.slice(0, most + 1).join(by), ...parts.slice(most + 1)].join(old);
}

const upperFirst = (character: string): string => {
  const upper = character.toUpperCase();
  // Ligatures and digraphs have a title case of their own: "ß" is "Ss", "ǆ" is "ǅ".
  const digraph = { Ǆ: 'ǅ', Ǉ: 'ǈ', Ǌ: 'ǋ', Ǳ: 'ǲ', ǅ: 'ǅ', ǈ: 'ǈ', ǋ: 'ǋ', ǲ: 'ǲ' }[upper];
  const [first = '', ...rest] = Array.from(upper);
  return digraph ?? first + rest.join('').toLowerCase();
};

export function capitalize(text: string): string {
  const [first, ...rest] = points(text);
  return first === undefined ? '' : upperFirst(first) + rest.join('').toLowerCase();
}

/** `str.title`: a letter after a non-letter becomes a capital. */
export function titleWords(text: string): string {
  let isInside = false;
  return points(text)
    .map((character) => {
      const written = isInside ? character.toLowerCase() : upperFirst(character);
      isInside = /[\p{Lowercase}\p{Uppercase}\p{Lt}]/u.test(character);
      return written;
    })
    .join('');
}

export const isLower = (text: string): boolean => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
export const isUpper = (text: string): boolean => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);

export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** Python's `repr` of a string. */
export function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', [quote]: `\\${quote}` };
  let written = '';
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const name = named[character];
    if (name !== undefined) written += name;
    else if (character === ' ' || (code < 0x7f && code > 0x1f) || !NOT_PRINTABLE.test(character)) written += character;
    else if (code < 0x100) written += `\\x${hex(code, 2)}`;
    else written += code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  }
  return quote + written + quote;
}

export const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');
