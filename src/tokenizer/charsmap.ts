/** Real maps have 240 kB, with keys of up to 12 bytes and texts of up to 33 in their place. */
const MOST_BYTES = 1 << 19;
const MOST_KEY_BYTES = 64;
const MOST_TEXT_BYTES = 256;
/** Of what is seen as one character, the most bytes that huggingface/tokenizers looks up as a whole. */
const MOST_GRAPHEME_BYTES = 5;
/** Characters that are segmented at once. */
const SEGMENTED_CHARS = 64;

const encoder = new TextEncoder();

/** A key that a text has at a place: how many bytes of UTF-8, and what stands for it. */
interface Match {
  length: number;
  text: string;
}

/** Sequences of characters, and what stands for them in a text before it is cut. */
export interface Charsmap {
  /** Of the keys that `bytes` have at `start` the shortest, or the longest. */
  shortest(bytes: Uint8Array, start: number): Match | undefined;
  longest(bytes: Uint8Array, start: number): Match | undefined;
}

/**
 * Reads SentencePiece's precompiled map (src/normalizer.cc): the size of a trie, the trie, and texts that end with a 0. The
 * trie is a double array (darts-clone, darts.h) over UTF-8, in which keys share their ends too. A unit of 32 bits is a child where
 * its bits 0 to 7 are the byte that leads to it and bit 31 is clear; bits 9 to 31 say where its own children lie, and bit 8 whether
 * a key ends here: then the unit there has the place of the key's text. `refuse` is told why a map makes no sense; all of one
 * that is read has been gone through.
 */
export function readCharsmap(bytes: Uint8Array, refuse: (reason: string) => never): Charsmap {
  if (bytes.length > MOST_BYTES) refuse(`it has ${bytes.length} bytes; at most ${MOST_BYTES} are read`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = bytes.length < 4 ? 0 : view.getUint32(0, true);
  if (trieBytes === 0 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length)
    refuse(`a trie of ${trieBytes} bytes does not fit into ${bytes.length}`);
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const readText = textReader(bytes.subarray(4 + trieBytes), refuse);
  const texts = new Map<number, string>();
  /** By where its children lie, how many bytes more the keys of a node have at most. */
  const heights = new Map<number, number>();
  const goThrough = (children: number, depth: number): number => {
    // A node's children are within one block of 256.
    if ((children | 0xff) >= units.length) refuse(`it leads beyond the ${units.length} units of its trie`);
    let height = heights.get(children);
    if (depth + (height ?? 0) > MOST_KEY_BYTES)
      refuse(`it leads in circles, or to keys of more than ${MOST_KEY_BYTES} bytes`);
    if (height !== undefined) return height;
    height = 0;
    for (let byte = 1; byte < 256; byte++) {
      const next = childrenBy(units, children, byte);
      if (next < 0) continue;
      height = Math.max(height, 1 + goThrough(next, depth + 1));
      if (endsKey(units, children, byte)) texts.set(placeOfText(units, next), readText(placeOfText(units, next)));
    }
    heights.set(children, height);
    return height;
  };
  goThrough(rootOf(units), 0);

  const find =
    (isLongest: boolean) =>
    (key: Uint8Array, start: number): Match | undefined => {
      let match: Match | undefined;
      for (let children = rootOf(units), at = start; at < key.length; at++) {
        const next = childrenBy(units, children, key[at]!);
        if (next < 0) break;
        if (endsKey(units, children, key[at]!))
          match = { length: at + 1 - start, text: texts.get(placeOfText(units, next))! };
        if (match && !isLongest) break;
        children = next;
      }
      return match;
    };
  return { shortest: find(false), longest: find(true) };
}

const childrenOf = (place: number, unit: number): number => (place ^ ((unit >>> 10) << ((unit & 0x200) >>> 6))) >>> 0;
const rootOf = (units: Uint32Array): number => childrenOf(0, units[0]!);
const endsKey = (units: Uint32Array, children: number, byte: number): boolean =>
  (units[children ^ byte]! & 0x100) !== 0;
const placeOfText = (units: Uint32Array, children: number): number => units[children]! & 0x7fffffff;

/** Where the children of a node's child lie; -1 where it has none by that byte, as none has by 0. */
function childrenBy(units: Uint32Array, children: number, byte: number): number {
  const place = children ^ byte;
  const unit = units[place]!;
  return byte !== 0 && (unit & 0x800000ff) === byte ? childrenOf(place, unit) : -1;
}

function textReader(bytes: Uint8Array, refuse: (reason: string) => never): (place: number) => string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return (place) => {
    const end = bytes.indexOf(0, place);
    if (end < 0) refuse(`a text at byte ${place} of ${bytes.length} does not end`);
    if (end - place > MOST_TEXT_BYTES) refuse(`a text has ${end - place} bytes; at most ${MOST_TEXT_BYTES} are read`);
    try {
      return decoder.decode(bytes.subarray(place, end));
    } catch {
      return refuse(`the text at byte ${place} is not UTF-8`);
    }
  };
}

