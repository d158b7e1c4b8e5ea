import { type DeltaNet, hasState, type ModelConfig, TAIL_TOKENS } from '../config/model-config.ts';
import { largest } from '../util/numbers.ts';
import { MAX_SEQUENCES } from '../config/limits.ts';
import type { Device } from '../gpu/device.ts';
import { PAGE_ENTRY_WORDS } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { type LayerPage, layerPageUnits, type PageShape, freedPage, isFreed } from './cache-page.ts';
import type { LayerPages } from './layer-pages.ts';

/** Most recurrent states of a saved text. */
export const SAVED_STATES = 3;
/** A recurrent state is kept every so many tokens; batches end there. */
export const STATE_TOKENS = 256;
/** Recurrent states of a running sequence: the one it reads, the one it writes, and one before, as steps may be rolled back. */
const LATEST = 3;

/** Recurrent state of the delta-net layers after the first `tokens` tokens of a text; immutable once computed. */
export interface RecurrentState {
  readonly tokens: number;
  /**
   * Further tokens after `tokens` from whose end the text can resume too: their inputs are stored with the state. They are
   * draft tokens; the next step or the end of the text decides which of them were accepted.
   */
  tail: number;
  /** By layer; a freed page for layers without recurrent state. */
  readonly layers: readonly LayerPage[];
  /** Marks the end of a turn, which eviction keeps. */
  isKept: boolean;
}

/** Most recurrent states at once, for `numPages` pages of tokens and all running sequences. */
export const mostRecurrentStates = (numPages: number): number =>
  Math.ceil((numPages * PAGE_TOKENS) / STATE_TOKENS) + LATEST * MAX_SEQUENCES;

/** Manages recurrent states. They are stored in place of pages; a batch reads one and writes another. */
export class RecurrentStates {
  readonly #most: number;
  #count = 0;

  constructor(
    private readonly device: Device,
    private readonly config: Pick<ModelConfig, 'numLayers'> & { deltaNet?: DeltaNet },
    private readonly parts: { layers: readonly LayerPages[]; tables: readonly GPUBuffer[]; numPages: number },
  ) {
    this.#most = mostRecurrentStates(parts.numPages);
  }

  /** Number of further states that fit. */
  get room(): number {
    return this.#most - this.#count;
  }

  /** Longest prefix of the first `length` tokens from which the text's states can resume. */
  resumable(states: readonly RecurrentState[], length: number): number {
    const known = states.filter(({ tokens }) => tokens <= length).map((state) => Math.min(endOf(state), length));
    return largest(known, 0);
  }

  /** Tokens between the state from which a sequence of `length` tokens resumes and its end; 0 without such a state. */
  tokensPast(states: readonly RecurrentState[], length: number): number {
    const state = stateAt(states, length);
    return state ? length - state.tokens : 0;
  }

  /** Truncates a text's states to its first `length` tokens: later tokens were rolled back or belong to another text. */
  cut(states: RecurrentState[], length: number): void {
    this.removeWhere(states, ({ tokens }) => tokens > length);
    for (const state of states) state.tail = Math.min(state.tail, length - state.tokens);
  }

  /**
   * Called before a batch that reads the state at `from` and writes one after `to` tokens: removes states after `from`,
   * which belong to rolled-back steps, and old states.
   */
  forget(states: RecurrentState[], from: number, to: number): void {
    this.cut(states, from);
    this.removeWhere(
      states,
      (state) => !(state.isKept || isFarApart(state) || endOf(state) > to - LATEST || endOf(state) === from),
    );
  }

