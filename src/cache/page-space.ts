/** Part of a buffer, in units. */
export interface Place {
  offset: number;
  readonly units: number;
}

/** Hands out places in a buffer of `capacity` units. What is given back serves the next place of the same size. */
export class PageSpace {
  readonly #live = new Set<Place>();
  /** Offsets by size. */
  #free = new Map<number, number[]>();
  /** Behind it nothing was handed out since the last packing. */
  #end = 0;
  #liveUnits = 0;

  constructor(private capacityUnits: number) {}

  get capacity(): number {
    return this.capacityUnits;
  }

  get liveUnits(): number {
    return this.#liveUnits;
  }

  /** None where there is no room; packing may make some. */
  take(units: number): Place | undefined {
    const offset = this.#free.get(units)?.pop() ?? this.#extend(units);
    if (offset === undefined) return undefined;
    const place = { offset, units };
    this.#live.add(place);
    this.#liveUnits += units;
    return place;
  }

  giveBack(place: Place): void {
    if (!this.#live.delete(place)) throw new Error('page space: a place was given back twice');
    this.#liveUnits -= place.units;
    const free = this.#free.get(place.units);
    if (free) free.push(place.offset);
    else this.#free.set(place.units, [place.offset]);
  }

  /** Moves what lives to the front of a buffer of `capacity` units; `move` is told of each place before it moves. */
  pack(capacity: number, move: (place: Place, offset: number) => void): void {
    if (capacity < this.#liveUnits) throw new Error(`page space: ${this.#liveUnits} units do not fit in ${capacity}`);
    let end = 0;
    for (const place of this.#live) {
      move(place, end);
      place.offset = end;
      end += place.units;
    }
    this.#end = end;
    this.#free = new Map();
    this.capacityUnits = capacity;
  }

  #extend(units: number): number | undefined {
    if (this.#end + units > this.capacityUnits) return undefined;
    this.#end += units;
    return this.#end - units;
  }
}
