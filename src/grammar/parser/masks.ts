import { Fuel, GrammarError } from '../limits.ts';
import { type LexerState, NO_LEXEME } from './lexer.ts';
import { type PlainCharacters, plainCharacters } from './plain-strings.ts';
import { NO_STATE, type State, type States } from './states.ts';
import { NOT_PLAIN, type TokenTrie, type TrieNodes } from './token-trie.ts';

/** Tokens: those of the bits, and those of the list. */
interface TokenSet {
  readonly bits: Uint32Array | undefined;
  readonly tokens: Int32Array;
}

/** Tokens that may come within a lexeme, as long as no terminal ends inside of them. */
interface LexemeTokens extends TokenSet {
  /** Nodes of the trie, with others below, at which a terminal ends; they ascend. */
  readonly ends: Int32Array;
  /** Much of the trie is below them. */
  readonly isBroad: boolean;
}

/** Bytes of tokens that are told where there is no time for all. */
const SHORT = 2;
/** Ends of lexemes are broad where more than this part of the trie is below them. */
const BROAD = 8;
/** Bytes of token sets that are kept. */
const MOST_KEPT = 6_000_000;
const QUOTE = 0x22;
/** Rows whose lexemes are found at once. */
const MOST_PREPARED = 256;
const NO_TOKENS = new Int32Array(0);
/** Nodes of the trie that are visited before they are paid for, and what each costs. */
const PAID_AT_ONCE = 4096;
const VISIT = 3;
/** Nodes that are sooner visited than not. */
const FEW = 16;

/**
 * The masks of a grammar's states. What may come within a lexeme depends on the lexer's state alone, and is kept with
 * it: of the trie, only what is below the ends of lexemes is walked for each state of the text.
 */
export class Masks {
  readonly #trie: TokenTrie;
  readonly #states: States;
  readonly #ofLexeme: Kept<LexerState, LexemeTokens>;
  readonly #ofState: Kept<State, TokenSet>;
  /** Tokens that a walk found. */
  readonly #found: Int32Array;
  #foundCount = 0;
  #ends: number[] = [];
  /** The states on the path to the node that is visited, by its depth. */
  readonly #lexemePath: LexerState[];
  readonly #statePath: State[];

  constructor(trie: TokenTrie, states: States) {
    this.#trie = trie;
    this.#states = states;
    this.#ofLexeme = new Kept(MOST_KEPT / 2, (tokens) => sizeOf(tokens) + tokens.ends.byteLength);
    this.#ofState = new Kept(MOST_KEPT / 2, sizeOf);
    this.#found = trie.found;
    this.#lexemePath = new Array<LexerState>(trie.longest + 1).fill(NO_LEXEME);
    this.#statePath = new Array<State>(trie.longest + 1).fill(NO_STATE);
  }

  /**
   * Finds the tokens of the first state, and where `isLarge` what takes long to find where many words may come: the tokens
   * of the lexemes and strings that may begin in the rows that are met first, as far as `fuel` reaches.
   */
  prepare(fuel: Fuel, isLarge: boolean): void {
    const { lexer } = this.#states;
    try {
      lexer.refuel(fuel, Infinity);
      this.#allTokens(this.#states.start);
      for (const row of isLarge ? this.#states.rows(MOST_PREPARED) : []) {
        const lexeme = row.prediction.lexerState;
        if (lexeme === NO_LEXEME) continue;
        this.#lexemeTokens(lexeme);
        const string = lexer.step(lexeme, lexer.classOf[QUOTE]!);
        if (string !== NO_LEXEME) this.#lexemeTokens(string);
      }
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
    }
  }

