import { Fuel, LimitError } from '../limits.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';
import { byteClasses } from '../regex/regexes.ts';
import { BYTES, CONCAT, HAS_BOOLEAN, OR, SURELY_INFINITE } from '../regex/nodes.ts';
import { GROUP_OF } from './token-trie.ts';
import { type PlainCharacters, plainCharacters, PlainStrings, plainSteps } from './plain-strings.ts';

/** Terminals by their indices, ascending. Equal sets are one object. */
export interface TerminalSet {
  readonly id: number;
  readonly terminals: readonly number[];
}

/** The transitions of a new state: none is known yet. */
const NONE_KNOWN = new Array<LexerState | undefined>(256).fill(undefined);

/** A prefix of a lexeme: the terminals that it may become, and the derivative of each. Equal states are one object. */
export class LexerState {
  /** The state after a byte, by the byte's class; undefined: not known yet. */
  next: (LexerState | undefined)[] = NONE_KNOWN;
  /** For each class, the first class known to lead to the same state. */
  groups: Uint8Array | undefined;
  /**
   * If there are many terminals: for each class, the terminals that may continue with it, as indices into the lists.
   */
  entriesOf: readonly (readonly number[])[] | undefined;
  plain: PlainCharacters | undefined;
  /** A bit for each group of bytes that lead back to the state itself; undefined: not known yet. */
  loops: number | undefined;
  /** The next state in the same slot of the table. */
  nextInSlot: LexerState | undefined;

  /** The terminals that match the prefix as it is. */
  readonly accepted: TerminalSet | undefined;
  /** Whether a terminal may match the prefix with more bytes. */
  readonly continues: boolean;
  /** Expressions contain intersections or complements, so new states after this one take long to find. */
  readonly isSlow: boolean;

  constructor(
    readonly id: number,
    readonly terminals: readonly number[],
    /** The derivative of each terminal, which matches something. */
    readonly regexes: readonly Regex[],
    { accepted, continues, isSlow }: Pick<LexerState, 'accepted' | 'continues' | 'isSlow'>,
  ) {
    this.accepted = accepted;
    this.continues = continues;
    this.isSlow = isSlow;
  }
}

/** No terminal begins like this. */
export const NO_LEXEME = new LexerState(0, [], [], { accepted: undefined, continues: false, isSlow: false });

/** Fuel for one unit of work on expressions, about 1 µs. */
const DERIVATIVE_COST = 100;
/**
 * States with at least this number of terminals look up the terminals that continue with a class; others group classes
 * that lead to the same state.
 */
const WIDE = 7;
/** An expression with at least this number of alternatives is too wide to group classes. */
const WIDE_ALTERNATIVES = 24;
const WIDE_DEPTH = 6;
/** Most memory of states and their tables, in words of 32 bits: about 6 MB. */
const MOST_KEPT = 1_500_000;

/**
 * A deterministic automaton over sets of terminals, built on demand: its states are derivatives of the terminals'
 * expressions.
 */
export class Lexer {
  /** The class of each byte: bytes of one class lead to the same states. */
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** The bytes of each class. */
  readonly bytesOf: readonly (readonly number[])[];
  /** For each class, a bit for each group that its bytes are in. */
  readonly #groupsOfClass: readonly number[];
  /** Pays for new states. A unit is about 5 to 10 ns. */
  fuel: Fuel;
  /** The part of `fuel` that the expressions of one transition may take. */
  #mostOfStep = Infinity;
  /**
   * How often a state counted as `NO_LEXEME` because finding it would have taken too much work. Such results are not
   * cached.
   */
  undecided = 0;

  readonly #stepFuel = new Fuel(0, 'a step');
  readonly #regexes: Regexes;
  readonly #roots: readonly Regex[];
  #states = new Map<number, LexerState>();
  #sets = new Map<string, TerminalSet>();
  #kept = 0;
  #lastId = 0;
  /** For each state of reading plain characters, the byte classes that may come, each with the next state. */
  readonly plainSteps: readonly (readonly (readonly [byteClass: number, next: number])[])[];
  readonly #plain: PlainStrings;
  /** Groups of one class each. */
  readonly #ownGroups: Uint8Array;
  readonly #classesOfSets = new Map<number, readonly number[]>();

  constructor(regexes: Regexes, terminals: readonly Regex[], fuel: Fuel) {
    this.#regexes = regexes;
    this.#roots = terminals;
    this.fuel = fuel;
    const { classOf, count } = byteClasses(regexes, terminals);
    this.classOf = classOf;
    this.classes = count;
    const bytesOf = Array.from({ length: count }, (): number[] => []);
    classOf.forEach((index, byte) => bytesOf[index]!.push(byte));
    this.bytesOf = bytesOf;
    this.#groupsOfClass = bytesOf.map((bytes) => bytes.reduce((bits, byte) => bits | (1 << GROUP_OF[byte]!), 0));
    this.#ownGroups = Uint8Array.from(bytesOf, (_, byteClass) => byteClass);
    this.plainSteps = plainSteps(classOf);
    this.#plain = new PlainStrings(regexes, classOf);
    regexes.seesMatch = (regex) => this.#plain.surelyMatches(regex);
  }

