/** First and last of a run of numbers. */
export type Range = readonly [number, number];

/** Words of 32 bits in a set of bytes. */
const WORDS = 8;

/** Sets of bytes; equal sets have one number. */
export class ByteSets {
  readonly none: number;
  #words = new Uint32Array(64 * WORDS);
  #count = 0;
  readonly #numberOf = new Map<string, number>();
  readonly #scratch = new Uint32Array(WORDS);

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

/** Bytes that none of a number of sets tells apart are of one class. */
export interface ByteClasses {
  /** Of each of 256 bytes its class: 0 or more, less than `count`. */
  readonly classOf: Uint8Array;
  /** How many classes there are: 1 to 256. */
  readonly count: number;
}

/** The coarsest classes that keep apart what each of `sets` keeps apart. */
export function classesOf(byteSets: ByteSets, sets: Iterable<number>): ByteClasses {
  const classOf = new Uint8Array(256);
  let count = 1;
  for (const set of sets) {
    if (count === 256) break;
    // Of each class so far, the class of those of its bytes that are in the set; -1: none yet.
    const inside = new Int32Array(count).fill(-1);
    const outside = new Int32Array(count).fill(-1);
    for (let byte = 0; byte < 256; byte++) {
      const before = classOf[byte]!;
      const side = byteSets.has(set, byte) ? inside : outside;
      const other = side === inside ? outside : inside;
      // Whichever side comes first keeps the class's number.
      if (side[before] === -1) side[before] = other[before] === -1 ? before : count++;
      classOf[byte] = side[before]!;
    }
  }
  return { classOf, count };
}
