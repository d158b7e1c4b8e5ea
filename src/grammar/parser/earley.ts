import type { Grammar, Sym } from '../grammar.ts';
import { PairMap } from './pair-map.ts';
import { isEqual, type Lexer, type LexerState, NO_LEXEME, type TerminalSet } from './lexer.ts';

/**
 * An Earley item without its origin: a rule, and the suffix of one of its alternatives that is still to come. Equal
 * cores have the same number.
 */
type Core = number;

/** The symbol of a complete core. */
const COMPLETE = 0x7fffffff;
/** The empty suffix of an alternative. */
const NOTHING_LEFT = 0;
/** Most rows and predictions that are kept, in items of about 100 bytes. */
const MOST_KEPT = 40_000;

/** The rules predicted in rows that wait for the same symbols. */
interface Prediction {
  /** The symbols that the row's own items wait for. */
  readonly symbols: ReadonlySet<Sym>;
  /** The cores at the beginning of predicted rules, by the symbol that they wait for. */
  readonly beginnings: ReadonlyMap<Sym, readonly Core[]>;
  /** The lexer's state for the terminals that may come next. */
  readonly lexerState: LexerState;
  /** Leo's rule within the row: for a rule, the topmost rule that ends at its end. */
  readonly topOf: Map<Sym, Sym>;
}

/**
 * An Earley set after a lexeme. Its items are pairs of a core and the row where the rule began. Equal rows are one
 * object, wherever they are in the text, since the same text may follow them. An item that begins in the row itself is
 * not listed: the prediction has its core.
 */
export class Row {
  /** The rows after sets of terminals, if known. */
  after: Map<TerminalSet, Row> | undefined;
  /** The next row in the same slot of the table. */
  nextInSlot: Row | undefined;

  constructor(
    readonly id: number,
    /** The items' cores, ordered by the symbols that they wait for, and their origins. */
    readonly cores: readonly Core[],
    readonly origins: readonly Row[],
    readonly prediction: Prediction,
    /** The text so far is an answer. */
    readonly isAnswer: boolean,
  ) {}
}

/** The origin of the item that waits for the whole answer. */
const NOWHERE = new Row(
  0,
  [],
  [],
  { symbols: new Set(), beginnings: new Map(), lexerState: NO_LEXEME, topOf: new Map() },
  false,
);

/**
 * An Earley parser over lexemes. Rows are built on demand. A row depends only on the text that may follow, so
 * repetitions in a text reach the same rows again. Three rules ensure that: nullable rules are passed when they are
 * predicted (Aycock and Horspool), a rule that ends with the end of another takes its place (Leo's rule, applied when
 * an item is made), and indistinguishable suffixes share a core.
 */
export class Earley {
  /** The row at the beginning of an answer. */
  readonly start: Row;

  readonly #grammar: Grammar;
  readonly #lexer: Lexer;
  readonly #isNullable: Uint8Array;
  /** Suffixes of alternatives: the first symbol, and the rest. */
  readonly #suffixSymbol: Sym[] = [COMPLETE];
  readonly #suffixRest: number[] = [NOTHING_LEFT];
  readonly #suffixes = new PairMap();
  readonly #coreRule: Sym[] = [];
  readonly #coreSuffix: number[] = [];
  readonly #coreSymbol: Sym[] = [];
  /** The core after the symbol; -1: not known yet. */
  readonly #coresAfter: Core[] = [];
  readonly #cores = new PairMap();
  /** The cores of each rule's alternatives. */
  readonly #alternatives: (readonly Core[] | undefined)[] = [];
  #predictions = new Map<string, Prediction>();
  #rows = new Map<number, Row>();
  #kept = 0;
  #lastId = 0;

  // The row being built: its items, and completed rules whose waiting items are still to be advanced.
  readonly #seen = new PairMap();
  #itemCores: Core[] = [];
  #itemOrigins: Row[] = [];
  readonly #endedRules: Sym[] = [];
  readonly #endedOrigins: Row[] = [];

  constructor(grammar: Grammar, lexer: Lexer) {
    this.#grammar = grammar;
    this.#lexer = lexer;
    this.#isNullable = nullableRules(grammar.rules);
    const answer = this.#core(grammar.rules.length, this.#suffix(grammar.root, NOTHING_LEFT));
    this.#add(answer, NOWHERE);
    this.start = this.#finishRow();
  }

