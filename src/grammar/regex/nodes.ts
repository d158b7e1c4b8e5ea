import { LimitError } from '../limits.ts';

/** Kinds of nodes; each comment lists `first`, `second` and `third`. */
export const NOTHING = 0;
export const EMPTY = 1;
/** One byte of a set: the set's number. */
export const BYTES = 2;
/** The head, never itself a CONCAT, and the tail. */
export const CONCAT = 3;
/** Two or more parts: the start of their list, and their number. */
export const OR = 4;
export const AND = 5;
/** Any byte string that the part does not match. */
export const NOT = 6;
/** The part, the least count, and the most, which may be UNLIMITED. */
export const REPEAT = 7;
/** In a REPEAT: no limit. */
export const UNLIMITED = -1;

/** Facts about a node's language. */
export const IS_NULLABLE = 1;
/** All of its strings are known to be UTF-8. */
export const IS_TEXT = 2;
/** It contains an AND or NOT, so it may match nothing although it is not NOTHING. */
export const HAS_BOOLEAN = 4;
/** It surely matches something; finitely many strings; infinitely many. */
export const SURELY_MATCHES = 8;
const SURELY_FINITE = 16;
export const SURELY_INFINITE = 32;

/** Bounds memory: 17 bytes a node, four a list element, and some hash tables. */
const MOST_NODES = 1 << 20;
const MOST_LISTED = 1 << 22;
const LONG = 1 << 28;

/** Hash-consed expressions: equal nodes have the same number. */
export class Nodes {
  count = 0;
  kind = new Uint8Array(256);
  first = new Int32Array(256);
  second = new Int32Array(256);
  third = new Int32Array(256);
  facts = new Uint8Array(256);
  /** A lower bound on the bytes of the shortest match, at most `LONG`. */
  shortest = new Int32Array(256);
  /** Lists of parts, ascending. */
  lists = new Int32Array(1024);
  #listed = 0;
  #table = new Int32Array(1024).fill(-1);

  /** The node with these values, of a kind without a list. */
  node(kind: number, first: number, second = 0, third = 0): number {
    const mask = this.#table.length - 1;
    let slot = mix(mix(mix(kind, first), second), third) & mask;
    for (let known = this.#table[slot]!; known !== -1; known = this.#table[slot]!) {
      if (
        this.kind[known] === kind &&
        this.first[known] === first &&
        this.second[known] === second &&
        this.third[known] === third
      ) {
        return known;
      }
      slot = (slot + 1) & mask;
    }
    return this.#add(slot, kind, first, second, third);
  }

  /** The OR or AND of these parts, in ascending order. */
  list(kind: number, parts: readonly number[]): number {
    const mask = this.#table.length - 1;
    const hash = hashOf(kind, parts);
    let slot = hash & mask;
    for (let known = this.#table[slot]!; known !== -1; known = this.#table[slot]!) {
      if (this.kind[known] === kind && this.third[known] === hash && this.#isList(known, parts)) return known;
      slot = (slot + 1) & mask;
    }
    const start = this.#listed;
    if (start + parts.length > MOST_LISTED) throw tooLarge();
    while (start + parts.length > this.lists.length) this.lists = grown(this.lists);
    this.lists.set(parts, start);
    this.#listed += parts.length;
    return this.#add(slot, kind, start, parts.length, hash);
  }

  partsOf(node: number): Int32Array {
    const start = this.first[node]!;
    return this.lists.subarray(start, start + this.second[node]!);
  }

  /** The counts of a REPEAT; `most` may be Infinity. */
  countsOf(repeat: number): [least: number, most: number] {
    const most = this.third[repeat]!;
    return [this.second[repeat]!, most === UNLIMITED ? Infinity : most];
  }

  #isList(node: number, parts: readonly number[]): boolean {
    if (this.second[node] !== parts.length) return false;
    const start = this.first[node]!;
    for (let i = 0; i < parts.length; i++) if (this.lists[start + i] !== parts[i]) return false;
    return true;
  }

  #add(slot: number, kind: number, first: number, second: number, third: number): number {
    const node = this.count;
    if (node >= MOST_NODES) throw tooLarge();
    if (node === this.kind.length) {
      this.kind = grown(this.kind);
      this.first = grown(this.first);
      this.second = grown(this.second);
      this.third = grown(this.third);
      this.facts = grown(this.facts);
      this.shortest = grown(this.shortest);
    }
    this.kind[node] = kind;
    this.first[node] = first;
    this.second[node] = second;
    this.third[node] = third;
    this.#findFacts(node);
    this.#table[slot] = node;
    this.count++;
    if (this.count * 2 > this.#table.length) this.#rehash();
    return node;
  }

