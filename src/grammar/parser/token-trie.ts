import type { GrammarVocabulary } from '../token-grammar.ts';

/** Nodes of a trie of tokens in depth-first order: a node's subtree spans the nodes from itself to before its `end`. */
export interface TrieNodes {
  readonly count: number;
  /** Bytes from the root to the node: 1 or more. */
  readonly depth: Uint16Array<ArrayBuffer>;
  /** The last of these bytes. */
  readonly byte: Uint8Array<ArrayBuffer>;
  /** End of the subtree. */
  readonly end: Int32Array<ArrayBuffer>;
  /** The token whose bytes end here, the first if several have the same bytes; -1: none. */
  readonly token: Int32Array<ArrayBuffer>;
  /** Its number in the whole trie. */
  readonly node: Int32Array<ArrayBuffer>;
  /** A bit for each group of bytes (`GROUP_OF`) that occurs below the node. */
  readonly groupsBelow: Int32Array<ArrayBuffer>;
}

/** Tokens that consist of plain characters of a JSON string (`PLAIN_NEXT`), and the trie of all other tokens. */
export interface Slice {
  /** Most characters of its tokens; a character cut off at the end counts too. */
  readonly length: number;
  /** A bit for each of its tokens. */
  readonly bits: Uint32Array<ArrayBuffer>;
  readonly others: TrieNodes;
}

/** Lengths of the slices, in characters. */
const SLICE_LENGTHS = [Infinity, 30, 10];
/** The group of each byte, one of 32: punctuation that grammars distinguish has its own groups. */
export const GROUP_OF = byteGroups();
/** In `plainBelow`: some tokens have other characters. */
export const NOT_PLAIN = 255;
/** Smaller groups of entries are sorted by comparing them. */
const SMALL_GROUP = 16;
/** Longer tokens are left out of all masks. */
const LONGEST_TOKEN = 0xfffe;

/**
 * The vocabulary of a model as a trie. It also contains each control token under a name, `controlBytes`, which no text
 * contains.
 */
export class TokenTrie {
  /** Tokens of the vocabulary, and bits of a mask. */
  readonly vocabSize: number;
  /** 32-bit words of a mask. */
  readonly words: number;
  readonly eosIds: readonly number[];
  /** Bytes of the longest token. */
  readonly longest: number;
  readonly nodes: TrieNodes;
  /** The parent of each node; -1 at depth 1. */
  readonly parent: Int32Array<ArrayBuffer>;
  /** The longest first. */
  readonly slices: readonly Slice[];
  /** Most plain characters of the tokens below each node; `NOT_PLAIN` if some have other characters. */
  readonly plainBelow: Uint8Array<ArrayBuffer>;
  /** Buffer for the tokens that a walk finds. */
  readonly found: Int32Array<ArrayBuffer>;
  /** Characters of each token if all are plain; Infinity for other tokens. */
  readonly #plainLengths: Float32Array;
  readonly #plainBits = new Map<number, Uint32Array<ArrayBuffer>>();
  /** Pairs of a token and the first one with the same bytes. */
  readonly #twins: readonly (readonly [number, number])[];
  readonly #entries: Entries;
  /** The entry of each control token's name. */
  readonly #nameOf = new Map<number, number>();

  constructor(vocabulary: GrammarVocabulary) {
    this.vocabSize = vocabulary.vocabSize;
    this.words = Math.ceil(vocabulary.vocabSize / 32);
    this.eosIds = vocabulary.eosIds;
    const entries = entriesOf(vocabulary);
    this.#entries = entries;
    for (let i = entries.texts; i < entries.tokens.length; i++) this.#nameOf.set(entries.tokens[i]!, i);
    const order = sorted(entries);
    const { nodes, parent, twins, longest } = buildNodes(entries, order);
    this.nodes = nodes;
    this.parent = parent;
    this.#twins = twins;
    this.found = new Int32Array(nodes.count);
    this.longest = longest;
    this.#plainLengths = plainLengths(entries, this.words * 32);
    this.plainBelow = plainBelow(nodes, parent);
    this.slices = SLICE_LENGTHS.map((length) => ({
      length,
      bits: this.plainBits(length),
      others: nodesBut(nodes, parent, this.plainBits(length)),
    }));
  }

  /** The bytes of a token; none for a control token or an unknown token. */
  textOf(token: number): Uint8Array {
    return token < this.#entries.texts ? this.#bytesOf(token) : NO_BYTES;
  }

  /** The name of a control token; none for other tokens. */
  controlNameOf(token: number): Uint8Array {
    const entry = this.#nameOf.get(token);
    return entry === undefined ? NO_BYTES : this.#bytesOf(entry);
  }

