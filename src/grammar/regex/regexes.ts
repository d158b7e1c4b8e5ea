import { Fuel } from '../limits.ts';
import { mergedComplements, mergedHeads, mergedRepeats, mergedTails, withoutSubsumed } from './alternatives.ts';
import { type ByteClasses, ByteSets, type Range } from './byte-sets.ts';
import { byteClasses, isEmptyLanguage, nextClasses } from './emptiness.ts';
import {
  AND,
  BYTES,
  CONCAT,
  EMPTY,
  IntMap,
  IS_NULLABLE,
  IS_TEXT,
  Nodes,
  NOT,
  NOTHING,
  OR,
  REPEAT,
  UNLIMITED,
} from './nodes.ts';
import type { Regex, RegexAlgebra } from './regex-algebra.ts';
import { isWithin } from './subsets.ts';
import { type Utf8Branch, utf8Branches } from './utf8.ts';

export { byteClasses, type ByteClasses, type Range };

export type { Regex };

const DEFAULT_FUEL = 50_000_000;
/** Higher counts mean no limit: each repetition takes at least a byte, and no answer is that long. */
const MOST_REPEATED = 1 << 28;
/** An OR with at least this number of parts that begin with a byte has a dispatch table. */
const WIDE = 16;
/** Most elements of all such tables; beyond that, all are dropped. */
const MOST_DISPATCHED = 1 << 21;
/** Deepest nesting of merges of common heads of alternatives. */
const DEEPEST_MERGE = 100;
/** Most cached derivatives; beyond that, the cache is cleared. */
const MOST_KEPT = 1 << 18;
/** A run of at least this number of equal parts of a sequence becomes a repetition. */
const LONG_RUN = 8;
const ENCODER = new TextEncoder();

/**
 * For a wide OR: the rests after each first byte, at `starts[byte]` to `starts[byte + 1]`, and the parts not listed
 * there.
 */
interface Dispatch {
  starts: Int32Array;
  rests: Int32Array;
  others: readonly Regex[];
}

/**
 * Regular expressions over bytes, with intersection and complement, and their derivatives by bytes. Expressions are
 * simplified as they are built, so that an expression has few derivatives. Every method may throw a `GrammarError` if
 * `fuel` runs out or memory would exceed a bound.
 */
export class Regexes implements RegexAlgebra {
  /** Matches no string. */
  readonly nothing: Regex;
  /** Matches the empty string only. */
  readonly empty: Regex;
  /** Any byte string. */
  readonly anyBytes: Regex;
  /** One Unicode scalar value in UTF-8. */
  readonly anyChar: Regex;
  /** Any UTF-8. */
  readonly anyText: Regex;
  /** Pays for each step of a derivative and each new node. It may be replaced at any time. */
  fuel: Fuel;
  /** For this folder only. */
  readonly nodes = new Nodes();
  /** For this folder only. */
  readonly byteSets = new ByteSets();
  /** Recognizes some intersections that match something, which saves a search. */
  seesMatch: (regex: Regex) => boolean = () => false;
  /** Keyed by `node * 256 + byte`. */
  readonly #derivatives = new IntMap();
  readonly #dispatches = new Map<Regex, Dispatch>();
  #dispatched = 0;
  readonly #ofByte: Regex[] = [];
  readonly #chars = new Map<string, Regex>();
  /** The same by list object, for lists that are slow to compare. */
  readonly #charsOfList = new WeakMap<readonly Range[], Regex>();
  /** Results of `isEmptyLanguage` for nodes with AND or NOT. */
  readonly #isEmpty = new Map<Regex, boolean>();
  #mergeDepth = 0;

  constructor(fuel = new Fuel(DEFAULT_FUEL, 'the regular expression')) {
    this.fuel = fuel;
    this.nothing = this.nodes.node(NOTHING, 0);
    this.empty = this.nodes.node(EMPTY, 0);
    this.anyBytes = this.not(this.nothing);
    this.anyChar = this.chars([[0, 0x10ffff]]);
    this.anyText = this.repeat(this.anyChar, 0, Infinity);
  }

  /** Number of different expressions so far, derivatives included. */
  get size(): number {
    return this.nodes.count;
  }

  /** One byte of these ranges. */
  bytes(ranges: readonly Range[]): Regex {
    return this.#set(this.byteSets.of(ranges));
  }

