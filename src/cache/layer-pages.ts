import { hasState, type ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { type PageForm, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import type { BufferRange } from '../gpu/operation.ts';
import { givenBack, isGivenBack, type LayerPage, type PageState } from './cache-page.ts';
import { PageSpace } from './page-space.ts';
import { layerPageUnits } from './windows.ts';

/**
 * A new buffer has room for a page in f16, or a sixty-fourth more than lives in it, so that few tokens grow it; every other
 * layer's for twice as much: not all grow at a time. At first for these pages.
 */
const SPARE = 1 / 64;
const FIRST_PAGES = 8;
/** A state is as much as many pages: there is room for one to read and one to write, and for more as they come. */
const FIRST_STATES = 2;
/** It is packed into a smaller one where that gives back two pages, and this share of it. */
const WORTH = 1 / 16;

/** The pages of one layer in a buffer that grows and shrinks. */
export class LayerPages {
  readonly #space: PageSpace;
  /** Beyond it the buffer grows only by what lives. */
  readonly #mostUnits: number;
  /** Of a page in f16. */
  readonly #pageUnits: number;
  #buffer: GPUBuffer;

  /** `mostPages`: of sequences; copies that are tried come beside them. */
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

  /** Another one once it was packed: the pages lie elsewhere in it, and the former one is no more. */
  get buffer(): GPUBuffer {
    return this.#buffer;
  }

  add(form: PageForm, entries = PAGE_TOKENS): LayerPage {
    const units = layerPageUnits(this.config, this.layer, form, entries);
    let place = this.#space.take(units);
    if (!place) {
      this.#pack(this.#roomFor(units));
      place = this.#space.take(units);
    }
    if (!place) throw new Error(`layer ${this.layer}: no room for ${units} units`);
    return { form, entries, place, mass: 0 };
  }

  /** Makes room for that many pages in f16 at once. */
  reserve(pages: number): void {
    this.#reserve(pages * this.#pageUnits);
  }

  /** Where these pages lie until the buffer is packed. */
  ranges(pages: readonly LayerPage[]): BufferRange[] {
    const live = pages.filter((page) => !isGivenBack(page));
    return live.map(({ place }) => ({
      buffer: this.#buffer,
      offset: place.offset * UNIT_BYTES,
      size: place.units * UNIT_BYTES,
    }));
  }

  /** Adds pages as they were saved; `bytes`: of all of them, one behind another. Nothing may be recorded. */
  restore(saved: readonly PageState[], bytes: Uint8Array<ArrayBuffer>): LayerPage[] {
    this.#reserve(bytes.length / UNIT_BYTES);
    const pages = saved.map((state) =>
      isGivenBack(state) ? givenBack() : { ...this.add(state.form, state.entries), ...state },
    );
    let at = 0;
    for (const { buffer, offset, size } of this.ranges(pages)) {
      this.device.gpuDevice.queue.writeBuffer(buffer, offset, bytes, at, size);
      at += size;
    }
    return pages;
  }

  /** Adds copies of pages in f16. Nothing may be recorded. */
  copyOf(pages: readonly LayerPage[]): LayerPage[] {
    this.device.buffers.expectNoneRecorded(this.#buffer.label);
    this.reserve(pages.filter((page) => !isGivenBack(page)).length);
    const copies = pages.map((page) => (isGivenBack(page) ? givenBack() : this.add('f16', page.entries)));
    const [from, to] = [this.ranges(pages), this.ranges(copies)];
    const { buffers, gpuDevice } = this.device;
    // Within one buffer WebGPU copies by way of another.
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

  remove(page: LayerPage): void {
    this.#space.giveBack(page.place);
    if (page.shadow) this.remove(page.shadow);
  }

  /** Gives memory back that few pages use. */
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

/** Moves of neighbours to neighbours, as one. */
function joined(moves: readonly [from: number, to: number, units: number][]) {
  const runs: [from: number, to: number, units: number][] = [];
  for (const [from, to, units] of moves) {
    const last = runs.at(-1);
    if (last && last[0] + last[2] === from && last[1] + last[2] === to) last[2] += units;
    else runs.push([from, to, units]);
  }
  return runs;
}
