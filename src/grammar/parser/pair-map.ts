/** A map from pairs of integers to integers of 0 or more: keys need no objects, and clearing costs nothing. */
export class PairMap {
  #firsts = new Int32Array(256);
  #seconds = new Int32Array(256);
  #values = new Int32Array(256);
  /** The time when each slot was filled; a slot of an earlier time is empty. */
  #times = new Int32Array(256);
  #time = 1;
  #size = 0;

  /** The value; -1: none. */
  get(first: number, second: number): number {
    const slot = this.#slotOf(first, second);
    return this.#times[slot] === this.#time ? this.#values[slot]! : -1;
  }

  /** False if the pair has a value already, which stays. */
  add(first: number, second: number, value: number): boolean {
    const slot = this.#slotOf(first, second);
    if (this.#times[slot] === this.#time) return false;
    this.#firsts[slot] = first;
    this.#seconds[slot] = second;
    this.#values[slot] = value;
    this.#times[slot] = this.#time;
    if (++this.#size * 2 > this.#values.length) this.#grow();
    return true;
  }

  clear(): void {
    this.#time++;
    this.#size = 0;
  }

  /** The slot of the pair, or the free slot for it. */
  #slotOf(first: number, second: number): number {
    const mask = this.#values.length - 1;
    let hash = Math.imul(Math.imul(first, 0x9e3779b1) ^ second, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      if (this.#times[slot] !== this.#time) return slot;
      if (this.#firsts[slot] === first && this.#seconds[slot] === second) return slot;
    }
  }

  #grow(): void {
    const [firsts, seconds, values, times] = [this.#firsts, this.#seconds, this.#values, this.#times];
    const { length } = values;
    this.#firsts = new Int32Array(2 * length);
    this.#seconds = new Int32Array(2 * length);
    this.#values = new Int32Array(2 * length);
    this.#times = new Int32Array(2 * length);
    this.#size = 0;
    for (let slot = 0; slot < length; slot++)
      if (times[slot] === this.#time) this.add(firsts[slot]!, seconds[slot]!, values[slot]!);
  }
}