  #set(set: number): Regex {
    if (set === this.byteSets.none) return this.nothing;
    const node = this.#node(BYTES, set);
    if (this.byteSets.isAscii(set)) this.#markText(node);
    return node;
  }

  /** This text in UTF-8. */
  text(text: string): Regex {
    const regex = this.literalBytes(ENCODER.encode(text));
    this.#markText(regex);
    return regex;
  }

  literalBytes(bytes: Uint8Array): Regex {
    let regex = this.empty;
    for (let i = bytes.length - 1; i >= 0; i--) {
      const byte = (this.#ofByte[bytes[i]!] ??= this.#set(this.byteSets.ofByte(bytes[i]!)));
      regex = regex === this.empty ? byte : this.#node(CONCAT, byte, regex);
    }
    return regex;
  }

  /** One code point of these ranges, in UTF-8; surrogates, which UTF-8 cannot write, are left out. */
  chars(ranges: readonly Range[]): Regex {
    const known = this.#charsOfList.get(ranges);
    if (known !== undefined) return known;
    const key = ranges.join();
    let regex = this.#chars.get(key);
    if (regex === undefined) {
      regex = this.#branches(utf8Branches(ranges));
      this.#markText(regex);
      this.#chars.set(key, regex);
    }
    if (ranges.length > 16) this.#charsOfList.set(ranges, regex);
    return regex;
  }

  #branches(branches: readonly Utf8Branch[]): Regex {
    /** The first bytes before each continuation, as one set. */
    const bytesBefore = new Map<Regex, Range[]>();
    for (const { bytes, rest } of branches) {
      const regex = rest.length === 0 ? this.empty : this.#branches(rest);
      const before = bytesBefore.get(regex);
      if (before) before.push(...bytes);
      else bytesBefore.set(regex, [...bytes]);
    }
    return this.anyOf([...bytesBefore].map(([rest, bytes]) => this.concat(this.bytes(bytes), rest)));
  }

  /** The concatenation of `parts`. */
  concat(...parts: readonly Regex[]): Regex {
    return this.sequence(parts);
  }

  /** `concat` for a list of any length. */
  sequence(parts: readonly Regex[]): Regex {
    let regex = this.empty;
    for (let i = parts.length - 1; i >= 0; i--) {
      const part = parts[i]!;
      let run = 1;
      while (run <= i && parts[i - run] === part) run++;
      if (run < LONG_RUN) regex = this.#join(part, regex);
      else {
        regex = this.#join(this.repeat(part, run, run), regex);
        i -= run - 1;
      }
    }
    return regex;
  }

  #join(first: Regex, second: Regex): Regex {
    const { nodes } = this;
    if (first === this.empty) return second;
    if (second === this.empty) return first;
    if (first === this.nothing || second === this.nothing) return this.nothing;
    if (nodes.kind[first] !== CONCAT) return this.#prepend(first, second);
    const isText = (nodes.facts[first]! & nodes.facts[second]! & IS_TEXT) !== 0;
    const heads: Regex[] = [];
    let rest = first;
    for (; nodes.kind[rest] === CONCAT; rest = nodes.second[rest]!) heads.push(nodes.first[rest]!);
    this.fuel.use(1 + (heads.length >> 2));
    let regex = this.#prepend(rest, second);
    for (let i = heads.length - 1; i >= 0; i--) regex = this.#prepend(heads[i]!, regex);
    if (isText) this.#markText(regex);
    return regex;
  }

  /** `head`, then `tail`. `head` is not a CONCAT or EMPTY, and neither is NOTHING. */
  #prepend(head: Regex, tail: Regex): Regex {
    const { nodes } = this;
    while (tail !== this.empty) {
      const isChain = nodes.kind[tail] === CONCAT;
      const next = isChain ? nodes.first[tail]! : tail;
      const rest = isChain ? nodes.second[tail]! : this.empty;
      const merged = this.#mergedNeighbours(head, next);
      if (merged === undefined) return this.#node(CONCAT, head, tail);
      if (merged === next) return tail;
      head = merged;
      tail = rest;
      this.fuel.use(1);
    }
    return head;
  }

  /** `a` then `b` as one repetition, if possible: x{1,2} x{3}, or a? a*. */
  #mergedNeighbours(a: Regex, b: Regex): Regex | undefined {
    const { nodes } = this;
    const isRepeatA = nodes.kind[a] === REPEAT;
    const isRepeatB = nodes.kind[b] === REPEAT;
    if (!isRepeatA && !isRepeatB && (a !== b || nodes.kind[a] === BYTES)) return undefined;
    const bodyA = isRepeatA ? nodes.first[a]! : a;
    const bodyB = isRepeatB ? nodes.first[b]! : b;
    if (bodyA === bodyB || a === bodyB || b === bodyA) {
      const body = a === bodyB ? a : bodyA === bodyB ? bodyA : b;
      const [leastA, mostA] = isRepeatA && a !== body ? nodes.countsOf(a) : [1, 1];
      const [leastB, mostB] = isRepeatB && b !== body ? nodes.countsOf(b) : [1, 1];
      return this.repeat(body, leastA + leastB, mostA + mostB);
    }
    if (isRepeatB && this.isNullable(a) && this.#isStar(b) && isWithin(this, a, b)) return b;
    if (isRepeatA && this.isNullable(b) && this.#isStar(a) && isWithin(this, b, a)) return a;
    return undefined;
  }

  #isStar(regex: Regex): boolean {
    const { nodes } = this;
    return nodes.kind[regex] === REPEAT && nodes.second[regex] === 0 && nodes.third[regex] === UNLIMITED;
  }

  /**
   * `regex` `least` to `most` times; `most` may be Infinity. The repetition is not expanded: large counts cost nothing.
   */
  repeat(regex: Regex, least: number, most: number): Regex {
    const { nodes } = this;
    if (most < least) return this.nothing;
    if (most === 0 || regex === this.empty) return this.empty;
    if (regex === this.nothing) return least === 0 ? this.empty : this.nothing;
    if (this.isNullable(regex)) least = 0;
    if (least === 1 && most === 1) return regex;
    if (nodes.kind[regex] === REPEAT) {
      const [innerLeast, innerMost] = nodes.countsOf(regex);
      // The counts of n and of n + 1 iterations leave no gap.
      const isDense =
        least === most || (least === 0 ? innerLeast <= 1 : least * (innerMost - innerLeast) >= innerLeast - 1);
      if (isDense) return this.repeat(nodes.first[regex]!, least * innerLeast, most * innerMost);
    }
    if (most === Infinity && least <= 1) {
      const body = this.#bodyOfStar(regex);
      if (body !== regex) return this.repeat(body, least, most);
    }
    const isText = (nodes.facts[regex]! & IS_TEXT) !== 0;
    const limit = most >= MOST_REPEATED ? UNLIMITED : most;
    const node = this.#node(REPEAT, regex, Math.min(least, MOST_REPEATED), limit);
    if (isText) this.#markText(node);
    return node;
  }

  /** (x?|y*)* is (x|y)*, and (x* y*)* too. */
  #bodyOfStar(regex: Regex): Regex {
    const { nodes } = this;
    const parts: Regex[] = [];
    const waiting = [regex];
    let isSame = true;
    for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
      const kind = nodes.kind[part];
      if (kind === OR) for (const each of nodes.partsOf(part)) waiting.push(each);
      else if (kind === REPEAT && nodes.second[part]! <= 1) {
        waiting.push(nodes.first[part]!);
        isSame = false;
      } else if (kind === CONCAT && this.isNullable(part)) {
        waiting.push(nodes.second[part]!, nodes.first[part]!);
        isSame = false;
      } else parts.push(part);
    }
    return isSame ? regex : this.anyOf(parts);
  }

  /** The alternation of `parts`. */
  or(...parts: readonly Regex[]): Regex {
    return this.anyOf(parts);
  }

  /** `or` for a list of any length. */
  anyOf(given: readonly Regex[]): Regex {
    const { nodes } = this;
    this.fuel.use(1 + (given.length >> 2));
    const single = this.#onlyOne(given);
    if (single >= 0) return single;
    let isOptional = false;
    const flat: Regex[] = [];
    for (let part of given) {
      if (part === this.nothing) continue;
      if (part === this.anyBytes) return part;
      if (part === this.empty) {
        isOptional = true;
        continue;
      }
      if (nodes.kind[part] === REPEAT && nodes.second[part] === 0 && nodes.third[part] === 1) {
        isOptional = true;
        part = nodes.first[part]!;
      }
      if (nodes.kind[part] === OR) for (const each of nodes.partsOf(part)) flat.push(each);
      else flat.push(part);
    }
    let parts: Regex[] = [];
    let bytes = -1;
    for (const part of flat) {
      if (nodes.kind[part] !== BYTES) parts.push(part);
      else bytes = bytes < 0 ? nodes.first[part]! : this.byteSets.union(bytes, nodes.first[part]!);
    }
    if (bytes >= 0) parts.push(this.#set(bytes));
    parts = ascending(parts);
    if (parts.length > 1) parts = withoutSubsumed(this, parts);
    if (parts.length > 1) {
      const changed = this.#merged(parts);
      if (changed) return this.anyOf(isOptional ? [...changed, this.empty] : changed);
    }
    const only = parts[0];
    if (only === undefined) return isOptional ? this.empty : this.nothing;
    const regex = parts.length === 1 ? only : this.#list(OR, parts);
    return isOptional && !this.isNullable(regex) ? this.repeat(regex, 0, 1) : regex;
  }

  /** Fewer parts that match the same strings, if any: each merge reduces their number. */
  #merged(parts: readonly Regex[]): Regex[] | undefined {
    const merged = mergedComplements(this, parts) ?? mergedTails(this, parts);
    if (merged || this.#mergeDepth >= DEEPEST_MERGE) return merged ?? mergedRepeats(this, parts);
    this.#mergeDepth++;
    try {
      return mergedHeads(this, parts) ?? mergedRepeats(this, parts);
    } finally {
      this.#mergeDepth--;
    }
  }

  /** The only part other than NOTHING; NOTHING if there is none, -1 if there are several. */
  #onlyOne(parts: readonly Regex[]): Regex {
    let only = this.nothing;
    for (const part of parts) {
      if (part === this.nothing || part === only) continue;
      if (only !== this.nothing) return -1;
      only = part;
    }
    return only;
  }

  /** The intersection of `parts`. */
  and(...parts: readonly Regex[]): Regex {
    return this.allOf(parts);
  }

  /** `and` for a list of any length. */
  allOf(given: readonly Regex[]): Regex {
    const { nodes } = this;
    this.fuel.use(1 + (given.length >> 2));
    if (given.includes(this.nothing)) return this.nothing;
    const flat: Regex[] = [];
    for (const part of given) {
      if (nodes.kind[part] === AND) for (const each of nodes.partsOf(part)) flat.push(each);
      else flat.push(part);
    }
    let parts: Regex[] = [];
    const excluded: Regex[] = [];
    let bytes = -1;
    for (const part of flat) {
      if (nodes.kind[part] === NOT) excluded.push(nodes.first[part]!);
      else if (nodes.kind[part] === BYTES) {
        bytes = bytes < 0 ? nodes.first[part]! : this.byteSets.intersection(bytes, nodes.first[part]!);
      } else if (part !== this.empty) parts.push(part);
    }
    if (flat.includes(this.empty)) return given.every((part) => this.isNullable(part)) ? this.empty : this.nothing;
    if (bytes === this.byteSets.none) return this.nothing;
    if (bytes >= 0) parts.push(this.#set(bytes));
    parts = ascending(parts);
    const refused = this.anyOf(excluded);
    if (refused === this.anyBytes) return this.nothing;
    const refusedParts = nodes.kind[refused] === OR ? nodes.partsOf(refused) : [refused];
    for (const part of parts) {
      const alternatives = nodes.kind[part] === OR ? nodes.partsOf(part) : [part];
      if (isSublist(alternatives, refusedParts)) return this.nothing;
    }

    // A part that includes another part is redundant.
    const repeats = parts.filter((part) => nodes.kind[part] === REPEAT && nodes.second[part]! <= 1);
    for (const repeat of repeats) {
      if (parts.some((part) => part !== repeat && isWithin(this, part, repeat))) {
        parts = parts.filter((part) => part !== repeat);
      }
    }
    const isShort = refused === this.empty && !parts.every((part) => this.isNullable(part));
    if (refused !== this.nothing && !isShort) parts.push(this.not(refused));
    parts = ascending(parts);
    const only = parts[0];
    if (only === undefined) return this.anyBytes;
    if (parts.length === 1) return only;
    const isText = parts.some((part) => (nodes.facts[part]! & IS_TEXT) !== 0);
    const node = this.#list(AND, parts);
    if (isText) this.#markText(node);
    return node;
  }

  /** All byte strings that `regex` does not match; intersect it with text before use. */
  not(regex: Regex): Regex {
    return this.nodes.kind[regex] === NOT ? this.nodes.first[regex]! : this.#node(NOT, regex);
  }

  /** `regex` without the empty string. */
  withoutEmpty(regex: Regex): Regex {
    const { nodes } = this;
    if (!this.isNullable(regex)) return regex;
    switch (nodes.kind[regex]!) {
      case EMPTY:
        return this.nothing;
      case OR:
        return this.anyOf([...nodes.partsOf(regex)].map((part) => this.withoutEmpty(part)));
      case REPEAT: {
        const body = nodes.first[regex]!;
        if (!this.isNullable(body)) return this.repeat(body, 1, nodes.countsOf(regex)[1]);
        break;
      }
    }
    return this.and(regex, this.not(this.empty));
  }

  isNullable(regex: Regex): boolean {
    return (this.nodes.facts[regex]! & IS_NULLABLE) !== 0;
  }

  /** A lower bound on the bytes of its shortest match. */
  shortest(regex: Regex): number {
    return this.nodes.shortest[regex]!;
  }

  /** The derivative of `regex` by `byte`, cached. */
  derivative(regex: Regex, byte: number): Regex {
    const known = this.#known(regex, byte);
    if (known >= 0) return known;
    if (this.#derivatives.size > MOST_KEPT) this.#derivatives.clear();
    // An explicit stack: expressions may be nested deeper than calls.
    const waiting = [regex];
    for (let node = waiting.at(-1); node !== undefined; node = waiting.at(-1)) {
      if (this.#known(node, byte) >= 0) {
        waiting.pop();
        continue;
      }
      const before = waiting.length;
      this.#pushUnknown(node, byte, waiting);
      if (waiting.length > before) continue;
      waiting.pop();
      this.fuel.use(1);
      const result = this.#combined(node, byte);
      if (byte < 0x80 && (this.nodes.facts[node]! & IS_TEXT) !== 0) this.#markText(result);
      this.#derivatives.set(node * 256 + byte, result);
    }
    return this.#known(regex, byte);
  }

  /** The derivative if it is cached or trivial, otherwise -1. */
  #known(regex: Regex, byte: number): Regex {
    const { nodes } = this;
    switch (nodes.kind[regex]!) {
      case NOTHING:
      case EMPTY:
        return this.nothing;
      case BYTES:
        return this.byteSets.has(nodes.first[regex]!, byte) ? this.empty : this.nothing;
      case CONCAT: {
        const head = nodes.first[regex]!;
        if (nodes.kind[head] !== BYTES) break;
        return this.byteSets.has(nodes.first[head]!, byte) ? nodes.second[regex]! : this.nothing;
      }
    }
    return this.#derivatives.get(regex * 256 + byte);
  }

  /** Pushes the parts whose derivatives are needed and not known. */
  #pushUnknown(regex: Regex, byte: number, waiting: Regex[]): void {
    const { nodes } = this;
    const first = nodes.first[regex]!;
    let parts: ArrayLike<Regex>;
    switch (nodes.kind[regex]!) {
      case CONCAT:
        parts = this.isNullable(first) ? [first, nodes.second[regex]!] : [first];
        break;
      case OR:
        parts = this.#dispatchOf(regex)?.others ?? nodes.partsOf(regex);
        break;
      case AND:
        parts = nodes.partsOf(regex);
        break;
      default: // NOT, REPEAT
        parts = [first];
    }
    for (let i = 0; i < parts.length; i++) if (this.#known(parts[i]!, byte) < 0) waiting.push(parts[i]!);
  }

  /** The derivative, from the known derivatives of the parts. */
  #combined(regex: Regex, byte: number): Regex {
    const { nodes } = this;
    const first = nodes.first[regex]!;
    switch (nodes.kind[regex]!) {
      case CONCAT: {
        const tail = nodes.second[regex]!;
        const joined = this.#join(this.#known(first, byte), tail);
        return this.isNullable(first) ? this.anyOf([joined, this.#known(tail, byte)]) : joined;
      }
      case OR: {
        const results: Regex[] = [];
        const dispatch = this.#dispatchOf(regex);
        if (dispatch) {
          const { starts, rests } = dispatch;
          for (let i = starts[byte]!; i < starts[byte + 1]!; i++) results.push(rests[i]!);
        }
        for (const part of dispatch?.others ?? nodes.partsOf(regex)) results.push(this.#known(part, byte));
        return this.anyOf(results);
      }
      case AND: {
        const results: Regex[] = [];
        for (const part of nodes.partsOf(regex)) {
          const result = this.#known(part, byte);
          if (result === this.nothing) return result;
          results.push(result);
        }
        return this.allOf(results);
      }
      case NOT:
        return this.not(this.#known(first, byte));
      case REPEAT: {
        const [least, most] = nodes.countsOf(regex);
        return this.#join(this.#known(first, byte), this.repeat(first, Math.max(least - 1, 0), most - 1));
      }
    }
    return this.nothing;
  }

  /** The dispatch table of an OR with many parts that begin with a byte; otherwise undefined. */
  #dispatchOf(regex: Regex): Dispatch | undefined {
    const { nodes, byteSets } = this;
    if (nodes.second[regex]! < WIDE) return undefined;
    const known = this.#dispatches.get(regex);
    if (known) return known;
    const others: Regex[] = [];
    const begun: Regex[] = [];
    for (const part of nodes.partsOf(regex)) {
      const head = nodes.kind[part] === CONCAT ? nodes.first[part]! : part;
      if (nodes.kind[head] === BYTES) begun.push(part);
      else others.push(part);
    }
    if (begun.length < WIDE) return undefined;

    const restsOf: Regex[][] = Array.from({ length: 256 }, () => []);
    const bytesOf = new Map<number, readonly number[]>();
    let count = 0;
    for (const part of begun) {
      const isOneByte = nodes.kind[part] === BYTES;
      const set = nodes.first[isOneByte ? part : nodes.first[part]!]!;
      let bytes = bytesOf.get(set);
      if (!bytes) bytesOf.set(set, (bytes = byteSets.bytesOf(set)));
      for (const byte of bytes) restsOf[byte]!.push(isOneByte ? this.empty : nodes.second[part]!);
      count += bytes.length;
    }
    this.fuel.use(32 + (count >> 3));
    const starts = new Int32Array(257);
    const rests = new Int32Array(count);
    for (let byte = 0, at = 0; byte < 256; byte++) {
      for (const rest of restsOf[byte]!) rests[at++] = rest;
      starts[byte + 1] = at;
    }
    const dispatch = { starts, rests, others };
    this.#dispatched += starts.length + count;
    if (this.#dispatched > MOST_DISPATCHED) {
      this.#dispatches.clear();
      this.#dispatched = starts.length + count;
    }
    this.#dispatches.set(regex, dispatch);
    return dispatch;
  }

  /** Whether `regex` matches no string. Exact; with AND or NOT, the fuel grows with the number of derivatives. */
  isEmptyLanguage(regex: Regex): boolean {
    return isEmptyLanguage(this, regex, this.#isEmpty);
  }

  /** Classes of bytes that the next derivative of `regex` does not distinguish. */
  nextClasses(regex: Regex): ByteClasses {
    return nextClasses(this, regex);
  }

  #node(kind: number, first: number, second = 0, third = 0): Regex {
    const { nodes } = this;
    const before = nodes.count;
    const node = nodes.node(kind, first, second, third);
    if (nodes.count > before) this.fuel.use(1);
    return node;
  }

  #list(kind: number, parts: readonly Regex[]): Regex {
    this.fuel.use(1 + (parts.length >> 3));
    return this.nodes.list(kind, parts);
  }

  #markText(regex: Regex): void {
    this.nodes.facts[regex]! |= IS_TEXT;
  }
}

/** Sorted, without duplicates. */
function ascending(parts: Regex[]): Regex[] {
  let isAscending = true;
  for (let i = 1; i < parts.length; i++) isAscending &&= parts[i - 1]! < parts[i]!;
  if (isAscending) return parts;
  parts.sort((a, b) => a - b);
  return parts.filter((part, i) => i === 0 || part !== parts[i - 1]);
}

/** Whether each element of `a` is one of `b`; both ascend. */
function isSublist(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  let i = 0;
  for (let j = 0; i < a.length && j < b.length && b[j]! <= a[i]!; j++) if (a[i] === b[j]) i++;
  return i === a.length;
}
