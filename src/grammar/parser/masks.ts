import { Fuel, LimitError, withinLimits } from '../limits.ts';
import { type LexerState, NO_LEXEME } from './lexer.ts';
import { type PlainCharacters, plainCharacters } from './plain-strings.ts';
import { NO_STATE, type State, type States } from './states.ts';
import { NOT_PLAIN, type TokenTrie, type TrieNodes } from './token-trie.ts';

/** A set of tokens: the tokens of `bits` and of `tokens`. */
interface TokenSet {
  readonly bits: Uint32Array | undefined;
  readonly tokens: Int32Array;
}

/** Tokens that may come within a lexeme, without a terminal ending inside them. */
interface LexemeTokens extends TokenSet {
  /** Inner nodes of the trie at which a terminal ends, ascending. */
  readonly ends: Int32Array;
  /** Much of the trie is below the ends: walking states from the root is faster. */
  readonly isBroad: boolean;
}

/** Longest tokens, in bytes, of a mask whose fuel does not suffice for all tokens. */
const SHORT = 2;
/** A state is broad if more than 1 / `BROAD` of the trie is below the ends of its lexemes. */
const BROAD = 8;
/** Most bytes of cached token sets. */
const MOST_KEPT = 6_000_000;
const QUOTE = 0x22;
/** Most rows whose lexemes are prepared. */
const MOST_PREPARED = 256;
const NO_TOKENS = new Int32Array(0);
/** Nodes of the trie visited between payments of fuel, and the fuel for each. */
const PAID_AT_ONCE = 4096;
const VISIT = 3;
/** Subtrees of at most this size are visited node by node, without a test whether all of their tokens may come. */
const FEW = 16;

/**
 * The token masks of a grammar's states. The tokens within a lexeme depend only on the lexer's state and are cached for
 * it: for each state of the text, only the subtrees below the ends of lexemes are walked.
 */
export class Masks {
  readonly #trie: TokenTrie;
  readonly #states: States;
  readonly #ofLexeme: Kept<LexerState, LexemeTokens>;
  readonly #ofState: Kept<State, TokenSet>;
  /** Tokens found by a walk. */
  readonly #found: Int32Array;
  #foundCount = 0;
  #ends: number[] = [];
  /** The states on the path to the visited node, by depth. */
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
   * Finds the tokens of the first state and of the lexemes that may begin there, also after a quote. With `isLarge`,
   * also those of the next rows, since they take long if many words may come. Stops when `fuel` runs out.
   */
  prepare(fuel: Fuel, isLarge: boolean): void {
    const { lexer } = this.#states;
    lexer.refuel(fuel, Infinity);
    const prepareRows = (): void => {
      this.#allTokens(this.#states.start);
      for (const row of this.#states.rows(isLarge ? MOST_PREPARED : 1)) {
        const lexeme = row.prediction.lexerState;
        if (lexeme === NO_LEXEME) continue;
        this.#lexemeTokens(lexeme);
        const string = lexer.step(lexeme, lexer.classOf[QUOTE]!);
        if (string !== NO_LEXEME) this.#lexemeTokens(string);
      }
    };
    withinLimits(prepareRows, () => undefined);
  }

  /**
   * A bit for each token that may come in a state, lowest first. If finding all tokens takes too much work, some are
   * omitted: most that are longer than a few bytes, if necessary. Later calls for the state return the same tokens.
   * Throws a `LimitError` if no token can be found.
   */
  mask(state: State): Uint32Array<ArrayBuffer> {
    const { lexer } = this.#states;
    const { undecided } = lexer;
    lexer.refuel(maskFuel(this.#trie), MOST_OF_STEP);
    let isWhole = true;
    const mask = withinLimits(
      () => this.#allTokens(state),
      () => {
        isWhole = false;
        lexer.refuel(new Fuel(SHORT_FUEL, 'the grammar'), MOST_OF_STEP);
        return this.#shortTokens(state);
      },
    );
    if ((!isWhole || lexer.undecided !== undecided) && mask.every((word) => word === 0))
      throw new LimitError('takes more work to follow than is allowed');
    return mask;
  }

  #allTokens(state: State): Uint32Array<ArrayBuffer> {
    const mask = new Uint32Array(this.#trie.words);
    const known = this.#ofState.get(state);
    if (known) {
      addTokens(mask, known);
      return mask;
    }
    if (!this.#addByLexemes(mask, state)) this.#addByStates(mask, state);
    this.#addAlike(mask, state);
    this.#keep(state, mask);
    return mask;
  }

  /**
   * Incomplete masks are cached too, so that later calls return the same; an empty one is computed again, and refused.
   */
  #keep(state: State, mask: Uint32Array): void {
    if (mask.some((word) => word !== 0)) this.#ofState.keep(state, compact(mask));
  }

  /** Adds tokens that end an answer, and tokens with the same bytes as allowed ones. */
  #addAlike(mask: Uint32Array, state: State): void {
    if (state.isAnswer) addListed(mask, this.#trie.eosIds);
    this.#trie.addTwins(mask);
  }

  /** False if a lexeme is broad. */
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
      // The node is in a subtree that was walked.
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

  /** The mask of tokens of at most `SHORT` bytes. */
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
    this.#keep(state, mask);
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
      // All tokens below may come if each of their bytes leads back to the state.
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
    // Lexeme ends inside the slice, which the walk misses, do not matter: the tokens below them are in the slice too.
    let slice = slices.find(({ length }) => length <= least);
    // If no more characters may come and no terminal ends, longer plain tokens need no visit.
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

  /** Characters of the longest slice with a limit. */
  #longestSlice(): number {
    return this.#trie.slices[1]!.length;
  }

  /** False if terminals end above much of the trie. */
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
    /** Number of nodes below the ends, and the end of the last such subtree. */
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

/** Fuel for one mask, in units of about 5 to 20 ns: at most about 10 ms. Of 126,706 masks of real schemas one needs more. */
const maskFuel = ({ nodes }: TokenTrie): Fuel => new Fuel(300_000 + nodes.count, 'the grammar');
/** Most of this fuel that one transition may take. */
const MOST_OF_STEP = 200_000;
/** Fuel for the tokens of a few bytes, if the fuel for all tokens ran out. */
const SHORT_FUEL = 150_000;

/** Whether all tokens below a node may come because they are plain and short enough. */
const takesAll = ({ least }: PlainCharacters, below: number): boolean => below !== NOT_PLAIN && below <= least;

/** A cache of values by object, up to `most` bytes; evicts the oldest first. */
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

/** The tokens of a mask, as a list if that is shorter. */
function compact(mask: Uint32Array): TokenSet {
  const tokens: number[] = [];
  for (let i = 0; i < mask.length; i++) {
    for (let word = mask[i]!; word !== 0; word &= word - 1) tokens.push(i * 32 + 31 - Math.clz32(word & -word));
    if (tokens.length > mask.length / 2) return { bits: mask.slice(), tokens: NO_TOKENS };
  }
  return { bits: undefined, tokens: Int32Array.from(tokens) };
}

/** Merges ascending lists into one ascending list. */
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
