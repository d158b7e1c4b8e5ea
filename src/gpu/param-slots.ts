import type { ParamsLayout } from './kernel.ts';

/** Values of a kernel's Params; a field left out is an error. */
export type Params = Readonly<Record<string, number>>;

/** Dynamic offsets are multiples of minUniformBufferOffsetAlignment, which is at most 256 everywhere. */
export const SLOT_BYTES = 256;
const SLOT_WORDS = SLOT_BYTES / 4;
const NUM_SLOTS = 2048;
/** With fewer slots left than half of them, all are given up between two submissions. */
const ENOUGH = NUM_SLOTS / 2;
/** Places of the hash table: four a slot, a power of two. */
const PLACES = 4 * NUM_SLOTS;

/** GPU bytes of the slots. */
export const slotsBytes = SLOT_BYTES * NUM_SLOTS;

/** Fields of a Params uniform, in order. */
export type ParamFields = readonly (readonly [name: string, type: 'u32' | 'f32'])[];

export const fieldsOf = (layout: ParamsLayout): ParamFields => Object.entries(layout);

/** Parameters in slots of a uniform buffer: those of equal bits share one, also with submissions before. */
export class ParamSlots {
  /** The next slot is where values are written to before it is known whether they have one. */
  readonly #words = new Uint32Array((NUM_SLOTS + 1) * SLOT_WORDS);
  readonly #floats = new Float32Array(this.#words.buffer);
  /** Fields of each slot. */
  readonly #lengths = new Uint8Array(NUM_SLOTS);
  /** By hash: a slot's number + 1; 0 where there is none. */
  readonly #places = new Uint16Array(PLACES);
  #count = 0;
  /** Slots that the GPU has. */
  #written = 0;

  /** `buffer`: of `slotsBytes`. */
  constructor(
    private readonly queue: GPUQueue,
    private readonly buffer: GPUBuffer,
  ) {}

  /** The offset of the slot that holds these values. Throws an Error where one is missing, or no slot is left. */
  offset(fields: ParamFields, params: Params): number {
    const start = this.#count * SLOT_WORDS;
    let hash = 0;
    for (let i = 0; i < fields.length; i++) {
      const [name, type] = fields[i] as ParamFields[number];
      const value = params[name];
      if (value === undefined) throw new Error(`params: no ${name}`);
      if (type === 'u32') this.#words[start + i] = value;
      else this.#floats[start + i] = value;
      hash = Math.imul(hash ^ (this.#words[start + i] as number), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    for (let place = hash & (PLACES - 1); ; place = (place + 1) & (PLACES - 1)) {
      const slot = (this.#places[place] as number) - 1;
      if (slot < 0) return this.#take(place, fields.length);
      if (this.#holds(slot, start, fields.length)) return slot * SLOT_BYTES;
    }
  }

  /** Before a submission: gives the GPU what it has not. */
  write(): void {
    if (this.#written === this.#count) return;
    const start = this.#written * SLOT_BYTES;
    this.queue.writeBuffer(this.buffer, start, this.#words.buffer, start, this.#count * SLOT_BYTES - start);
    this.#written = this.#count;
  }

  /** Where nothing is recorded: makes room for a submission's parameters. True when offsets that were given are void. */
  makeRoom(): boolean {
    if (NUM_SLOTS - this.#count >= ENOUGH) return false;
    this.#places.fill(0);
    this.#count = 0;
    this.#written = 0;
    return true;
  }

  #take(place: number, length: number): number {
    if (this.#count === NUM_SLOTS) throw new Error('params: more distinct values than slots');
    const slot = this.#count++;
    this.#places[place] = slot + 1;
    this.#lengths[slot] = length;
    return slot * SLOT_BYTES;
  }

  #holds(slot: number, start: number, length: number): boolean {
    if (this.#lengths[slot] !== length) return false;
    const at = slot * SLOT_WORDS;
    for (let i = 0; i < length; i++) if (this.#words[at + i] !== this.#words[start + i]) return false;
    return true;
  }
}