  /** The first row and rows reachable from it by terminals, `most` at most. */
  rows(most: number): readonly Row[] {
    const rows = new Set([this.start]);
    for (const row of rows) {
      for (const terminal of row.prediction.lexerState.terminals) {
        if (rows.size >= most) return [...rows];
        rows.add(this.follow([row], [this.#lexer.set([terminal])]));
      }
    }
    return [...rows];
  }

  /** The row after lexemes that end at the same place: for each of `rows`, the terminals of its lexeme. */
  follow(rows: readonly Row[], accepted: readonly TerminalSet[]): Row {
    const only = rows.length === 1 ? rows[0]! : undefined;
    const known = only?.after?.get(accepted[0]!);
    if (known) return known;
    this.#beginRow();
    for (let i = 0; i < rows.length; i++) {
      for (const terminal of accepted[i]!.terminals) this.#pass(rows[i]!, ~terminal);
    }
    while (this.#endedRules.length > 0) this.#pass(this.#endedOrigins.pop()!, this.#endedRules.pop()!);
    const row = this.#finishRow();
    if (only) (only.after ??= new Map<TerminalSet, Row>()).set(accepted[0]!, row);
    return row;
  }

  /** Advances the items of a row that wait for a symbol. */
  #pass(row: Row, symbol: Sym): void {
    const { cores, origins, prediction } = row;
    if (prediction.symbols.has(symbol)) {
      for (let i = this.#firstFor(row, symbol); this.#coreSymbol[cores[i]!] === symbol; i++) {
        this.#add(this.#coreAfter(cores[i]!), origins[i]!);
      }
    }
    const beginnings = prediction.beginnings.get(symbol);
    if (!beginnings) return;
    for (const core of beginnings) {
      const rest = this.#suffixRest[this.#coreSuffix[core]!]!;
      const top = this.#topOf(this.#coreRule[core]!, prediction);
      const waiting = this.#onlyItemEndingWith(row, top);
      if (waiting === -1) this.#add(this.#core(top, rest), row);
      else this.#add(this.#core(this.#coreRule[cores[waiting]!]!, rest), origins[waiting]!);
    }
  }

  /** The topmost rule that begins in the row and ends exactly if `rule` ends. */
  #topOf(rule: Sym, prediction: Prediction): Sym {
    const known = prediction.topOf.get(rule);
    if (known !== undefined) return known;
    const passed: Sym[] = [];
    let top = rule;
    for (;;) {
      passed.push(top);
      const waiting = prediction.beginnings.get(top);
      if (prediction.symbols.has(top) || waiting?.length !== 1 || !this.#endsWithNext(waiting[0]!)) break;
      top = this.#coreRule[waiting[0]!]!;
      const further = prediction.topOf.get(top);
      if (further !== undefined) {
        top = further;
        break;
      }
    }
    for (const each of passed) prediction.topOf.set(each, top);
    return top;
  }

  /** The only item of the row that waits for `rule`, if it ends with `rule`; otherwise -1. */
  #onlyItemEndingWith(row: Row, rule: Sym): number {
    const { cores, prediction } = row;
    if (!prediction.symbols.has(rule) || prediction.beginnings.has(rule)) return -1;
    const first = this.#firstFor(row, rule);
    const isOnly = this.#coreSymbol[cores[first + 1]!] !== rule;
    return isOnly && this.#endsWithNext(cores[first]!) ? first : -1;
  }

  /** The first item that waits for a symbol; the row must have one. */
  #firstFor({ cores }: Row, symbol: Sym): number {
    let low = 0;
    let high = cores.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#coreSymbol[cores[middle]!]! < symbol) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #endsWithNext(core: Core): boolean {
    return this.#suffixRest[this.#coreSuffix[core]!] === NOTHING_LEFT;
  }

  /** Adds an item and, if it waits for a nullable rule, the item after that rule. */
  #add(core: Core, origin: Row): void {
    for (;;) {
      this.#lexer.fuel.use(6);
      if (!this.#seen.add(core, origin.id, 0)) return;
      this.#lexer.fuel.use(20);
      const symbol = this.#coreSymbol[core]!;
      if (symbol === COMPLETE && origin !== NOWHERE) {
        this.#endedRules.push(this.#coreRule[core]!);
        this.#endedOrigins.push(origin);
        return;
      }
      this.#itemCores.push(core);
      this.#itemOrigins.push(origin);
      if (symbol < 0 || symbol === COMPLETE || !this.#isNullable[symbol]) return;
      core = this.#coreAfter(core);
    }
  }

  #coreAfter(core: Core): Core {
    const known = this.#coresAfter[core]!;
    if (known >= 0) return known;
    const after = this.#core(this.#coreRule[core]!, this.#suffixRest[this.#coreSuffix[core]!]!);
    this.#coresAfter[core] = after;
    return after;
  }

  #core(rule: Sym, suffix: number): Core {
    const known = this.#cores.get(suffix, rule);
    if (known >= 0) return known;
    const core = this.#coreRule.push(rule) - 1;
    this.#coreSuffix.push(suffix);
    this.#coreSymbol.push(this.#suffixSymbol[suffix]!);
    this.#coresAfter.push(-1);
    this.#cores.add(suffix, rule, core);
    return core;
  }