/** Replaces the longest keys that there are, from the left on, as SentencePiece and llama.cpp do. */
export function replaceLongest(map: Charsmap): (text: string) => string {
  return (text) => {
    const bytes = encoder.encode(text);
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    let replaced = '';
    let kept = 0;
    for (let at = 0; at < bytes.length;) {
      const match = map.longest(bytes, at);
      if (match) {
        replaced += decoder.decode(bytes.subarray(kept, at)) + match.text;
        kept = at += match.length;
      } else {
        at += charBytes(bytes[at]!);
      }
    }
    return replaced + decoder.decode(bytes.subarray(kept));
  };
}

/** Of a character of UTF-8, by its first byte. */
const charBytes = (first: number): number => (first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);

/**
 * Replaces as huggingface/tokenizers does (normalizers/precompiled.rs), with which models are used: of what is seen as one
 * character the shortest key that it begins with stands for all of it, where it has few bytes. Otherwise its characters are
 * replaced, each for itself.
 */
export function replaceGraphemes(map: Charsmap): (text: string) => string {
  const ofBytes = (bytes: Uint8Array): string | undefined => map.shortest(bytes, 0)?.text;
  const replace = (grapheme: string): string => {
    const bytes = encoder.encode(grapheme);
    const whole = bytes.length <= MOST_GRAPHEME_BYTES ? ofBytes(bytes) : undefined;
    if (whole !== undefined || bytes.length === 1) return whole ?? grapheme;
    return Array.from(grapheme, (char) => ofBytes(encoder.encode(char)) ?? char).join('');
  };
  const keepsAscii = !ASCII.some((char) => replace(char) !== char);
  // At odd places what is between letters and signs of ASCII, each of which is seen as one, and next to which no text is joined.
  const cut = /((?<=[ -~])[ -~]+(?=[ -~]))/;
  return (text) => {
    const parts = keepsAscii ? text.split(cut) : [text];
    return parts.map((part, i) => (i % 2 === 1 ? part : Array.from(graphemes(part), replace).join(''))).join('');
  };
}

/** Those that are printed. */
const ASCII = Array.from({ length: 0x7f - 0x20 }, (_, i) => String.fromCharCode(0x20 + i));

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** What is seen as one character each. V8's segmenter takes time by its whole text at each step, so it gets a little at a time. */
function* graphemes(text: string): Generator<string> {
  for (let at = 0, size = SEGMENTED_CHARS; at < text.length;) {
    const end = at + size + (text.codePointAt(at + size - 1)! > 0xffff ? 1 : 0);
    const segments = Array.from(segmenter.segment(text.slice(at, end)), ({ segment }) => segment);
    if (end < text.length) segments.pop(); // it may go on
    for (const segment of segments) {
      yield segment;
      at += segment.length;
    }
    size = segments.length === 0 ? 2 * size : SEGMENTED_CHARS;
  }
}