  /**
   * Sets the fuel for the next piece of work; the expressions of one transition may take at most `mostOfStep` of it.
   */
  refuel(fuel: Fuel, mostOfStep: number): void {
    this.fuel = fuel;
    this.#mostOfStep = mostOfStep;
  }

  /** The state in which any of these terminals may begin; they ascend. */
  initial(terminals: readonly number[]): LexerState {
    return this.#state(
      terminals,
      terminals.map((terminal) => this.#roots[terminal]!),
    );
  }

  /** A bit for each group of bytes (`GROUP_OF`) that lead back to the state itself. */
  loopsOf(state: LexerState): number {
    return (state.loops ??= this.groupsWhere((byteClass) => this.step(state, byteClass) === state));
  }

  /** The groups of bytes whose classes all satisfy `is`. */
  groupsWhere(is: (byteClass: number) => boolean): number {
    return this.#groupsOfClass.reduce((groups, ofClass, byteClass) => (is(byteClass) ? groups : groups & ~ofClass), -1);
  }

  /** The state after a byte of a class; `NO_LEXEME` if no terminal continues with it, or if that is undecided. */
  step(state: LexerState, byteClass: number): LexerState {
    return state.next[byteClass] ?? this.#newStep(state, byteClass);
  }

  #newStep(state: LexerState, byteClass: number): LexerState {
    const isWide = state.regexes.length >= WIDE;
    if (!state.groups) {
      const hasOwn = isWide || state.regexes.some((regex) => this.#isWide(regex, 0));
      state.groups = hasOwn ? this.#ownGroups : this.#groupsOf(state);
    }
    const group = state.groups[byteClass]!;
    const next = state.next[group] ?? this.#derived(state, group, isWide ? this.#entriesFor(state, group) : undefined);
    if (next === undefined) {
      this.undecided++;
      return NO_LEXEME;
    }
    // The table may have been evicted meanwhile.
    if (state.next === NONE_KNOWN) state.next = new Array<LexerState | undefined>(this.classes).fill(undefined);
    state.next[byteClass] = next;
    state.next[group] = next;
    return next;
  }

