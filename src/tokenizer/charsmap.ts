/** Real maps have 240 kB, keys of up to 12 bytes and replacements of up to 33. */
const MOST_BYTES = 1 << 19;
const MOST_KEY_BYTES = 64;
const MOST_TEXT_BYTES = 256;
/** Longest grapheme, in bytes, that huggingface/tokenizers looks up as a whole. */
const MOST_GRAPHEME_BYTES = 5;
/** Characters per call of the segmenter. */
const SEGMENTED_CHARS = 64;

const encoder = new TextEncoder();

/** A matching key: its length in UTF-8 bytes, and its replacement. */
interface Match {
  length: number;
  text: string;
}

/** Replacements of character sequences before text is cut. */
export interface Charsmap {
  /** The shortest, or longest, key that `bytes` has at `start`. */
  shortest(bytes: Uint8Array, start: number): Match | undefined;
  longest(bytes: Uint8Array, start: number): Match | undefined;
}

/**
 * Reads SentencePiece's precompiled map (src/normalizer.cc): the size of a trie, the trie, and texts that end with 0.
 * The trie is a double array (darts-clone, darts.h) over UTF-8 whose nodes may share children. A 32-bit unit is a child
 * if its bits 0 to 7 equal the byte that leads to it and bit 31 is clear; bits 9 to 31 give the place of its own
 * children, and bit 8 says whether a key ends here: the unit at that place then holds the place of the key's text.
 * `refuse` receives the reason why a map is invalid. The whole map is checked here.
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
  /** Most further bytes of a node's keys, by the place of its children. */
  const heights = new Map<number, number>();
  const goThrough = (children: number, depth: number): number => {
    // A node's children lie within one block of 256.
    if ((children | 0xff) >= units.length) refuse(`it leads beyond the ${units.length} units of its trie`);
    let height = heights.get(children);
    if (depth + (height ?? 0) > MOST_KEY_BYTES) refuse(`it has a cycle, or keys of more than ${MOST_KEY_BYTES} bytes`);
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

/** Place of the children of a node's child; -1 if it has no child for that byte. No child has byte 0. */
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

/** Replaces the longest keys from left to right, as SentencePiece and llama.cpp do. */
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

/** Bytes of a UTF-8 character, by its first byte. */
const charBytes = (first: number): number => (first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);

/**
 * Replaces as huggingface/tokenizers does (normalizers/precompiled.rs), which models are used with: the shortest key
 * that a short grapheme begins with replaces all of it. Otherwise its characters are replaced one by one.
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
  // Odd places hold text between ASCII letters and signs, each of which is a grapheme that no neighbour joins.
  const cut = /((?<=[ -~])[ -~]+(?=[ -~]))/;
  return (text) => {
    const parts = keepsAscii ? text.split(cut) : [text];
    return parts.map((part, i) => (i % 2 === 1 ? part : Array.from(graphemes(part), replace).join(''))).join('');
  };
}

/** Printable ASCII. */
const ASCII = Array.from({ length: 0x7f - 0x20 }, (_, i) => String.fromCharCode(0x20 + i));

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

/**
 * The graphemes of a text. Each step of V8's segmenter takes time in proportion to the whole text, so it receives short
 * parts.
 */
function* graphemes(text: string): Generator<string> {
  for (let at = 0, size = SEGMENTED_CHARS; at < text.length;) {
    const end = at + size + (text.codePointAt(at + size - 1)! > 0xffff ? 1 : 0);
    const segments = Array.from(segmenter.segment(text.slice(at, end)), ({ segment }) => segment);
    if (end < text.length) segments.pop(); // it may continue in the next part
    for (const segment of segments) {
      yield segment;
      at += segment.length;
    }
    size = segments.length === 0 ? 2 * size : SEGMENTED_CHARS;
  }
}
