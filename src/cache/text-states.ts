import { MAX_STREAMS } from '../config/max-streams.ts';
import { type DeltaNet, hasState, type ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_ENTRY_WORDS } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { givenBack, type LayerPage } from './cache-page.ts';
import type { LayerPages } from './layer-pages.ts';

/** Most states of a saved text. */
export const SAVED_STATES = 3;
/** Tokens after which a state of a text is kept, and so a batch ends there. */
export const STATE_TOKENS = 256;
/** Latest states of a text that is being computed: what it reads, what it writes, and one before, as steps may be thrown away. */
const LATEST = 3;

/** What layers with a delta net know behind the first `tokens` tokens of a text. It does not change any more once it is computed. */
export interface TextState {
  readonly tokens: number;
  /** Of the others they are given back. */
  readonly layers: readonly LayerPage[];
  /** A turn ends there. */
  isKept: boolean;
}

/** Most states at once: of `numPages` pages of tokens, and those that are being computed. */
export const mostStates = (numPages: number): number => Math.ceil((numPages * PAGE_TOKENS) / STATE_TOKENS) + LATEST * MAX_STREAMS;

/** The states of texts: they lie where other layers have pages, and batches begin with one and leave another. */
export class TextStates {
  readonly #most: number;
  #count = 0;

  constructor(
    private readonly device: Device,
    private readonly config: Pick<ModelConfig, 'numLayers'> & { deltaNet?: DeltaNet },
    private readonly parts: { layers: readonly LayerPages[]; tables: readonly GPUBuffer[]; numPages: number },
  ) {
    this.#most = mostStates(parts.numPages);
  }

  /** For how many more there is room; for any where no layer has states. */
  get room(): number {
    return this.config.deltaNet ? this.#most - this.#count : Infinity;
  }

  /** How many of the first `length` tokens of a text can be gone on from, by its states. */
  resumable(states: readonly TextState[], length: number): number {
    return this.config.deltaNet ? Math.max(0, ...states.map(({ tokens }) => tokens).filter((tokens) => tokens <= length)) : length;
  }

  /** Before a batch of the tokens from `from` up to `to`: states behind `from` are of steps that were thrown away, and old ones go. */
  forget(states: TextState[], from: number, to: number): void {
    this.removeWhere(states, ({ tokens, isKept }) => tokens > from || !(isKept || tokens % STATE_TOKENS === 0 || tokens > to - LATEST || tokens === from));
  }

  /** Adds one that is to be computed. There must be room. Throws where anything is recorded. */
  add(states: TextState[], tokens: number): void {
    this.device.buffers.expectNoneRecorded('states');
    states.push({ tokens, isKept: false, layers: this.parts.layers.map((layer, i) => (this.#has(i) ? layer.add('f16') : givenBack())) });
    this.#count++;
  }

  /** What is known behind `tokens` tokens is kept: a turn ends there. */
  keep(states: readonly TextState[], tokens: number): void {
    for (const state of states) state.isKept ||= state.tokens === tokens;
  }

  /** The same, and nothing is known behind it any more; what only steps needed goes. */
  endTurn(states: TextState[], tokens: number): void {
    this.keep(states, tokens);
    this.removeWhere(states, (state) => state.tokens > tokens || !(state.isKept || state.tokens % STATE_TOKENS === 0));
  }

  removeWhere(states: TextState[], isGone: (state: TextState) => boolean): void {
    for (let i = states.length - 1; i >= 0; i--) {
      const state = states[i] as TextState;
      if (!isGone(state)) continue;
      states.splice(i, 1);
      state.layers.forEach((page, layer) => {
        if (this.#has(layer)) this.parts.layers[layer]?.remove(page);
      });
      this.#count--;
    }
  }

  /** A copy of one. There must be room. Throws where anything is recorded. */
  copyOf({ tokens, isKept, layers }: TextState): TextState {
    this.#count++;
    return { tokens, isKept, layers: layers.map((page, layer) => (this.#has(layer) ? (this.parts.layers[layer]?.copyOf([page])[0] ?? page) : page)) };
  }

  /** One that was put among the pages of each layer; see `KvCache.restore`. */
  restored(tokens: number, layers: readonly LayerPage[]): TextState {
    this.#count++;
    return { tokens, isKept: true, layers };
  }

  /**
   * Tells the next submissions which states the tokens of a text from `from` up to `to` read and leave: of each layer, at a
   * stream's `firstPage`, where they lie, and whether there is one to read.
   */
  show(firstPage: number, states: readonly TextState[], from: number, to: number): void {
    if (!this.config.deltaNet) return;
    const find = (tokens: number) => states.find((state) => state.tokens === tokens);
    const [before, after] = [find(from), find(to)];
    if (!after || (from > 0 && !before)) throw new Error(`states: ${from} to ${to} of ${states.map(({ tokens }) => tokens).join()}`);
    this.parts.tables.forEach((table, layer) => {
      if (!this.#has(layer)) return;
      const entry = [before?.layers[layer]?.place.offset ?? 0, after.layers[layer]?.place.offset ?? 0, before ? 1 : 0, 0];
      this.device.gpuDevice.queue.writeBuffer(table, firstPage * PAGE_ENTRY_WORDS * 4, Uint32Array.from(entry));
    });
  }

  #has(layer: number): boolean {
    return hasState(this.config, layer);
  }
}

/** What of a text's states is saved with it: those of the latest two turns' ends, as of a prompt and its answer, and the one before. */
export function statesToSave(states: readonly TextState[]): TextState[] {
  const ends = states.filter(({ isKept }) => isKept).slice(-2);
  const before = states.filter(({ tokens }) => tokens < (ends[0]?.tokens ?? Infinity)).slice(-1);
  return [...before, ...ends];
}

/** Units of a text's states, in all layers. */
export const stateUnits = (states: readonly TextState[]): number =>
  states.reduce((sum, { layers }) => sum + layers.reduce((units, { place }) => units + place.units, 0), 0);