  /**
   * A bit for each token that may come in a state, lowest first. Tokens are left out where telling takes too much work:
   * most that are longer than a few bytes, if need be. Throws a `GrammarError` where even that takes too much.
   */
  mask(state: State): Uint32Array<ArrayBuffer> {
    const { lexer } = this.#states;
    const { undecided } = lexer;
    let isWhole = true;
    let mask: Uint32Array<ArrayBuffer>;
    try {
      lexer.refuel(maskFuel(this.#trie), MOST_OF_STEP);
      mask = this.#allTokens(state);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      isWhole = false;
      lexer.refuel(new Fuel(SHORT_FUEL, 'the grammar'), MOST_OF_STEP);
      mask = this.#shortTokens(state);
    }
    if ((!isWhole || lexer.undecided !== undecided) && mask.every((word) => word === 0))
      throw new GrammarError('takes more work to follow than is allowed');
    return mask;
  }

  #allTokens(state: State): Uint32Array<ArrayBuffer> {
    const mask = new Uint32Array(this.#trie.words);
    const known = this.#ofState.get(state);
    if (known) {
      addTokens(mask, known);
      return mask;
    }
    const { lexer } = this.#states;
    const { undecided } = lexer;
    if (!this.#addByLexemes(mask, state)) this.#addByStates(mask, state);
    this.#addAlike(mask, state);
    if (lexer.undecided === undecided) this.#ofState.keep(state, compact(mask));
    return mask;
  }

  /** Tokens that end an answer, and those of the same bytes as others. */
  #addAlike(mask: Uint32Array, state: State): void {
    if (state.isAnswer) addListed(mask, this.#trie.eosIds);
    this.#trie.addTwins(mask);
  }

  /** False where ends of lexemes are almost everywhere, so that states are better walked from the root. */
  #addByLexemes(mask: Uint32Array, state: State): boolean {
    const { nodes } = this.#trie;
    const ends: Int32Array[] = [];
    for (const lexeme of new Set(state.lexemes)) {
      const tokens = this.#lexemeTokens(lexeme);
      if (tokens.isBroad) return false;
      addTokens(mask, tokens);
      ends.push(tokens.ends);
    }
    this.#foundCount = 0;
    let walked = 0;
    for (const node of merged(ends)) {
      // What is below a node that was walked is done.
      if (node < walked) continue;
      walked = nodes.end[node]!;
      const { depth } = nodes;
      this.#statePath[depth[node]!] = this.#stateAt(node, state);
      this.#walkStates(nodes, node + 1, walked);
    }
    addListed(mask, this.#found.subarray(0, this.#foundCount));
    return true;
  }

  #addByStates(mask: Uint32Array, state: State): void {
    const states = this.#states;
    const step = (from: State, byteClass: number): State => states.step(from, byteClass);
    const least = plainCharacters(state, states.lexer.plainSteps, step, NO_STATE, this.#longestSlice());
    const slice = this.#trie.slices.find(({ length }) => length <= least);
    if (slice) addTokens(mask, { bits: slice.bits, tokens: NO_TOKENS });
    const nodes = slice?.others ?? this.#trie.nodes;
    this.#foundCount = 0;
    this.#statePath[0] = state;
    this.#walkStates(nodes, 0, nodes.count);
    addListed(mask, this.#found.subarray(0, this.#foundCount));
  }

  /** Those of a few bytes. */
  #shortTokens(state: State): Uint32Array<ArrayBuffer> {
    const mask = new Uint32Array(this.#trie.words);
    const { count, depth, byte, end, token } = this.#trie.nodes;
    const states = this.#states;
    const { classOf } = states.lexer;
    this.#statePath[0] = state;
    for (let i = 0; i < count;) {
      const at = depth[i]!;
      const next = at > SHORT ? NO_STATE : states.step(this.#statePath[at - 1]!, classOf[byte[i]!]!);
      if (next === NO_STATE) {
        i = end[i]!;
        continue;
      }
      this.#statePath[at] = next;
      if (token[i]! >= 0) mask[token[i]! >> 5]! |= 1 << (token[i]! & 31);
      i++;
    }
    this.#addAlike(mask, state);
    return mask;
  }

  /** The state after the bytes of a node. */
  #stateAt(node: number, from: State): State {
    const { nodes, parent } = this.#trie;
    const { classOf } = this.#states.lexer;
    const bytes: number[] = [];
    for (let above = node; above >= 0; above = parent[above]!) bytes.push(nodes.byte[above]!);
    let state = from;
    for (let i = bytes.length - 1; i >= 0; i--) state = this.#states.step(state, classOf[bytes[i]!]!);
    return state;
  }

  /** Finds tokens that may come, at nodes from `first` to before `last`; the states above are on the path. */
  #walkStates({ depth, byte, end, token, groupsBelow }: TrieNodes, first: number, last: number): void {
    const states = this.#states;
    const { classOf } = states.lexer;
    const path = this.#statePath;
    const found = this.#found;
    let count = this.#foundCount;
    let visited = 0;
    for (let i = first; i < last;) {
      if (++visited >= PAID_AT_ONCE) {
        states.lexer.fuel.use(VISIT * visited);
        visited = 0;
      }
      const at = depth[i]!;
      const byteClass = classOf[byte[i]!]!;
      const above = path[at - 1]!;
      const next = above.next[byteClass] ?? states.step(above, byteClass);
      if (next === NO_STATE) {
        i = end[i]!;
        continue;
      }
      path[at] = next;
      if (token[i]! >= 0) found[count++] = token[i]!;
      const below = end[i]!;
      // All that is below may come where each of its bytes leads back to the state.
      if (next === above && below - i > FEW && (groupsBelow[i]! & ~states.loopsOf(next)) === 0) {
        visited += (below - i) >> 2;
        for (let j = i + 1; j < below; j++) if (token[j]! >= 0) found[count++] = token[j]!;
        i = below;
      } else i++;
    }
    states.lexer.fuel.use(VISIT * visited);
    this.#foundCount = count;
  }

  #lexemeTokens(lexeme: LexerState): LexemeTokens {
    const known = this.#ofLexeme.get(lexeme);
    if (known) return known;
    const { slices, words, nodes } = this.#trie;
    const { lexer } = this.#states;
    const { undecided } = lexer;
    const { least, most } = lexer.plainCharacters(lexeme, this.#longestSlice());
    // Ends of lexemes that are not met in a slice do not matter: what is below them is in the slice too.
    let slice = slices.find(({ length }) => length <= least);
    // Where no more characters may come, and no terminal ends, the tokens that are longer need not be looked at.
    if (least === most) slice = { length: least, bits: this.#trie.plainBits(least), others: slices[0]!.others };
    this.#foundCount = 0;
    this.#ends = [];
    const isBroad = !this.#walkLexeme(slice?.others ?? nodes, lexeme);
    if (isBroad) this.#foundCount = 0;
    let bits = slice?.bits;
    let tokens = this.#found.slice(0, this.#foundCount);
    if (tokens.length > words) {
      bits = bits ? bits.slice() : new Uint32Array(words);
      addListed(bits, tokens);
      tokens = NO_TOKENS;
    }
    const set = { bits, tokens, ends: Int32Array.from(this.#ends), isBroad };
    if (lexer.undecided === undecided) this.#ofLexeme.keep(lexeme, set);
    return set;
  }

  /** Characters of the longest slice that has an end. */
  #longestSlice(): number {
    return this.#trie.slices[1]!.length;
  }

  /** False where terminals end above much of the trie. */
  #walkLexeme(nodes: TrieNodes, lexeme: LexerState): boolean {
    const { count, depth, byte, end, token, node, groupsBelow } = nodes;
    const { plainBelow } = this.#trie;
    const wholeEnd = this.#trie.nodes.end;
    const { lexer } = this.#states;
    const { classOf } = lexer;
    const path = this.#lexemePath;
    const found = this.#found;
    const ends = this.#ends;
    const most = this.#trie.nodes.count / BROAD;
    /** Nodes below the ends, and where those of the last one end. */
    let belowEnds = 0;
    let endsUpTo = 0;
    let foundCount = 0;
    path[0] = lexeme;
    let visited = 0;
    for (let i = 0; i < count;) {
      if (++visited >= PAID_AT_ONCE) {
        lexer.fuel.use(VISIT * visited);
        visited = 0;
      }
      const at = depth[i]!;
      const byteClass = classOf[byte[i]!]!;
      const above = path[at - 1]!;
      const next = above.next[byteClass] ?? lexer.step(above, byteClass);
      if (next === NO_LEXEME) {
        i = end[i]!;
        continue;
      }
      if (next.isSlow && takesAll(lexer.plainByForm(next), plainBelow[node[i]!]!)) {
        for (const last = end[i]!; i < last; i++) if (token[i]! >= 0) found[foundCount++] = token[i]!;
        continue;
      }
      path[at] = next;
      if (token[i]! >= 0) found[foundCount++] = token[i]!;
      const below = end[i]!;
      if (next.accepted) {
        const inWhole = node[i]!;
        if (wholeEnd[inWhole]! > inWhole + 1) {
          ends.push(inWhole);
          if (inWhole >= endsUpTo) {
            belowEnds += wholeEnd[inWhole]! - inWhole;
            endsUpTo = wholeEnd[inWhole]!;
          }
          if (belowEnds > most) return false;
        }
        i++;
      } else if (next === above && below - i > FEW && (groupsBelow[i]! & ~lexer.loopsOf(next)) === 0) {
        visited += (below - i) >> 2;
        for (let j = i + 1; j < below; j++) if (token[j]! >= 0) found[foundCount++] = token[j]!;
        i = below;
      } else i++;
    }
    lexer.fuel.use(VISIT * visited);
    this.#foundCount = foundCount;
    return true;
  }
}

/** Work that one mask may take, in units of some 5 to 10 ns: 10 ms, and more where there are more tokens. */
const maskFuel = ({ nodes }: TokenTrie): Fuel => new Fuel(900_000 + 2 * nodes.count, 'the grammar');
/** What one transition may take of it. */
const MOST_OF_STEP = 500_000;
/** Work for the tokens of a few bytes, where there was not enough for all. */
const SHORT_FUEL = 150_000;

/** Whether all plain characters below a node may come, so many at most. */
const takesAll = ({ least }: PlainCharacters, below: number): boolean => below !== NOT_PLAIN && below <= least;

/** What is kept for objects, up to so many bytes: the oldest goes first. */
class Kept<K extends WeakKey, V> {
  readonly #values = new Map<K, V>();
  #bytes = 0;

  constructor(
    private readonly most: number,
    private readonly size: (value: V) => number,
  ) {}

  get(key: K): V | undefined {
    return this.#values.get(key);
  }

  keep(key: K, value: V): void {
    this.#values.set(key, value);
    this.#bytes += this.size(value);
    for (const [oldest, old] of this.#values) {
      if (this.#bytes <= this.most) break;
      this.#values.delete(oldest);
      this.#bytes -= this.size(old);
    }
  }
}

const sizeOf = ({ bits, tokens }: TokenSet): number => 1000 + (bits?.byteLength ?? 0) + tokens.byteLength;

function addTokens(mask: Uint32Array, { bits, tokens }: TokenSet): void {
  if (bits) for (let i = 0; i < mask.length; i++) mask[i]! |= bits[i]!;
  addListed(mask, tokens);
}

function addListed(mask: Uint32Array, tokens: ArrayLike<number>): void {
  for (let i = 0; i < tokens.length; i++) mask[tokens[i]! >> 5]! |= 1 << (tokens[i]! & 31);
}

/** The tokens of a mask, as a list where that is shorter. */
function compact(mask: Uint32Array): TokenSet {
  const tokens: number[] = [];
  for (let i = 0; i < mask.length; i++) {
    for (let word = mask[i]!; word !== 0; word &= word - 1) tokens.push(i * 32 + 31 - Math.clz32(word & -word));
    if (tokens.length > mask.length / 2) return { bits: mask.slice(), tokens: NO_TOKENS };
  }
  return { bits: undefined, tokens: Int32Array.from(tokens) };
}

/** Ascending lists as one, which ascends. */
function merged(lists: readonly Int32Array[]): Int32Array {
  if (lists.length === 1) return lists[0]!;
  const all = new Int32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let count = 0;
  for (const list of lists) {
    all.set(list, count);
    count += list.length;
  }
  return all.sort();
}