  /**
   * The state after a byte of a class; undefined if finding it takes too much work. `entries`: the state's terminals
   * that may continue with the class, if known.
   */
  #derived(state: LexerState, byteClass: number, entries: readonly number[] | undefined): LexerState | undefined {
    const regexes = this.#regexes;
    const byte = this.bytesOf[byteClass]![0]!;
    const count = entries?.length ?? state.regexes.length;
    this.fuel.use(60 + 5 * count);
    const terminals: number[] = [];
    const rests: Regex[] = [];
    return this.#bounded(undefined, () => {
      for (let k = 0; k < count; k++) {
        const i = entries ? entries[k]! : k;
        const rest = regexes.derivative(state.regexes[i]!, byte);
        if (!this.#matches(rest)) continue;
        terminals.push(state.terminals[i]!);
        rests.push(rest);
      }
      return this.#state(terminals, rests);
    });
  }

  /** The result of `work` on expressions; `otherwise` if it takes too much fuel. */
  #bounded<T>(otherwise: T, work: () => T): T {
    const fuel = this.#stepFuel;
    const most = Math.min(this.#mostOfStep, this.fuel.left) / DERIVATIVE_COST;
    fuel.left = most;
    this.#regexes.fuel = fuel;
    try {
      return work();
    } catch (error) {
      if (error instanceof LimitError && this.fuel.left >= 0) return otherwise;
      throw error;
    } finally {
      this.fuel.use((most - fuel.left) * DERIVATIVE_COST);
    }
  }

  /** Whether an expression begins with too many alternatives for classes to lead to the same states. */
  #isWide(regex: Regex, depth: number): boolean {
    const { nodes } = this.#regexes;
    let rest = regex;
    while (nodes.kind[rest] === CONCAT) {
      const first = nodes.first[rest]!;
      if (this.#isWide(first, depth + 1)) return true;
      if (!this.#regexes.isNullable(first)) return false;
      rest = nodes.second[rest]!;
    }
    if (nodes.kind[rest] !== OR) return false;
    if (nodes.second[rest]! >= WIDE_ALTERNATIVES || depth === WIDE_DEPTH) return true;
    return nodes.partsOf(rest).some((part) => this.#isWide(part, depth + 1));
  }

  /** For each class, the first class that leads to the same state, as far as the expressions show it. */
  #groupsOf({ regexes }: LexerState): Uint8Array {
    const firstOf = new Map<number, number>();
    const groups = new Uint8Array(this.classes);
    const classesOf = regexes.map((regex) => this.#regexes.nextClasses(regex).classOf);
    for (let byteClass = 0; byteClass < this.classes; byteClass++) {
      const byte = this.bytesOf[byteClass]![0]!;
      let key = 0;
      for (const classOf of classesOf) key = key * 256 + classOf[byte]!;
      const first = firstOf.get(key);
      if (first === undefined) firstOf.set(key, byteClass);
      groups[byteClass] = first ?? byteClass;
    }
    return groups;
  }

  /** The state's terminals that may continue with a class, and perhaps others, as indices into the state's lists. */
  #entriesFor(state: LexerState, byteClass: number): readonly number[] {
    if (!state.entriesOf) {
      const { nodes } = this.#regexes;
      const entriesOf = Array.from({ length: this.classes }, (): number[] => []);
      for (const [i, regex] of state.regexes.entries()) {
        const head = nodes.kind[regex] === CONCAT ? nodes.first[regex]! : regex;
        if (nodes.kind[head] !== BYTES) for (const entries of entriesOf) entries.push(i);
        else for (const each of this.#classesOfSet(nodes.first[head]!)) entriesOf[each]!.push(i);
      }
      this.fuel.use(5 * state.regexes.length);
      state.entriesOf = entriesOf;
    }
    return state.entriesOf[byteClass]!;
  }

  #classesOfSet(set: number): readonly number[] {
    let classes = this.#classesOfSets.get(set);
    if (!classes) {
      const { byteSets } = this.#regexes;
      classes = this.bytesOf.flatMap(([byte], byteClass) => (byteSets.has(set, byte!) ? [byteClass] : []));
      this.#classesOfSets.set(set, classes);
    }
    return classes;
  }

  #state(terminals: readonly number[], rests: readonly Regex[]): LexerState {
    if (terminals.length === 0) return NO_LEXEME;
    let hash = 0;
    for (let i = 0; i < terminals.length; i++) {
      hash = Math.imul(Math.imul(hash, 31) + terminals[i]!, 0x9e3779b1) + rests[i]!;
      hash ^= hash >>> 15;
    }
    for (let known = this.#states.get(hash); known; known = known.nextInSlot) {
      if (isEqual(known.terminals, terminals) && isEqual(known.regexes, rests)) return known;
    }
    this.fuel.use(180 + 20 * rests.length);
    const words = this.classes * 2 + rests.length * 6 + 60;
    if (this.#kept + words > MOST_KEPT) this.#forget();
    this.#kept += words;
    const accepted = terminals.filter((_, i) => this.#regexes.isNullable(rests[i]!));
    const continues = accepted.length < terminals.length || rests.some((rest) => this.#continues(rest));
    const accepts = accepted.length > 0 ? this.set(accepted) : undefined;
    const isSlow = rests.some((rest) => (this.#regexes.nodes.facts[rest]! & HAS_BOOLEAN) !== 0);
    const state = new LexerState(++this.#lastId, terminals, rests, { accepted: accepts, continues, isSlow });
    state.nextInSlot = this.#states.get(hash);
    this.#states.set(hash, state);
    return state;
  }

  /** The set of these terminals; they ascend. */
  set(terminals: readonly number[]): TerminalSet {
    const key = terminals.join();
    let set = this.#sets.get(key);
    if (!set) this.#sets.set(key, (set = { id: this.#sets.size, terminals }));
    return set;
  }

  #matches(regex: Regex): boolean {
    const regexes = this.#regexes;
    if (regex === regexes.nothing) return false;
    return !regexes.isEmptyLanguage(regex);
  }

  /** Whether an expression matches anything but the empty string. */
  #continues(regex: Regex): boolean {
    const regexes = this.#regexes;
    if (regex === regexes.empty) return false;
    const facts = regexes.nodes.facts[regex]!;
    if ((facts & HAS_BOOLEAN) === 0 || (facts & SURELY_INFINITE) !== 0) return true;
    return this.bytesOf.some(([byte]) => {
      this.fuel.use(10);
      return this.#matches(regexes.derivative(regex, byte!));
    });
  }

  /**
   * States in use stay valid, but equal states built later are other objects, so work that compares states takes
   * longer.
   */
  #forget(): void {
    for (const first of this.#states.values()) {
      for (let state: LexerState | undefined = first; state; state = state.nextInSlot) {
        state.next = NONE_KNOWN;
        state.entriesOf = undefined;
      }
    }
    this.#states = new Map();
    this.#kept = 0;
  }

  /** The plain characters that may come within a lexeme, as far as the form of its expressions shows. */
  plainByForm(state: LexerState): PlainCharacters {
    return (state.plain ??= this.#bounded({ least: 0, most: Infinity }, () => {
      let least = 0;
      let most = 0;
      for (const regex of state.regexes) {
        const characters = this.#plain.of(regex);
        least = Math.max(least, characters.least);
        most = Math.max(most, characters.most);
      }
      return { least, most };
    }));
  }

  /**
   * The plain characters that may come within a lexeme. Also searches transitions, until `enough` are known to be
   * possible.
   */
  plainCharacters(state: LexerState, enough: number): PlainCharacters {
    const byForm = this.plainByForm(state);
    const { least, most } = byForm;
    if (least >= enough || least === most) return byForm;
    const step = (from: LexerState, byteClass: number): LexerState => this.step(from, byteClass);
    const found = plainCharacters(state, this.plainSteps, step, NO_LEXEME, enough);
    return { least: Math.max(least, found), most };
  }
}

export function isEqual<T>(a: readonly T[], b: readonly T[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
