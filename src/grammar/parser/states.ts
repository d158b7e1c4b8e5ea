import type { Grammar } from '../grammar.ts';
import type { Fuel } from '../limits.ts';
import { Earley, type Row } from './earley.ts';
import { isEqual, Lexer, type LexerState, NO_LEXEME, type TerminalSet } from './lexer.ts';

/** Transitions of a state none of which is known. */
const NONE_KNOWN = new Array<State | undefined>(256).fill(undefined);

/**
 * What may follow a text: the lexemes that may be in the middle of it, each with the row where it began. That a lexeme
 * ended just here is one more, of which no byte has come. Equal ones are one object.
 */
export class State {
  /** The state after a byte, by the byte's class; undefined where it is not yet known. */
  next: (State | undefined)[] = NONE_KNOWN;
  /** The only byte that may come; -1 where there is a choice, or none; undefined where it is not yet known. */
  onlyByte: number | undefined;
  /** The same but for white space. */
  onlyOther: number | undefined;
  /** A bit for each group of bytes that lead back to the state itself; undefined where that is not yet known. */
  loops: number | undefined;
  nextInSlot: State | undefined;

  constructor(
    readonly rows: readonly Row[],
    readonly lexemes: readonly LexerState[],
    /** The text so far is an answer. */
    readonly isAnswer: boolean,
  ) {}
}

/** What no text that begins so matches. */
export const NO_STATE = new State([], [], false);

/** States that are kept, in words of 32 bits: some 4 MB. */
const MOST_KEPT = 1_000_000;

/** The deterministic automaton of a grammar's texts, built as its states are met. It has no end where rules are nested. */
export class States {
  readonly lexer: Lexer;
  readonly start: State;
  readonly #earley: Earley;
  #table = new Map<number, State>();
  #kept = 0;

  constructor(grammar: Grammar, fuel: Fuel) {
    this.lexer = new Lexer(grammar.regexes, grammar.terminals, fuel);
    this.#earley = new Earley(grammar, this.lexer);
    const row = this.#earley.start;
    const { lexerState } = row.prediction;
    this.start =
      lexerState === NO_LEXEME ? this.#state([], [], row.isAnswer) : this.#state([row], [lexerState], row.isAnswer);
  }

  /** Rows that are met behind the first lexemes, so many at most, and the first row. */
  rows(most: number): readonly Row[] {
    return this.#earley.rows(most);
  }

  /**
   * The state after a byte of a class; `NO_STATE` where no answer goes on so. Lexemes that the lexer leaves undecided are
   * left out: what the state allows an answer may have.
   */
  step(state: State, byteClass: number): State {
    return state.next[byteClass] ?? this.#newStep(state, byteClass);
  }

  /** A bit for each group of bytes (`GROUP_OF`) that lead back to the state itself. */
  loopsOf(state: State): number {
    return (state.loops ??= this.lexer.groupsWhere((byteClass) => this.step(state, byteClass) === state));
  }

  #newStep(state: State, byteClass: number): State {
    const { lexer } = this;
    const rows: Row[] = [];
    const lexemes: LexerState[] = [];
    const endedRows: Row[] = [];
    const ended: TerminalSet[] = [];
    const undecided = lexer.undecided;
    lexer.fuel.use(100 + state.rows.length);
    for (let i = 0; i < state.rows.length; i++) {
      const lexeme = lexer.step(state.lexemes[i]!, byteClass);
      if (lexeme === NO_LEXEME) continue;
      if (lexeme.continues) {
        rows.push(state.rows[i]!);
        lexemes.push(lexeme);
      }
      if (lexeme.accepted) {
        endedRows.push(state.rows[i]!);
        ended.push(lexeme.accepted);
      }
    }
    let isAnswer = false;
    if (ended.length > 0) {
      const row = this.#earley.follow(endedRows, ended);
      isAnswer = row.isAnswer;
      if (row.prediction.lexerState !== NO_LEXEME) {
        rows.push(row);
        lexemes.push(row.prediction.lexerState);
      }
    }
    const next = rows.length === 0 && !isAnswer ? NO_STATE : this.#state(rows, lexemes, isAnswer);
    // A lexeme that was not decided may be another time.
    if (lexer.undecided > undecided) return next;
    if (state.next === NONE_KNOWN) state.next = new Array<State | undefined>(lexer.classes).fill(undefined);
    state.next[byteClass] = next;
    return next;
  }

  /** The state of these lexemes, whose lists may be changed. */
  #state(rows: Row[], lexemes: LexerState[], isAnswer: boolean): State {
    sort(rows, lexemes);
    let hash = isAnswer ? 1 : 0;
    for (let i = 0; i < rows.length; i++)
      hash = Math.imul(Math.imul(hash, 31) + rows[i]!.id, 0x9e3779b1) + lexemes[i]!.id;
    hash |= 0;
    for (let known = this.#table.get(hash); known; known = known.nextInSlot) {
      if (known.isAnswer === isAnswer && isEqual(known.rows, rows) && isEqual(known.lexemes, lexemes)) return known;
    }
    this.lexer.fuel.use(40);
    if (this.#kept > MOST_KEPT) this.#forget();
    this.#kept += this.lexer.classes * 2 + rows.length * 4 + 60;
    const state = new State(rows, lexemes, isAnswer);
    state.nextInSlot = this.#table.get(hash);
    this.#table.set(hash, state);
    return state;
  }

  /** States in use stay as they are, but equal ones that are met later are others: that only costs time. */
  #forget(): void {
    for (const first of this.#table.values()) {
      for (let state: State | undefined = first; state; state = state.nextInSlot) state.next = NONE_KNOWN;
    }
    this.#table = new Map();
    this.#kept = 0;
  }
}

/** Sorts pairs, most of which are in order, and drops equal ones. */
function sort(rows: Row[], lexemes: LexerState[]): void {
  let count = 0;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    const lexeme = lexemes[i]!;
    let place = count;
    while (place > 0 && isBefore(row, lexeme, rows[place - 1]!, lexemes[place - 1]!)) place--;
    if (place > 0 && rows[place - 1] === row && lexemes[place - 1] === lexeme) continue;
    for (let j = count; j > place; j--) {
      rows[j] = rows[j - 1]!;
      lexemes[j] = lexemes[j - 1]!;
    }
    rows[place] = row;
    lexemes[place] = lexeme;
    count++;
  }
  rows.length = count;
  lexemes.length = count;
}

const isBefore = (rowA: Row, lexemeA: LexerState, rowB: Row, lexemeB: LexerState): boolean =>
  rowA.id === rowB.id ? lexemeA.id < lexemeB.id : rowA.id < rowB.id;
