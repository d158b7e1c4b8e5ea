/** First and last of a run of numbers. */
export type Range = readonly [number, number];

/** Words of 32 bits in a set of bytes. */
const WORDS = 8;
/** Most lists of sets whose classes are cached; beyond that, the cache is cleared. */
const MOST_CLASSES = 2000;

/** Sets of bytes; equal sets have the same number. */
export class ByteSets {
  readonly none: number;
  #words = new Uint32Array(64 * WORDS);
  #count = 0;
  readonly #numberOf = new Map<string, number>();
  readonly #scratch = new Uint32Array(WORDS);
  readonly #classes = new Map<string, ByteClasses>();

  constructor() {
    this.none = this.of([]);
  }

  /** The set of the bytes in these ranges. */
  of(ranges: readonly Range[]): number {
    const words = this.#scratch.fill(0);
    for (const [first, last] of ranges) {
      for (let byte = Math.max(first, 0); byte <= Math.min(last, 255); byte++) words[byte >> 5]! |= 1 << (byte & 31);
    }
    return this.#intern();
  }

  ofByte(byte: number): number {
    const words = this.#scratch.fill(0);
    words[byte >> 5] = 1 << (byte & 31);
    return this.#intern();
  }

  union(a: number, b: number): number {
    if (a === b) return a;
    for (let i = 0; i < WORDS; i++) this.#scratch[i] = this.#words[a * WORDS + i]! | this.#words[b * WORDS + i]!;
    return this.#intern();
  }

  intersection(a: number, b: number): number {
    if (a === b) return a;
    for (let i = 0; i < WORDS; i++) this.#scratch[i] = this.#words[a * WORDS + i]! & this.#words[b * WORDS + i]!;
    return this.#intern();
  }

  has(set: number, byte: number): boolean {
    return ((this.#words[set * WORDS + (byte >> 5)]! >>> (byte & 31)) & 1) === 1;
  }

  /** Whether each byte of `a` is in `b`. */
  isWithin(a: number, b: number): boolean {
    for (let i = 0; i < WORDS; i++)
      if ((this.#words[a * WORDS + i]! & ~this.#words[b * WORDS + i]!) !== 0) return false;
    return true;
  }

  /** Whether all of its bytes are ASCII. */
  isAscii(set: number): boolean {
    for (let i = WORDS / 2; i < WORDS; i++) if (this.#words[set * WORDS + i] !== 0) return false;
    return true;
  }

  bytesOf(set: number): number[] {
    const bytes: number[] = [];
    for (let byte = 0; byte < 256; byte++) if (this.has(set, byte)) bytes.push(byte);
    return bytes;
  }

  /** The coarsest partition of bytes into classes in which each of `sets` is a union of classes. */
  classes(sets: readonly number[]): ByteClasses {
    const key = sets.join();
    let classes = this.#classes.get(key);
    if (!classes) {
      if (this.#classes.size >= MOST_CLASSES) this.#classes.clear();
      this.#classes.set(key, (classes = this.#findClasses(sets)));
    }
    return classes;
  }

  #findClasses(sets: readonly number[]): ByteClasses {
    const classOf = new Uint8Array(256);
    let count = 1;
    for (const set of sets) {
      if (count === 256) break;
      // For each class so far, the new class of its bytes that are in the set; -1: none yet.
      const inside = new Int32Array(count).fill(-1);
      const outside = new Int32Array(count).fill(-1);
      for (let byte = 0; byte < 256; byte++) {
        const before = classOf[byte]!;
        const side = this.has(set, byte) ? inside : outside;
        const other = side === inside ? outside : inside;
        // Whichever side comes first keeps the class's number.
        if (side[before] === -1) side[before] = other[before] === -1 ? before : count++;
        classOf[byte] = side[before]!;
      }
    }
    const firsts = [...classOf.keys()].filter((byte) => classOf.indexOf(classOf[byte]!) === byte);
    return { classOf, count, firsts };
  }

  #intern(): number {
    const key = this.#scratch.join();
    const known = this.#numberOf.get(key);
    if (known !== undefined) return known;
    if ((this.#count + 1) * WORDS > this.#words.length) {
      const words = new Uint32Array(this.#words.length * 2);
      words.set(this.#words);
      this.#words = words;
    }
    this.#words.set(this.#scratch, this.#count * WORDS);
    this.#numberOf.set(key, this.#count);
    return this.#count++;
  }
}

/** A partition of bytes: bytes that no set of a list distinguishes are in one class. */
export interface ByteClasses {
  /** The class of each of 256 bytes: 0 or more, less than `count`. */
  readonly classOf: Uint8Array;
  /** Number of classes: 1 to 256. */
  readonly count: number;
  /** The first byte of each class, ascending. */
  readonly firsts: readonly number[];
}
