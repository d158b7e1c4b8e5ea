import { Fuel, GrammarError } from './limits.ts';
import { Regexes, type Regex } from './regex/regexes.ts';

/** A grammar symbol: 0 or more is the index of a rule; a negative one is the terminal at index `~sym`. */
export type Sym = number;

/** A context-free grammar over bytes. A terminal may end at any match of its expression, not only at the longest. */
export interface Grammar {
  readonly regexes: Regexes;
  /** Each matches some string, and none matches the empty string. */
  readonly terminals: readonly Regex[];
  /** Alternatives of each rule: sequences of symbols. An empty sequence matches the empty string. */
  readonly rules: readonly (readonly (readonly Sym[])[])[];
  /** Name of each rule, for human readers; may be empty. */
  readonly names: readonly string[];
  /** Start rule. */
  readonly root: Sym;
}

/** Most work to build a grammar: two seconds on a slow processor. */
const BUILDING_FUEL = 2_000_000;

/** Collects the rules and terminals of one grammar. */
export class GrammarBuilder {
  readonly regexes: Regexes;
  readonly fuel: Fuel;
  readonly #terminals: Regex[] = [];
  readonly #symbolOf = new Map<Regex, Sym>();
  readonly #names: string[] = [];
  readonly #rules: (readonly (readonly Sym[])[] | undefined)[] = [];

  constructor(fuel = new Fuel(BUILDING_FUEL, 'the grammar')) {
    this.fuel = fuel;
    this.regexes = new Regexes(fuel);
  }

  /** The symbol of an expression, shared by equal ones: a rule if the expression is nullable or matches nothing. */
  terminal(regex: Regex): Sym {
    const known = this.#symbolOf.get(regex);
    if (known !== undefined) return known;
    const symbol = this.#newTerminal(regex);
    this.#symbolOf.set(regex, symbol);
    return symbol;
  }

  #newTerminal(regex: Regex): Sym {
    const { regexes } = this;
    if (regexes.isNullable(regex)) {
      const rest = regexes.withoutEmpty(regex);
      const rule = this.rule();
      this.define(rule, regexes.isEmptyLanguage(rest) ? [[]] : [[], [this.terminal(rest)]]);
      return rule;
    }
    if (regexes.isEmptyLanguage(regex)) {
      const rule = this.rule();
      this.define(rule, []);
      return rule;
    }
    this.fuel.use(1);
    return ~(this.#terminals.push(regex) - 1);
  }

  /** Adds a rule. `define` must follow, before or after other rules refer to it. */
  rule(name = ''): Sym {
    this.fuel.use(32); // for memory more than for work
    return this.#names.push(name) - 1;
  }

  /** Sets the alternatives of a rule; without any, it matches nothing. Throws if the rule is defined already. */
  define(rule: Sym, alternatives: readonly (readonly Sym[])[]): void {
    if (this.#rules[rule] !== undefined) throw new GrammarError(`the rule ${this.#nameOf(rule)} is defined twice`);
    for (const alternative of alternatives) this.fuel.use(1 + alternative.length);
    this.#rules[rule] = alternatives;
  }

  /**
   * The grammar with the start symbol `root`, without rules and terminals that no answer can use. Throws a
   * `GrammarError` if a reachable rule is not defined, or the grammar matches nothing.
   */
  build(root: Sym): Grammar {
    if (root < 0) {
      const rule = this.rule();
      this.define(rule, [[root]]);
      root = rule;
    }
    this.#checkDefined(root);
    const productive = this.#productiveRules();
    if (!productive[root]) throw new GrammarError('no answer can match this grammar');

    const regexes = this.regexes;
    const terminals: Regex[] = [];
    const rules: (readonly (readonly Sym[])[])[] = [];
    const names: string[] = [];
    const newSymbolOf = new Map<Sym, Sym>();
    const waiting: Sym[] = [];
    const renamed = (symbol: Sym): Sym => {
      const known = newSymbolOf.get(symbol);
      if (known !== undefined) return known;
      let renumbered: Sym;
      if (symbol < 0) renumbered = ~(terminals.push(this.#terminals[~symbol] ?? regexes.nothing) - 1);
      else {
        renumbered = names.push(this.#names[symbol] ?? '') - 1;
        waiting.push(symbol);
      }
      newSymbolOf.set(symbol, renumbered);
      return renumbered;
    };
    const newRoot = renamed(root);
    // Rules are numbered in the order of `waiting`.
    for (let i = 0; i < waiting.length; i++) {
      const rule = waiting[i] ?? 0;
      const alternatives = new Map<string, readonly Sym[]>();
      for (const alternative of this.#rules[rule] ?? []) {
        this.fuel.use(1 + alternative.length);
        const isUseful = alternative.every((symbol) => symbol < 0 || productive[symbol]);
        const says = alternative.length !== 1 || alternative[0] !== rule;
        if (isUseful && says) alternatives.set(alternative.join(), alternative.map(renamed));
      }
      rules.push([...alternatives.values()]);
    }
    return { regexes, terminals, rules, names, root: newRoot };
  }

  #nameOf(rule: Sym): string {
    const name = this.#names[rule] ?? '';
    return name === '' ? String(rule) : name;
  }

  #checkDefined(root: Sym): void {
    const seen = new Set([root]);
    for (const rule of seen) {
      const alternatives = this.#rules[rule];
      if (!alternatives) throw new GrammarError(`the rule ${this.#nameOf(rule)} is not defined`);
      for (const alternative of alternatives) for (const symbol of alternative) if (symbol >= 0) seen.add(symbol);
    }
  }

  /** For each rule, whether it matches any string. */
  #productiveRules(): boolean[] {
    const productive = this.#rules.map(() => false);
    /** For each alternative, the number of its rules that are not yet known to match any string. */
    const missing: { rule: Sym; count: number }[] = [];
    const usersOf = new Map<Sym, { rule: Sym; count: number }[]>();
    for (const [rule, alternatives] of this.#rules.entries()) {
      for (const alternative of alternatives ?? []) {
        const rulesIn = alternative.filter((symbol) => symbol >= 0);
        const entry = { rule, count: rulesIn.length };
        missing.push(entry);
        for (const symbol of rulesIn) {
          const users = usersOf.get(symbol);
          if (users) users.push(entry);
          else usersOf.set(symbol, [entry]);
        }
      }
    }
    const found: Sym[] = [];
    const mark = (rule: Sym): void => {
      if (productive[rule]) return;
      productive[rule] = true;
      found.push(rule);
    };
    for (const { rule, count } of missing) if (count === 0) mark(rule);
    for (let rule = found.pop(); rule !== undefined; rule = found.pop()) {
      for (const user of usersOf.get(rule) ?? []) if (--user.count === 0) mark(user.rule);
    }
    return productive;
  }
}
