import type { Grammar } from '../grammar.ts';
import { isJsonSpace, type JsonStyle } from '../json-style.ts';
import { Fuel, withinLimits } from '../limits.ts';
import { Masks } from './masks.ts';
import { NO_STATE, type State, States } from './states.ts';
import type { TokenTrie } from './token-trie.ts';

/** The most forced bytes that are returned at once. */
const MOST_FORCED = 4096;

/**
 * Fuel for the first state and for each token, in units of about 5 to 10 ns. More than for a mask, since masks contain
 * tokens that are known from the form of expressions.
 */
const TOKEN_FUEL = 10_000_000;
/** The same for forced text. */
const FORCED_FUEL = 200_000;

/** Grammars with more expressions are large; and the fuel for masks that are prepared before the first token. */
const LARGE = 4000;
const PREPARING_FUEL = 40_000_000;

/** The automaton and masks of a grammar with a vocabulary, shared by all of their matchers. */
interface Automaton {
  states: States;
  masks: Masks;
}

const automata = new WeakMap<Grammar, WeakMap<TokenTrie, Automaton>>();

function automatonOf(grammar: Grammar, trie: TokenTrie): Automaton {
  let ofGrammar = automata.get(grammar);
  if (!ofGrammar) automata.set(grammar, (ofGrammar = new WeakMap()));
  let automaton = ofGrammar.get(trie);
  if (!automaton) {
    const states = new States(grammar, new Fuel(TOKEN_FUEL, 'the grammar'));
    ofGrammar.set(trie, (automaton = { states, masks: new Masks(trie, states) }));
    automaton.masks.prepare(new Fuel(PREPARING_FUEL, 'the grammar'), grammar.regexes.nodes.count > LARGE);
  }
  return automaton;
}

/** Matches one answer token by token. */
export class Matcher {
  readonly #trie: TokenTrie;
  readonly #states: States;
  readonly #masks: Masks;
  /** The states before the first token and after each token; undefined after a token that ends the answer. */
  readonly #path: (State | undefined)[];

  constructor(grammar: Grammar, trie: TokenTrie) {
    const { states, masks } = automatonOf(grammar, trie);
    this.#trie = trie;
    this.#states = states;
    this.#masks = masks;
    this.#path = [states.start];
  }

  /**
   * A bit for each token that may come next, lowest first: `[ceil(vocabSize / 32)]`. If the answer may end, that
   * includes the tokens that end it. Throws a `LimitError` if finding any token takes too much work.
   */
  mask(): Uint32Array<ArrayBuffer> {
    const state = this.#path.at(-1);
    return state ? this.#masks.mask(state) : new Uint32Array(this.#trie.words);
  }

  /** Advances by a token. False, without a change, if the token may not come or deciding that takes too much work. */
  accept(token: number): boolean {
    const state = this.#path.at(-1);
    if (!state) return false;
    this.#states.lexer.refuel(new Fuel(TOKEN_FUEL, 'the grammar'), Infinity);
    for (const bytes of [this.#trie.controlNameOf(token), this.#trie.textOf(token)]) {
      if (bytes.length === 0) continue;
      const next = this.#stateAfter(state, bytes);
      if (next === NO_STATE) continue;
      this.#path.push(next);
      return true;
    }
    if (!state.isAnswer || !this.#trie.eosIds.includes(token)) return false;
    this.#path.push(undefined);
    return true;
  }

  #stateAfter(from: State, bytes: ArrayLike<number>): State {
    const { classOf } = this.#states.lexer;
    const follow = (): State => {
      let state = from;
      for (let i = 0; i < bytes.length && state !== NO_STATE; i++)
        state = this.#states.step(state, classOf[bytes[i]!]!);
      return state;
    };
    return withinLimits(follow, () => NO_STATE);
  }

  /** The bytes of a token; none for a control token. */
  textOf(token: number): Uint8Array {
    return this.#trie.textOf(token);
  }

  /** Removes the last tokens. Throws if there are fewer. */
  rollback(tokens: number): void {
    if (tokens >= this.#path.length) throw new RangeError(`rollback: of ${this.#path.length - 1} tokens, ${tokens}`);
    this.#path.length -= tokens;
  }

  /** Whether the answer may end here. */
  get canEnd(): boolean {
    return this.#path.at(-1)?.isAnswer ?? true;
  }

  /** Whether nothing but the end may follow. */
  get mustEnd(): boolean {
    return (this.#path.at(-1)?.rows.length ?? 0) === 0;
  }

  /**
   * The bytes that must come next; none if there is a choice or the answer may end. They stop before a control token,
   * after some thousands, or when finding more takes too much work.
   */
  forcedBytes(): Uint8Array {
    return this.#onlyBytes(
      MOST_FORCED,
      (state) => (state.onlyByte ??= this.#onlyByte(state, () => false)),
      () => [],
    );
  }

  /**
   * The bytes that must come next apart from JSON's white space, for which `style` gives the likely choice; `most` at
   * most.
   */
  likelyBytes(style: JsonStyle, most: number): Uint8Array {
    return this.#onlyBytes(
      most,
      (state) => (state.onlyOther ??= this.#onlyByte(state, isJsonSpace)),
      (before) => (before === undefined ? style.space : style.spaceAfter(before)),
    );
  }

  /** The bytes that `onlyOf` finds, with white space between them if it may come. */
  #onlyBytes(
    most: number,
    onlyOf: (state: State) => number,
    spaceAfter: (before: number | undefined) => readonly number[],
  ): Uint8Array {
    const bytes: number[] = [];
    const { lexer } = this.#states;
    lexer.refuel(new Fuel(FORCED_FUEL, 'the grammar'), FORCED_FUEL / 2);
    const follow = (): void => {
      for (let state = this.#path.at(-1); state && bytes.length < most;) {
        const byte = onlyOf(state);
        if (byte < 0 || byte === 0xff) break;
        const space = spaceAfter(bytes.at(-1));
        const spaced = this.#stateAfter(state, space);
        if (spaced !== NO_STATE) bytes.push(...space);
        bytes.push(byte);
        state = this.#states.step(spaced === NO_STATE ? state : spaced, lexer.classOf[byte]!);
      }
    };
    withinLimits(follow, () => undefined);
    return Uint8Array.from(bytes);
  }

  /** The only byte that may come apart from ignored ones; -1: a choice, or none. */
  #onlyByte(state: State, isIgnored: (byte: number) => boolean): number {
    const { bytesOf } = this.#states.lexer;
    if (state.isAnswer) return -1;
    const { undecided } = this.#states.lexer;
    let only = -1;
    for (let byteClass = 0; byteClass < bytesOf.length; byteClass++) {
      if (bytesOf[byteClass]!.every(isIgnored) || this.#states.step(state, byteClass) === NO_STATE) continue;
      if (only !== -1 || bytesOf[byteClass]!.length > 1) return -1;
      only = bytesOf[byteClass]![0]!;
    }
    return this.#states.lexer.undecided === undecided ? only : -1;
  }
}