  #bytesOf(entry: number): Uint8Array {
    const { bytes, starts } = this.#entries;
    return bytes.subarray(starts[entry], starts[entry + 1]);
  }

  /** A bit for each token of plain characters only, `length` at most. */
  plainBits(length: number): Uint32Array<ArrayBuffer> {
    const kept = Math.min(length, this.longest);
    let bits = this.#plainBits.get(kept);
    if (!bits) {
      bits = new Uint32Array(this.words);
      for (let token = 0; token < this.vocabSize; token++) {
        if (this.#isPlain(token, kept)) bits[token >> 5]! |= 1 << (token & 31);
      }
      this.#plainBits.set(kept, bits);
    }
    return bits;
  }

  #isPlain(token: number, length: number): boolean {
    const characters = this.#plainLengths[token]!;
    return characters !== Infinity && characters <= length;
  }

  /** Allows in a mask all tokens with the same bytes as an allowed token. */
  addTwins(mask: Uint32Array): void {
    for (const [token, first] of this.#twins) {
      if ((mask[first >> 5]! >>> (first & 31)) & 1) mask[token >> 5]! |= 1 << (token & 31);
    }
  }
}

const NO_BYTES = new Uint8Array(0);

/** The bytes of a control token in a grammar, which are not UTF-8. */
export const controlBytes = (token: number): Uint8Array =>
  Uint8Array.of(0xff, ...new TextEncoder().encode(`[${token}]`));

/** Byte strings of tokens: the tokens' texts by their numbers, then names of control tokens. */
interface Entries {
  /** Number of texts. */
  texts: number;
  bytes: Uint8Array;
  /** The start of each entry, and the end of the last. */
  starts: Uint32Array;
  tokens: Int32Array;
}

function entriesOf({ vocabSize, bytes, offsets, controlTokens }: GrammarVocabulary): Entries {
  const texts = Math.min(offsets.length - 1, vocabSize);
  const named = [...new Set(controlTokens.values())].filter((token) => token < vocabSize);
  const names = named.map(controlBytes);
  const textEnd = offsets[texts] ?? 0;
  const all = new Uint8Array(textEnd + names.reduce((sum, { length }) => sum + length, 0));
  all.set(bytes.subarray(0, textEnd));
  const starts = new Uint32Array(texts + names.length + 1);
  starts.set(offsets.subarray(0, texts + 1));
  names.forEach((name, i) => {
    all.set(name, starts[texts + i]);
    starts[texts + i + 1] = starts[texts + i]! + name.length;
  });
  const tokens = new Int32Array(texts + names.length);
  for (let i = 0; i < texts; i++) tokens[i] = i;
  tokens.set(named, texts);
  return { texts, bytes: all, starts, tokens };
}

/** The entries that are not empty, sorted by their bytes, then by their numbers. */
function sorted({ bytes, starts, tokens }: Entries): Int32Array {
  let order = new Int32Array(tokens.length);
  let count = 0;
  for (let entry = 0; entry < tokens.length; entry++) {
    const length = starts[entry + 1]! - starts[entry]!;
    if (length > 0 && length <= LONGEST_TOKEN) order[count++] = entry;
  }
  order = order.subarray(0, count);

  const isBefore = (a: number, b: number, depth: number): boolean => {
    const endA = starts[a + 1]!;
    const endB = starts[b + 1]!;
    let i = starts[a]! + depth;
    for (let j = starts[b]! + depth; i < endA && j < endB; i++, j++) {
      if (bytes[i] !== bytes[j]) return bytes[i]! < bytes[j]!;
    }
    const lengths = endA - starts[a]! - (endB - starts[b]!);
    return lengths === 0 ? a < b : lengths < 0;
  };

  // Radix sort, the first byte first: each group on the stack has its first `depth` bytes in common.
  const scratch = new Int32Array(count);
  const next = new Int32Array(258);
  const stack = [0, count, 0];
  while (stack.length > 0) {
    const depth = stack.pop()!;
    const to = stack.pop()!;
    const from = stack.pop()!;
    if (to - from < SMALL_GROUP) {
      for (let i = from + 1; i < to; i++) {
        const entry = order[i]!;
        let place = i;
        for (; place > from && isBefore(entry, order[place - 1]!, depth); place--) order[place] = order[place - 1]!;
        order[place] = entry;
      }
      continue;
    }
    // The key of an entry that has ended is 0, so that it comes first.
    const keyOf = (entry: number): number => {
      const at = starts[entry]! + depth;
      return at === starts[entry + 1] ? 0 : bytes[at]! + 1;
    };
    next.fill(0);
    for (let i = from; i < to; i++) next[keyOf(order[i]!) + 1]!++;
    for (let key = 1; key < 258; key++) next[key]! += next[key - 1]!;
    for (let i = from; i < to; i++) scratch[from + next[keyOf(order[i]!)]!++] = order[i]!;
    order.set(scratch.subarray(from, to), from);
    // `next` has become the ends of the groups.
    for (let key = 1; key < 257; key++) {
      if (next[key]! - next[key - 1]! > 1) stack.push(from + next[key - 1]!, from + next[key]!, depth + 1);
    }
  }
  return order;
}