  /** The suffix that consists of a symbol and a rest. */
  #suffix(symbol: Sym, rest: number): number {
    const known = this.#suffixes.get(rest, symbol);
    if (known >= 0) return known;
    const suffix = this.#suffixSymbol.push(symbol) - 1;
    this.#suffixRest.push(rest);
    this.#suffixes.add(rest, symbol, suffix);
    return suffix;
  }

  #beginRow(): void {
    this.#itemCores = [];
    this.#itemOrigins = [];
    this.#endedRules.length = 0;
    this.#endedOrigins.length = 0;
    this.#seen.clear();
  }

  /** The row of the added items; it may exist already. */
  #finishRow(): Row {
    let cores = this.#itemCores;
    let origins = this.#itemOrigins;
    if (cores.length > 1) {
      const order = cores.map((_, i) => i);
      const symbolOf = this.#coreSymbol;
      order.sort(
        (a, b) =>
          symbolOf[cores[a]!]! - symbolOf[cores[b]!]! || cores[a]! - cores[b]! || origins[a]!.id - origins[b]!.id,
      );
      [cores, origins] = [order.map((i) => cores[i]!), order.map((i) => origins[i]!)];
    }
    let hash = 0;
    for (let i = 0; i < cores.length; i++)
      hash = Math.imul(Math.imul(hash, 31) + cores[i]!, 0x9e3779b1) + origins[i]!.id;
    hash |= 0;
    for (let known = this.#rows.get(hash); known; known = known.nextInSlot) {
      if (isEqual(known.cores, cores) && isEqual(known.origins, origins)) return known;
    }
    this.#lexer.fuel.use(50);
    const symbols = new Set<Sym>();
    let isAnswer = false;
    for (const core of cores) {
      if (this.#coreSymbol[core] === COMPLETE) isAnswer = true;
      else symbols.add(this.#coreSymbol[core]!);
    }
    if (this.#kept > MOST_KEPT) this.#forget();
    this.#kept += cores.length + 4;
    const row = new Row(++this.#lastId, cores, origins, this.#predict(symbols), isAnswer);
    row.nextInSlot = this.#rows.get(hash);
    this.#rows.set(hash, row);
    return row;
  }

  #predict(symbols: ReadonlySet<Sym>): Prediction {
    const key = [...symbols].sort((a, b) => a - b).join();
    const known = this.#predictions.get(key);
    if (known) return known;
    const beginnings = new Map<Sym, Core[]>();
    const predicted = new Set<Sym>();
    const terminals = new Set<number>();
    const wait = (symbol: Sym): void => {
      if (symbol < 0) terminals.add(~symbol);
      else predicted.add(symbol);
    };
    symbols.forEach(wait);
    // The loop also visits rules that are added during it.
    const seen = new Set<Core>();
    for (const rule of predicted) {
      for (let core of this.#alternativesOf(rule)) {
        for (;;) {
          const symbol = this.#coreSymbol[core]!;
          if (symbol === COMPLETE || seen.has(core)) break;
          seen.add(core);
          this.#lexer.fuel.use(20);
          const waiting = beginnings.get(symbol);
          if (waiting) waiting.push(core);
          else beginnings.set(symbol, [core]);
          wait(symbol);
          if (symbol < 0 || !this.#isNullable[symbol]) break;
          core = this.#coreAfter(core);
        }
      }
    }
    this.#kept += seen.size >> 2;
    const ascending = [...terminals].sort((a, b) => a - b);
    const prediction = { symbols, beginnings, lexerState: this.#lexer.initial(ascending), topOf: new Map<Sym, Sym>() };
    this.#predictions.set(key, prediction);
    return prediction;
  }

  #alternativesOf(rule: Sym): readonly Core[] {
    return (this.#alternatives[rule] ??= this.#grammar.rules[rule]!.map((symbols) => {
      let suffix = NOTHING_LEFT;
      for (let i = symbols.length - 1; i >= 0; i--) suffix = this.#suffix(symbols[i]!, suffix);
      return this.#core(rule, suffix);
    }));
  }

  /** Rows in use stay valid, but equal rows built later are other objects, which only costs time. */
  #forget(): void {
    for (const first of this.#rows.values()) {
      for (let row: Row | undefined = first; row; row = row.nextInSlot) row.after = undefined;
    }
    this.#rows = new Map();
    this.#predictions = new Map();
    this.#kept = 0;
  }
}

/** For each rule, whether it is nullable. */
function nullableRules(rules: Grammar['rules']): Uint8Array {
  const isNullable = new Uint8Array(rules.length);
  /**
   * For each rule, the alternatives without terminals that use it: their rule, and the number of their symbols not
   * known to be nullable.
   */
  const usesOf: ({ rule: Sym; left: number }[] | undefined)[] = [];
  const found: Sym[] = [];
  const mark = (rule: Sym): void => {
    if (isNullable[rule]) return;
    isNullable[rule] = 1;
    found.push(rule);
  };
  rules.forEach((alternatives, rule) => {
    for (const symbols of alternatives) {
      if (symbols.length === 0) mark(rule);
      if (symbols.some((symbol) => symbol < 0)) continue;
      const use = { rule, left: symbols.length };
      for (const symbol of symbols) (usesOf[symbol] ??= []).push(use);
    }
  });
  for (let rule = found.pop(); rule !== undefined; rule = found.pop()) {
    for (const use of usesOf[rule] ?? []) if (--use.left === 0) mark(use.rule);
  }
  return isNullable;
}
