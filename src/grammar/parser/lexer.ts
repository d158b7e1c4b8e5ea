import type { Fuel } from '../limits.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';
import { byteClasses } from '../regex/regexes.ts';
import { type PlainCharacters, plainCharacters, PlainStrings, plainSteps } from './plain-strings.ts';

/** Terminals by their indices, ascending. Equal sets are one object. */
export interface TerminalSet {
  readonly id: number;
  readonly terminals: readonly number[];
}

/** Transitions of a state none of which is known. */
const NONE_KNOWN = new Array<LexerState | undefined>(256).fill(undefined);

/** The beginning of a lexeme: the terminals that it may become, and what each of them still needs. Equal ones are one object. */
export class LexerState {
  /** The state after a byte, by the byte's class; undefined where it is not yet known. */
  next: (LexerState | undefined)[] = NONE_KNOWN;
  /** Of each class the first of those that are known to lead to the same state. */
  groups: Uint8Array | undefined;

  constructor(
    readonly id: number,
    readonly terminals: readonly number[],
    /** What is left of each of the terminals: it matches something. */
    readonly regexes: readonly Regex[],
    /** The terminals that match the lexeme as it is. */
    readonly accepted: TerminalSet | undefined,
    /** Whether a terminal may match it with more bytes. */
    readonly continues: boolean,
  ) {}
}

/** No terminal begins like this. */
export const NO_LEXEME = new LexerState(0, [], [], undefined, false);

/** States of more terminals do not look for classes that lead to the same state. */
const MOST_GROUPED = 6;
/** States and what belongs to them, in words of 32 bits, that are kept: some 6 MB. */
const MOST_KEPT = 1_500_000;

/**
 * Deterministic states of the terminals that may come together, built as they are met: derivatives of the terminals'
 * expressions by bytes.
 */
export class Lexer {
  /** Of each byte its class: those of a class lead to the same states. */
  readonly classOf: Uint8Array;
  readonly classes: number;
  /** Of each class its bytes. */
  readonly bytesOf: readonly (readonly number[])[];
  /** Pays for new states; another one for each piece of work. */
  fuel: Fuel;

  readonly #regexes: Regexes;
  readonly #roots: readonly Regex[];
  #states = new Map<string, LexerState>();
  #sets = new Map<string, TerminalSet>();
  #kept = 0;
  #lastId = 0;
  /** For each state of reading plain characters the classes of bytes that may come, each with the state after it. */
  readonly plainSteps: readonly (readonly (readonly [byteClass: number, next: number])[])[];
  readonly #plain: PlainStrings;

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
    this.plainSteps = plainSteps(classOf);
    this.#plain = new PlainStrings(regexes, classOf);
  }

  /** The state in which any of these terminals may begin; they ascend. */
  initial(terminals: readonly number[]): LexerState {
    return this.#state(
      terminals,
      terminals.map((terminal) => this.#roots[terminal]!),
    );
  }

  /** The state after a byte of a class; `NO_LEXEME` exactly where no terminal goes on so. */
  step(state: LexerState, byteClass: number): LexerState {
    return state.next[byteClass] ?? this.#newStep(state, byteClass);
  }

  #newStep(state: LexerState, byteClass: number): LexerState {
    if (state.regexes.length <= MOST_GROUPED) state.groups ??= this.#groupsOf(state);
    const group = state.groups?.[byteClass] ?? byteClass;
    const next = state.next[group] ?? this.#derived(state, group);
    // The table may have been given up meanwhile.
    if (state.next === NONE_KNOWN) state.next = new Array<LexerState | undefined>(this.classes).fill(undefined);
    state.next[byteClass] = next;
    state.next[group] = next;
    return next;
  }

  #derived(state: LexerState, byteClass: number): LexerState {
    const regexes = this.#regexes;
    const byte = this.bytesOf[byteClass]![0]!;
    this.fuel.use(10 + 10 * state.regexes.length);
    const terminals: number[] = [];
    const rests: Regex[] = [];
    for (let i = 0; i < state.regexes.length; i++) {
      const rest = regexes.derivative(state.regexes[i]!, byte);
      if (rest === regexes.nothing || regexes.isEmptyLanguage(rest)) continue;
      terminals.push(state.terminals[i]!);
      rests.push(rest);
    }
    return this.#state(terminals, rests);
  }

  /** Of each class the first that leads to the same state, as far as that is seen before the states are known. */
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

  #state(terminals: readonly number[], rests: readonly Regex[]): LexerState {
    if (terminals.length === 0) return NO_LEXEME;
    const key = `${terminals.join()};${rests.join()}`;
    const known = this.#states.get(key);
    if (known) return known;
    this.fuel.use(50);
    const words = this.classes * 2 + rests.length * 6 + 40;
    if (this.#kept + words > MOST_KEPT) this.#forget();
    this.#kept += words;
    const accepted = terminals.filter((_, i) => this.#regexes.isNullable(rests[i]!));
    const continues = accepted.length < terminals.length || rests.some((rest) => this.#continues(rest));
    const accepts = accepted.length > 0 ? this.#set(accepted) : undefined;
    const state = new LexerState(++this.#lastId, terminals, rests, accepts, continues);
    this.#states.set(key, state);
    return state;
  }

  #set(terminals: readonly number[]): TerminalSet {
    const key = terminals.join();
    let set = this.#sets.get(key);
    if (!set) this.#sets.set(key, (set = { id: this.#sets.size, terminals }));
    return set;
  }

  /** Whether an expression matches anything but the empty string. */
  #continues(regex: Regex): boolean {
    const regexes = this.#regexes;
    if (regex === regexes.empty) return false;
    return this.bytesOf.some(([byte]) => {
      this.fuel.use(10);
      return !regexes.isEmptyLanguage(regexes.derivative(regex, byte!));
    });
  }

  /** States in use stay as they are, but equal ones that are met later are others: whatever compares them takes longer. */
  #forget(): void {
    for (const state of this.#states.values()) state.next = NONE_KNOWN;
    this.#states = new Map();
    this.#kept = 0;
  }

  /** The plain characters that may come within a lexeme. At least `enough` are known, if so many may come. */
  plainCharacters(state: LexerState, enough: number): PlainCharacters {
    let least = 0;
    let most = 0;
    let mayEnd = false;
    for (const regex of state.regexes) {
      const characters = this.#plain.of(regex);
      least = Math.max(least, characters.least);
      most = Math.max(most, characters.most);
      mayEnd ||= characters.mayEnd;
    }
    if (least < enough && least < most) {
      const step = (from: LexerState, byteClass: number): LexerState => this.step(from, byteClass);
      least = Math.max(least, plainCharacters(state, this.plainSteps, step, NO_LEXEME, enough));
    }
    return { least, most, mayEnd };
  }
}