function buildNodes(
  { bytes, starts, tokens }: Entries,
  order: Int32Array,
): { nodes: TrieNodes; parent: Int32Array<ArrayBuffer>; twins: [number, number][]; longest: number } {
  // Bytes that an entry shares with the entry before; its other bytes are new nodes.
  const common = new Uint16Array(order.length);
  let count = 0;
  let longest = 0;
  for (let i = 0; i < order.length; i++) {
    const start = starts[order[i]!]!;
    const length = starts[order[i]! + 1]! - start;
    if (i > 0) {
      const startBefore = starts[order[i - 1]!]!;
      const most = Math.min(length, starts[order[i - 1]! + 1]! - startBefore);
      let same = 0;
      while (same < most && bytes[start + same] === bytes[startBefore + same]) same++;
      common[i] = same;
    }
    count += length - common[i]!;
    longest = Math.max(longest, length);
  }

  const nodes = emptyNodes(count);
  const { depth: depths, byte, end, token } = nodes;
  const parent = new Int32Array(count);
  const twins: [number, number][] = [];
  const path = new Int32Array(longest + 1);
  path[0] = -1;
  let node = 0;
  let depthBefore = 0;
  for (let i = 0; i < order.length; i++) {
    const entry = order[i]!;
    const start = starts[entry]!;
    const length = starts[entry + 1]! - start;
    for (let depth = depthBefore; depth > common[i]!; depth--) end[path[depth]!] = node;
    for (let depth = common[i]! + 1; depth <= length; depth++) {
      depths[node] = depth;
      byte[node] = bytes[start + depth - 1]!;
      token[node] = -1;
      parent[node] = path[depth - 1]!;
      nodes.node[node] = node;
      path[depth] = node++;
    }
    const last = path[length]!;
    if (token[last] === -1) token[last] = tokens[entry]!;
    else twins.push([tokens[entry]!, token[last]!]);
    depthBefore = length;
  }
  for (let depth = depthBefore; depth > 0; depth--) end[path[depth]!] = node;
  findGroups(nodes);
  return { nodes, parent, twins, longest };
}

function byteGroups(): Uint8Array {
  const groups = new Uint8Array(256).fill(0); // controls and bytes that are not ASCII
  const fill = (first: string, last: string, group: number): void =>
    void groups.fill(group, first.charCodeAt(0), last.charCodeAt(0) + 1);
  fill('a', 'z', 1);
  fill('A', 'Z', 2);
  fill('0', '9', 3);
  Array.from(' <>[]{}"\\|:,=/#`*()\'._-+&!?;@$%^~').forEach((char, i) => {
    groups[char.charCodeAt(0)] = Math.min(4 + i, 31);
  });
  return groups;
}

/** Finds `groupsBelow`: from the last node to the first, children come just before their parent. */
function findGroups({ count, depth, byte, groupsBelow }: TrieNodes): void {
  /** By depth, the groups of the nodes visited since the last node above them. */
  const met: number[] = [];
  for (let node = count - 1; node >= 0; node--) {
    const at = depth[node]!;
    groupsBelow[node] = met[at + 1] ?? 0;
    met[at + 1] = 0;
    met[at] = (met[at] ?? 0) | groupsBelow[node]! | (1 << GROUP_OF[byte[node]!]!);
  }
}

function emptyNodes(count: number): TrieNodes {
  return {
    count,
    depth: new Uint16Array(count),
    byte: new Uint8Array(count),
    end: new Int32Array(count),
    token: new Int32Array(count),
    node: new Int32Array(count),
    groupsBelow: new Int32Array(count),
  };
}

/** States of reading plain characters of a JSON string byte by byte; in the first, no character has begun. */
export const PLAIN_STATES = 10;
/** The state after a byte, by state and byte; -1 if no plain character continues with it. */
export const PLAIN_NEXT = plainCharacters();

/**
 * The transitions of plain characters: all of UTF-8 except the quote, the backslash, controls, DEL and the line ends
 * U+2028 and U+2029, which `.` in patterns does not match.
 */