  /** Adds a state to be computed, with room for its tail. There must be room. Throws if anything is recorded. */
  add(states: RecurrentState[], tokens: number, tail = 0): void {
    this.device.buffers.expectNoneRecorded('states');
    const entries = PAGE_TOKENS + (tail > 0 ? TAIL_TOKENS : 0);
    states.push({
      tokens,
      tail,
      isKept: false,
      layers: this.parts.layers.map((layer, i) => (this.#has(i) ? layer.add('f16', entries) : freedPage())),
    });
    this.#count++;
  }

  /** Keeps the state after `tokens` tokens: a turn ends there. */
  keep(states: readonly RecurrentState[], tokens: number): void {
    const state = stateAt(states, tokens);
    if (state) state.isKept = true;
  }

  /** Releases kept states after `turn` tokens, except the one from which a text of `length` tokens resumes. */
  letGo(states: readonly RecurrentState[], turn: number, length: number): void {
    const next = stateAt(states, length);
    for (const state of states) if (state.tokens > turn && state !== next) state.isKept = false;
  }

  /** Ends a turn after `tokens` tokens: truncates there, and removes states that only steps needed. */
  endTurn(states: RecurrentState[], tokens: number): void {
    this.keep(states, tokens);
    this.cut(states, tokens);
    this.removeWhere(states, (state) => !(state.isKept || isFarApart(state)));
  }

  removeWhere(states: RecurrentState[], isGone: (state: RecurrentState) => boolean): void {
    for (let i = states.length - 1; i >= 0; i--) {
      const state = states[i] as RecurrentState;
      if (!isGone(state)) continue;
      states.splice(i, 1);
      state.layers.forEach((page, layer) => {
        if (this.#has(layer)) this.parts.layers[layer]?.remove(page);
      });
      this.#count--;
    }
  }

  /** Copies a state. There must be room. Throws if anything is recorded. */
  copyOf({ tokens, tail, isKept, layers }: RecurrentState): RecurrentState {
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

  /** A restored state whose layers are already loaded; see `KvCache.restore`. */
  restored(tokens: number, layers: readonly LayerPage[]): RecurrentState {
    this.#count++;
    return { tokens, tail: 0, isKept: true, layers };
  }

  /**
   * Writes the table entries that tell the next submissions which states a sequence's tokens from `from` up to `to` read
   * and write. Per layer, at the sequence slot's `firstPage`: offset read, offset written, 1 + tokens between the state
   * read and `from` (0: nothing to read), and tail tokens of the state written.
   */
  show(firstPage: number, states: readonly RecurrentState[], from: number, to: number): void {
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

/** Longest prefix from which a state can resume. */
const endOf = ({ tokens, tail }: RecurrentState): number => tokens + tail;

/** The state from which a text of `length` tokens resumes. */
const stateAt = (states: readonly RecurrentState[], length: number): RecurrentState | undefined =>
  states.findLast((state) => state.tokens <= length && length <= endOf(state));

/** Whether a multiple of STATE_TOKENS is among the prefixes from which the state can resume. */
const isFarApart = (state: RecurrentState): boolean =>
  Math.floor(endOf(state) / STATE_TOKENS) * STATE_TOKENS >= state.tokens;

/** The states to save with a text, without tails: those at the ends of the last two turns (prompt and answer), and the one before. */
export function recurrentStatesToSave(states: readonly RecurrentState[], config: PageShape): RecurrentState[] {
  const ends = states.filter(({ isKept }) => isKept).slice(-2);
  const before = states.filter(({ tokens }) => tokens < (ends[0]?.tokens ?? Infinity)).slice(-1);
  return [...before, ...ends].map((state) => ({
    ...state,
    tail: 0,
    layers: state.layers.map((page, layer) => withoutTail(page, layerPageUnits(config, layer))),
  }));
}

const withoutTail = (page: LayerPage, units: number): LayerPage =>
  isFreed(page) ? page : { ...page, entries: PAGE_TOKENS, place: { ...page.place, units } };

/** Units of a text's recurrent states in all layers. */
export const recurrentUnits = (states: readonly RecurrentState[]): number =>
  states.reduce((sum, { layers }) => sum + layers.reduce((units, { place }) => units + place.units, 0), 0);
