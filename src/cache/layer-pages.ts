import { hasState, type ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { BufferRange } from '../gpu/recorder.ts';
import { type PageForm, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import {
  freedPage,
  isFreed,
  type LayerPage,
  layerPageUnits,
  type Place,
  MEASURE_BYTES,
  type SavedPage,
  savedPageUnits,
  type SavedSlot,
  type Slot,
} from './cache-page.ts';

/**
 * A new buffer has spare room for one f16 page or 1/64 of the live pages, so that it seldom grows; odd layers have twice
 * as much, so that not all grow at once. FIRST_PAGES: pages of the first buffer.
 */
const SPARE = 1 / 64;
const FIRST_PAGES = 8;
/** A recurrent state is as large as many pages: the first buffer has room for one to read and one to write. */
const FIRST_STATES = 2;
/** A buffer shrinks only if that frees two pages and at least this share of it. */
const WORTH = 1 / 16;

/** The pages of one layer, in a buffer that grows and shrinks. */
export class LayerPages {
  readonly #space: PageSpace;
  /** Above this size the buffer gets no spare room. */
  readonly #mostUnits: number;
  /** Units of an f16 page. */
  readonly #pageUnits: number;
  #buffer: GPUBuffer;

  /** `mostPages`: most pages of sequences; copies that are probed come on top. */
  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
    private readonly layer: number,
    mostPages: number,
  ) {
    this.#pageUnits = layerPageUnits(config, layer);
    this.#mostUnits = mostPages * this.#pageUnits;
    this.#space = new PageSpace(
      Math.min(mostPages, hasState(config, layer) ? FIRST_STATES : FIRST_PAGES) * this.#pageUnits,
    );
    this.#buffer = this.#create();
  }

  /** The current buffer. Packing replaces it and moves the pages. */
  get buffer(): GPUBuffer {
    return this.#buffer;
  }

  /** `units`: of a sparse page. */
  add(
    form: PageForm,
    entries = PAGE_TOKENS,
    units = layerPageUnits(this.config, this.layer, form, entries),
  ): LayerPage {
    let place = this.#space.take(units);
    if (!place) {
      this.#pack(this.#roomFor(units));
      place = this.#space.take(units);
    }
    if (!place) throw new Error(`layer ${this.layer}: no room for ${units} units`);
    return { form, entries, place };
  }

  /** Makes room for that many f16 pages at once. */
  reserve(pages: number): void {
    this.#reserve(pages * this.#pageUnits);
  }

  /** Buffer ranges of these pages, valid until the buffer is packed. */
  ranges(pages: readonly LayerPage[]): BufferRange[] {
    const live = pages.filter(({ place }) => place.units > 0);
    return live.map(({ place }) => ({
      buffer: this.#buffer,
      offset: place.offset * UNIT_BYTES,
      size: place.units * UNIT_BYTES,
    }));
  }

  /** Adds saved pages; `bytes`: their concatenated contents, then the shares of their slots' entries, then squares. Nothing may be recorded. */
  restore(saved: readonly SavedPage[], bytes: Uint8Array<ArrayBuffer>): LayerPage[] {
    const units = saved.map((state) => savedPageUnits(this.config, this.layer, state));
    this.#reserve(units.reduce((sum, each) => sum + each, 0));
    const pages = saved.map((state, i) =>
      isFreed(state) ? freedPage() : this.add(state.form, state.entries, units[i]),
    );
    let at = 0;
    for (const { buffer, offset, size } of this.ranges(pages)) {
      this.device.gpuDevice.queue.writeBuffer(buffer, offset, bytes, at, size);
      at += size;
    }
    const floats = (count: number) => new Float32Array(bytes.slice(at, (at += count * MEASURE_BYTES)).buffer);
    const slotOf = ({ from, entries }: SavedSlot): Slot => ({ from, shares: floats(entries) });
    const slots = saved.map((page) => page.slots?.map((slot) => (slot ? slotOf(slot) : undefined)));
    return pages.map((page, i) => {
      const own = slots[i];
      const entries =
        own?.map((slot) => slot?.shares.length ?? 0) ?? Array<number>(this.config.numKvHeads).fill(PAGE_TOKENS);
      const squares = saved[i]?.squared ? entries.map((count) => (count > 0 ? floats(count) : undefined)) : undefined;
      return { ...page, ...(own && { slots: own }), ...(squares && { squares }) };
    });
  }

  /** Adds copies of pages, without their shadows. Nothing may be recorded. */
  copyOf(pages: readonly LayerPage[]): LayerPage[] {
    this.device.buffers.expectNoneRecorded(this.#buffer.label);
    this.#reserve(pages.reduce((sum, { place }) => sum + place.units, 0));
    const copies = pages.map((page) => (isFreed(page) ? freedPage() : this.#likeness(page)));
    const [from, to] = [this.ranges(pages), this.ranges(copies)];
    const { buffers, gpuDevice } = this.device;
    // WebGPU cannot copy within one buffer.
    const between = buffers.storage(
      'copied pages',
      'kv',
      from.reduce((sum, { size }) => sum + size, 0),
    );
    const encoder = gpuDevice.createCommandEncoder();
    from.forEach(({ buffer, offset, size }, i) => encoder.copyBufferToBuffer(buffer, offset, between, i * size, size));
    to.forEach(({ buffer, offset, size }, i) => encoder.copyBufferToBuffer(between, i * size, buffer, offset, size));
    gpuDevice.queue.submit([encoder.finish()]);
    buffers.destroy(between);
    return copies;
  }

  #likeness({ form, entries, place, slots, squares }: LayerPage): LayerPage {
    return { ...this.add(form, entries, place.units), ...(slots && { slots }), ...(squares && { squares }) };
  }

  remove(page: LayerPage): void {
    this.#space.free(page.place);
    if (page.shadow) this.remove(page.shadow);
  }

  /** Frees spare memory. */
  shrink(): void {
    const room = this.#roomFor(0);
    const { capacity } = this.#space;
    if (capacity - room >= Math.max((hasState(this.config, this.layer) ? 1 : 2) * this.#pageUnits, WORTH * capacity))
      this.#pack(room);
  }

  #reserve(units: number): void {
    if (this.#space.liveUnits + units > this.#space.capacity) this.#pack(this.#roomFor(units));
  }

  #roomFor(units: number): number {
    const live = this.#space.liveUnits + units;
    if (hasState(this.config, this.layer)) return Math.max(live, FIRST_STATES * this.#pageUnits);
    const spare = (1 + (this.layer % 2)) * Math.max(this.#pageUnits, Math.ceil(live * SPARE));
    return Math.max(live, Math.min(live + spare, this.#mostUnits));
  }

  #pack(capacity: number): void {
    const former = this.#buffer;
    this.device.buffers.expectNoneRecorded(former.label);
    const encoder = this.device.gpuDevice.createCommandEncoder();
    const moves: [from: number, to: number, units: number][] = [];
    this.#space.pack(capacity, ({ offset, units }, to) => moves.push([offset, to, units]));
    this.#buffer = this.#create();
    for (const [from, to, units] of joined(moves)) {
      encoder.copyBufferToBuffer(former, from * UNIT_BYTES, this.#buffer, to * UNIT_BYTES, units * UNIT_BYTES);
    }
    this.device.gpuDevice.queue.submit([encoder.finish()]);
    this.device.buffers.destroy(former);
  }

  #create(): GPUBuffer {
    return this.device.buffers.storage(`kv ${this.layer}`, 'kv', this.#space.capacity * UNIT_BYTES);
  }
}

/** Merges moves of adjacent ranges to adjacent places. */
function joined(moves: readonly [from: number, to: number, units: number][]) {
  const runs: [from: number, to: number, units: number][] = [];
  for (const [from, to, units] of moves) {
    const last = runs.at(-1);
    if (last && last[0] + last[2] === from && last[1] + last[2] === to) last[2] += units;
    else runs.push([from, to, units]);
  }
  return runs;
}

/** Allocates places in a buffer of `capacity` units. A freed place serves the next request of the same size. */
export class PageSpace {
  readonly #live = new Set<Place>();
  /** Free offsets by size. */
  #free = new Map<number, number[]>();
  /** End of the allocated range since the last packing. */
  #end = 0;
  liveUnits = 0;

  constructor(public capacity: number) {}

  /** Allocates a place; undefined without room, which packing may make. */
  take(units: number): Place | undefined {
    const offset = this.#free.get(units)?.pop() ?? this.#extend(units);
    if (offset === undefined) return undefined;
    const place = { offset, units };
    this.#live.add(place);
    this.liveUnits += units;
    return place;
  }

  free(place: Place): void {
    if (!this.#live.delete(place)) throw new Error('page space: a place was freed twice');
    this.liveUnits -= place.units;
    const free = this.#free.get(place.units);
    if (free) free.push(place.offset);
    else this.#free.set(place.units, [place.offset]);
  }

  /** Moves live places to the front of a buffer of `capacity` units; calls `move` with each place before its offset changes. */
  pack(capacity: number, move: (place: Place, offset: number) => void): void {
    if (capacity < this.liveUnits) throw new Error(`page space: ${this.liveUnits} units do not fit in ${capacity}`);
    let end = 0;
    for (const place of this.#live) {
      move(place, end);
      place.offset = end;
      end += place.units;
    }
    this.#end = end;
    this.#free = new Map();
    this.capacity = capacity;
  }

  #extend(units: number): number | undefined {
    if (this.#end + units > this.capacity) return undefined;
    this.#end += units;
    return this.#end - units;
  }
}
