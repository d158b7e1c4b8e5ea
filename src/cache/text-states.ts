import { TAIL_TOKENS } from '../config/delta-net.ts';
import { largest } from '../config/largest.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import { type DeltaNet, hasState, type ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_ENTRY_WORDS } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { givenBack, isGivenBack, type LayerPage } from './cache-page.ts';
import type { LayerPages } from './layer-pages.ts';
import { layerPageUnits, type PageShape } from './windows.ts';

/** Most states of a saved text. */
export const SAVED_STATES = 3;
/** Tokens after which a state of a text is kept, and so a batch ends there. */
export const STATE_TOKENS = 256;
/** Latest states of a text that is being computed: what it reads, what it writes, and one before, as steps may be thrown away. */
const LATEST = 3;

/** What layers with a delta net know behind the first `tokens` tokens of a text. It does not change any more once it is computed. */
export interface TextState {
  readonly tokens: number;
  /**
   * Tokens behind those that the text can be gone on from as well: what they bring lies with the state. They are of a draft; which of
   * them were right is known when the text goes on, or ends.
   */
  tail: number;
  /** Of the others they are given back. */
  readonly layers: readonly LayerPage[];
  /** A turn ends there. */
  isKept: boolean;
}

/** Most states at once: of `numPages` pages of tokens, and those that are being computed. */
export const mostStates = (numPages: number): number =>
  Math.ceil((numPages * PAGE_TOKENS) / STATE_TOKENS) + LATEST * MAX_STREAMS;

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
    const known = states.filter(({ tokens }) => tokens <= length).map((state) => Math.min(endOf(state), length));
    return this.config.deltaNet ? largest(known, 0) : length;
  }

  /** Tokens that a text of `length` has come to behind the state that it is gone on from. */
  behind(states: readonly TextState[], length: number): number {
    const state = stateAt(states, length);
    return state ? length - state.tokens : 0;
  }

  /** Nothing is known behind a text's first `length` tokens: what follows was thrown away, or is another text. */
  cut(states: TextState[], length: number): void {
    this.removeWhere(states, ({ tokens }) => tokens > length);
    for (const state of states) state.tail = Math.min(state.tail, length - state.tokens);
  }

  /**
   * Before a batch of the tokens from `from` on that leaves a state behind `to` tokens: what is known behind `from` is of steps that
   * were thrown away, and old states go.
   */
  forget(states: TextState[], from: number, to: number): void {
    this.cut(states, from);
    this.removeWhere(
      states,
      (state) => !(state.isKept || isFarApart(state) || endOf(state) > to - LATEST || endOf(state) === from),
    );
  }

  /** Adds one that is to be computed, with room for a tail if it is to have one. There must be room. Throws where anything is recorded. */
  add(states: TextState[], tokens: number, tail = 0): void {
    this.device.buffers.expectNoneRecorded('states');
    const entries = PAGE_TOKENS + (tail > 0 ? TAIL_TOKENS : 0);
    states.push({
      tokens,
      tail,
      isKept: false,
      layers: this.parts.layers.map((layer, i) => (this.#has(i) ? layer.add('f16', entries) : givenBack())),
    });
    this.#count++;
  }

  /** What is known behind `tokens` tokens is kept: a turn ends there. */
  keep(states: readonly TextState[], tokens: number): void {
    const state = stateAt(states, tokens);
    if (state) state.isKept = true;
  }

  /** What is known behind more than `turn` tokens is kept no longer, but for what a text of `length` is gone on from. */
  letGo(states: readonly TextState[], turn: number, length: number): void {
    const next = stateAt(states, length);
    for (const state of states) if (state.tokens > turn && state !== next) state.isKept = false;
  }

  /** A turn ends behind `tokens` tokens, and nothing is known behind it any more; what only steps needed goes. */
  endTurn(states: TextState[], tokens: number): void {
    this.keep(states, tokens);
    this.cut(states, tokens);
    this.removeWhere(states, (state) => !(state.isKept || isFarApart(state)));
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
  copyOf({ tokens, tail, isKept, layers }: TextState): TextState {
    this.#count++;
    return {
      tokens,
      tail,
      isKept,
      layers: layers.map((page, layer) =>
        this.#has(layer) ? (this.parts.layers[layer]?.copyOf([page])[0] ?? page) : page,
      ),
    };
  }

  /** One that was put among the pages of each layer; see `KvCache.restore`. */
  restored(tokens: number, layers: readonly LayerPage[]): TextState {
    this.#count++;
    return { tokens, tail: 0, isKept: true, layers };
  }

  /**
   * Tells the next submissions which states the tokens of a text from `from` up to `to` read and leave: of each layer, at a
   * stream's `firstPage`, where they lie, one more than the tokens behind what is read, if there is something to read, and how many
   * are behind what is left.
   */
  show(firstPage: number, states: readonly TextState[], from: number, to: number): void {
    if (!this.config.deltaNet) return;
    const [before, after] = [stateAt(states, from), states.find((state) => endOf(state) === to)];
    if (!after || (from > 0 && !before))
      throw new Error(`states: ${from} to ${to} of ${states.map(({ tokens, tail }) => `${tokens} + ${tail}`).join()}`);
    this.parts.tables.forEach((table, layer) => {
      if (!this.#has(layer)) return;
      const entry = [
        before?.layers[layer]?.place.offset ?? 0,
        after.layers[layer]?.place.offset ?? 0,
        before ? 1 + from - before.tokens : 0,
        after.tail,
      ];
      this.device.gpuDevice.queue.writeBuffer(table, firstPage * PAGE_ENTRY_WORDS * 4, Uint32Array.from(entry));
    });
  }

  #has(layer: number): boolean {
    return hasState(this.config, layer);
  }
}

/** The tokens of a text that one of its states can be gone on from at last. */
const endOf = ({ tokens, tail }: TextState): number => tokens + tail;

/** The state that a text of `length` tokens is gone on from. */
const stateAt = (states: readonly TextState[], length: number): TextState | undefined =>
  states.findLast((state) => state.tokens <= length && length <= endOf(state));

/** It is gone on from behind a multiple of STATE_TOKENS tokens. */
const isFarApart = (state: TextState): boolean =>
  Math.floor(endOf(state) / STATE_TOKENS) * STATE_TOKENS >= state.tokens;

/** What of a text's states is saved with it, without tails: those of the latest two turns' ends, as of a prompt and its answer, and the one before. */
export function statesToSave(states: readonly TextState[], config: PageShape): TextState[] {
  const ends = states.filter(({ isKept }) => isKept).slice(-2);
  const before = states.filter(({ tokens }) => tokens < (ends[0]?.tokens ?? Infinity)).slice(-1);
  return [...before, ...ends].map((state) => ({
    ...state,
    tail: 0,
    layers: state.layers.map((page, layer) => withoutTail(page, layerPageUnits(config, layer))),
  }));
}

const withoutTail = (page: LayerPage, units: number): LayerPage =>
  isGivenBack(page) ? page : { ...page, entries: PAGE_TOKENS, place: { ...page.place, units } };

/** Units of a text's states, in all layers. */
export const stateUnits = (states: readonly TextState[]): number =>
  states.reduce((sum, { layers }) => sum + layers.reduce((units, { place }) => units + place.units, 0), 0);
