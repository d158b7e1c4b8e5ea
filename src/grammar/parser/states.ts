import type { Grammar } from '../grammar.ts';
import type { Fuel } from '../limits.ts';
import { Earley, type Row } from './earley.ts';
import { isEqual, Lexer, type LexerState, NO_LEXEME, type TerminalSet } from './lexer.ts';

/** The transitions of a new state: none is known yet. */
const NONE_KNOWN = new Array<State | undefined>(256).fill(undefined);

/**
 * The state of the parser after a text: the lexemes that may be open, each with the row where it began. If a lexeme may
 * have just ended, the next lexeme, without any bytes, is one of them. Equal states are one object.
 */
export class State {
  /** The state after a byte, by the byte's class; undefined: not known yet. */
  next: (State | undefined)[] = NONE_KNOWN;
  /** The only byte that may come; -1: a choice, or none; undefined: not known yet. */
  onlyByte: number | undefined;
  /** The same, ignoring white space. */
  onlyOther: number | undefined;
  /** A bit for each group of bytes that lead back to the state itself; undefined: not known yet. */
  loops: number | undefined;
  nextInSlot: State | undefined;

  constructor(
    readonly rows: readonly Row[],
    readonly lexemes: readonly LexerState[],
    /** The text so far is an answer. */
    readonly isAnswer: boolean,
  ) {}
}

/** The state from which no answer can be reached. */
export const NO_STATE = new State([], [], false);

/** Most memory of states, in words of 32 bits: about 4 MB. */
const MOST_KEPT = 1_000_000;

/** The deterministic automaton of a grammar's texts, built on demand. It is infinite if rules are nested. */
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

  /** The first row and the rows after the first lexemes, `most` at most. */
  rows(most: number): readonly Row[] {
    return this.#earley.rows(most);
  }

  /**
   * The state after a byte of a class; `NO_STATE` if no answer continues with it. Lexemes that the lexer leaves
   * undecided are omitted, so the state allows only valid answers.
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
    // An undecided lexeme may be decided another time.
    if (lexer.undecided > undecided) return next;
    if (state.next === NONE_KNOWN) state.next = new Array<State | undefined>(lexer.classes).fill(undefined);
    state.next[byteClass] = next;
    return next;
  }

  /** The state of these lexemes; may modify the lists. */
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

  /** States in use stay valid, but equal states built later are other objects, which only costs time. */
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