function plainCharacters(): Int8Array {
  const next = new Int8Array(PLAIN_STATES * 256).fill(-1);
  const allow = (state: number, first: number, last: number, then: number): void => {
    next.fill(then, state * 256 + first, state * 256 + last + 1);
  };
  allow(0, 0x20, 0x7e, 0);
  for (const excluded of '"\\') next[excluded.charCodeAt(0)] = -1;
  // In states 1 to 3, that number of bytes of the character are left; the other states follow lead bytes that restrict
  // the next byte.
  allow(0, 0xc2, 0xdf, 1);
  allow(0, 0xe0, 0xef, 2);
  allow(0, 0xf0, 0xf3, 3);
  for (let more = 1; more <= 3; more++) allow(more, 0x80, 0xbf, more - 1);
  allow(0, 0xe0, 0xe0, 4);
  allow(4, 0xa0, 0xbf, 1);
  allow(0, 0xed, 0xed, 5);
  allow(5, 0x80, 0x9f, 1);
  allow(0, 0xf0, 0xf0, 6);
  allow(6, 0x90, 0xbf, 2);
  allow(0, 0xf4, 0xf4, 7);
  allow(7, 0x80, 0x8f, 2);
  allow(0, 0xe2, 0xe2, 8);
  allow(8, 0x81, 0xbf, 1);
  allow(8, 0x80, 0x80, 9);
  allow(9, 0x80, 0xbf, 0);
  next.fill(-1, 9 * 256 + 0xa8, 9 * 256 + 0xaa);
  return next;
}

function plainLengths({ texts, bytes, starts }: Entries, tokens: number): Float32Array {
  const lengths = new Float32Array(tokens).fill(Infinity);
  for (let token = 0; token < texts; token++) {
    let state = 0;
    let characters = 0;
    for (let i = starts[token]!; i < starts[token + 1]! && state >= 0; i++) {
      if (state === 0) characters++;
      state = PLAIN_NEXT[state * 256 + bytes[i]!]!;
    }
    if (state >= 0 && characters > 0) lengths[token] = characters;
  }
  return lengths;
}

function plainBelow({ count, byte }: TrieNodes, parent: Int32Array): Uint8Array<ArrayBuffer> {
  // The state of reading the character that the node's byte belongs to; -1: not a plain character.
  const state = new Int8Array(count);
  /** 1 if a character begins at the node; 1 if it cuts off the character before. */
  const begins = new Uint8Array(count);
  const isCut = new Uint8Array(count);
  for (let node = 0; node < count; node++) {
    const before = parent[node]! < 0 ? 0 : Math.max(state[parent[node]!]!, 0);
    state[node] = PLAIN_NEXT[before * 256 + byte[node]!]!;
    if (before === 0) begins[node] = 1;
    else if (state[node]! < 0) {
      state[node] = PLAIN_NEXT[byte[node]!]!;
      isCut[node] = 1;
    }
  }
  const below = new Uint8Array(count);
  for (let node = count - 1; node >= 0; node--) {
    const above = parent[node]!;
    if (above < 0) continue;
    const isPlain = state[node]! >= 0 && isCut[node] === 0 && below[node] !== NOT_PLAIN;
    const characters = isPlain ? Math.min(below[node]! + begins[node]!, NOT_PLAIN) : NOT_PLAIN;
    below[above] = Math.max(below[above]!, characters);
  }
  for (let node = 0; node < count; node++) if (state[node]! > 0) below[node] = NOT_PLAIN;
  return below;
}

/** The nodes of all tokens that are not in `bits`, with the nodes above them. */
function nodesBut({ count, depth, byte, end, token }: TrieNodes, parent: Int32Array, bits: Uint32Array): TrieNodes {
  const isMarked = new Uint8Array(count);
  for (let node = count - 1; node >= 0; node--) {
    const id = token[node]!;
    if (isMarked[node] || (id !== -1 && ((bits[id >> 5]! >>> (id & 31)) & 1) === 0)) {
      isMarked[node] = 1;
      if (parent[node]! >= 0) isMarked[parent[node]!] = 1;
    }
  }
  /** Number of marked nodes before each node. */
  const before = new Int32Array(count + 1);
  for (let node = 0; node < count; node++) before[node + 1] = before[node]! + isMarked[node]!;
  const marked = emptyNodes(before[count]!);
  for (let node = 0, i = 0; node < count; node++) {
    if (isMarked[node] === 0) continue;
    marked.depth[i] = depth[node]!;
    marked.byte[i] = byte[node]!;
    marked.end[i] = before[end[node]!]!;
    marked.token[i] = token[node]!;
    marked.node[i] = node;
    i++;
  }
  findGroups(marked);
  return marked;
}