  /** The caller sets IS_TEXT if the parts alone do not show it. */
  #findFacts(node: number): void {
    const { facts, shortest } = this;
    const first = this.first[node]!;
    const second = this.second[node]!;
    const third = this.third[node]!;
    let found = 0;
    let length = 0;
    switch (this.kind[node]!) {
      case NOTHING:
        found = IS_TEXT | SURELY_FINITE;
        length = LONG;
        break;
      case EMPTY:
        found = IS_NULLABLE | IS_TEXT | SURELY_FINITE;
        break;
      case BYTES:
        found = SURELY_MATCHES | SURELY_FINITE;
        length = 1;
        break;
      case CONCAT: {
        const both = facts[first]! & facts[second]!;
        const either = facts[first]! | facts[second]!;
        found = (both & (IS_NULLABLE | IS_TEXT | SURELY_MATCHES | SURELY_FINITE)) | (either & HAS_BOOLEAN);
        if ((both & SURELY_MATCHES) !== 0) found |= either & SURELY_INFINITE;
        length = shortest[first]! + shortest[second]!;
        break;
      }
      case OR:
        found = IS_TEXT | SURELY_FINITE;
        length = LONG;
        for (const part of this.partsOf(node)) {
          const both = found & facts[part]!;
          const either = found | facts[part]!;
          found = both & (IS_TEXT | SURELY_FINITE);
          found |= either & (IS_NULLABLE | HAS_BOOLEAN | SURELY_MATCHES | SURELY_INFINITE);
          length = Math.min(length, shortest[part]!);
        }
        break;
      case AND: {
        found = IS_NULLABLE;
        let wanted = 0;
        let isInfinite = true;
        for (const part of this.partsOf(node)) {
          found = (found & facts[part]! & IS_NULLABLE) | ((found | facts[part]!) & (IS_TEXT | SURELY_FINITE));
          length = Math.max(length, shortest[part]!);
          // Infinitely many strings stay infinitely many without finitely many of them.
          const isTakenAway = this.kind[part] === NOT && (facts[this.first[part]!]! & SURELY_FINITE) !== 0;
          if (!isTakenAway) {
            wanted++;
            isInfinite &&= (facts[part]! & SURELY_INFINITE) !== 0;
          }
        }
        if (wanted <= 1 && isInfinite) found |= SURELY_MATCHES | SURELY_INFINITE;
        found |= HAS_BOOLEAN;
        break;
      }
      case NOT:
        found = HAS_BOOLEAN | (~facts[first]! & IS_NULLABLE);
        if ((facts[first]! & SURELY_FINITE) !== 0) found |= SURELY_MATCHES | SURELY_INFINITE;
        length = (found & IS_NULLABLE) === 0 ? 1 : 0;
        break;
      case REPEAT: {
        found = facts[first]! & (IS_TEXT | HAS_BOOLEAN | SURELY_MATCHES | SURELY_INFINITE);
        if (second === 0 || (facts[first]! & IS_NULLABLE) !== 0) found |= IS_NULLABLE;
        const isLimited = third !== UNLIMITED;
        if (isLimited) found |= facts[first]! & SURELY_FINITE;
        else if ((facts[first]! & (SURELY_MATCHES | IS_NULLABLE)) === SURELY_MATCHES) found |= SURELY_INFINITE;
        length = shortest[first]! * second;
        break;
      }
    }
    if ((found & IS_NULLABLE) !== 0) found |= SURELY_MATCHES;
    facts[node] = found;
    shortest[node] = Math.min(length, LONG);
  }

  #rehash(): void {
    const table = new Int32Array(this.#table.length * 2).fill(-1);
    const mask = table.length - 1;
    for (let node = 0; node < this.count; node++) {
      const kind = this.kind[node]!;
      const hash =
        kind === OR || kind === AND
          ? this.third[node]!
          : mix(mix(mix(kind, this.first[node]!), this.second[node]!), this.third[node]!);
      let slot = hash & mask;
      while (table[slot] !== -1) slot = (slot + 1) & mask;
      table[slot] = node;
    }
    this.#table = table;
  }
}

/** A map from integers to integers, all 0 or more: smaller than a Map with the same entries, and without garbage. */
export class IntMap {
  size = 0;
  #keys = new Int32Array(512).fill(-1);
  #values = new Int32Array(512);

  /** -1: no value. */
  get(key: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    for (let slot = mix(0, key) & mask; ; slot = (slot + 1) & mask) {
      const found = keys[slot]!;
      if (found === key) return this.#values[slot]!;
      if (found === -1) return -1;
    }
  }

  set(key: number, value: number): void {
    if (this.size * 2 >= this.#keys.length) this.#grow();
    this.#put(key, value);
  }

  clear(): void {
    this.size = 0;
    this.#keys = new Int32Array(512).fill(-1);
    this.#values = new Int32Array(512);
  }

  #put(key: number, value: number): void {
    const mask = this.#keys.length - 1;
    let slot = mix(0, key) & mask;
    while (this.#keys[slot] !== -1 && this.#keys[slot] !== key) slot = (slot + 1) & mask;
    if (this.#keys[slot] === -1) this.size++;
    this.#keys[slot] = key;
    this.#values[slot] = value;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.size = 0;
    this.#keys = new Int32Array(keys.length * 2).fill(-1);
    this.#values = new Int32Array(values.length * 2);
    for (let slot = 0; slot < keys.length; slot++) if (keys[slot] !== -1) this.#put(keys[slot]!, values[slot]!);
  }
}

const tooLarge = (): LimitError => new LimitError('the regular expressions are too large: they take too many states');

function grown<T extends Uint8Array | Int32Array>(values: T): T {
  const larger = new (values.constructor as new (length: number) => T)(values.length * 2);
  larger.set(values);
  return larger;
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

function hashOf(kind: number, parts: readonly number[]): number {
  let hash = mix(kind, parts.length);
  for (const part of parts) hash = mix(hash, part);
  return hash;
}
