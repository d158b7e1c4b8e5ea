/** Tokens that what is assumed counts as; those that were seen count half as much after REMEMBERED more. */
const ASSUMED_WEIGHT = 4;
const REMEMBERED = 32;

/** How often what is expected comes: as assumed, until it has been seen. */
export class Hits {
  #all = ASSUMED_WEIGHT;
  #right: number;

  constructor(assumedChance: number) {
    this.#right = assumedChance * ASSUMED_WEIGHT;
  }

  get chance(): number {
    return this.#right / this.#all;
  }

  push(isRight: boolean): void {
    this.#all++;
    if (isRight) this.#right++;
    if (this.#all > REMEMBERED) [this.#all, this.#right] = [this.#all / 2, this.#right / 2];
  }
}
