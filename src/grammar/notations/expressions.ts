import type { GrammarBuilder, Sym } from '../grammar.ts';
import { GrammarError } from '../limits.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';

/** Expression of a grammar rule. */
export type Expression =
  /** `weight`: estimated cost of the masks of its states, by the share of the vocabulary that they allow. */
  | { kind: 'regex'; regex: Regex; weight: number }
  /** A compiled symbol, such as that of a schema. */
  | { kind: 'symbol'; symbol: Sym }
  /** A reference to a rule, at the position `at` of the text. */
  | { kind: 'rule'; name: string; at: number }
  | { kind: 'sequence' | 'choice'; parts: readonly Expression[] }
  | { kind: 'repeat'; part: Expression; least: number; most: number };

/** Larger sets weigh `WEIGHT_OF_MANY`: they have more characters than a script has letters. */
const MANY_CHARACTERS = 256;
export const WEIGHT_OF_MANY = 8;
/** Heavier sequences are split into several terminals, so that equal parts of sequences share states and masks. */
const MOST_WEIGHT = 20;
/** Most repetitions that count for a weight. */
const WEIGHED_REPETITIONS = 8;

const WEIGHT_OF_ONE = 1 / 32;

/** The weight of one character from a set of `count`. */
export const weightOfCharacters = (count: number): number =>
  count > MANY_CHARACTERS ? WEIGHT_OF_MANY : count > 1 ? 1 : WEIGHT_OF_ONE;

export const weightOfText = (text: string): number => text.length * WEIGHT_OF_ONE;

export const weightOfRepetition = (weight: number, least: number, most: number): number =>
  weight * Math.max(1, Math.min(WEIGHED_REPETITIONS, most === Infinity ? least : most));

/**
 * Adds rules to a grammar and returns the symbol of the rule `root`. Regular rules become regular expressions, up to
 * `MOST_WEIGHT`, and so do rules that are recursive only at their right or left end. Throws the error of `errorAt` for
 * a reference to an undefined rule.
 */
export function compileRules(
  rules: ReadonlyMap<string, Expression>,
  root: string,
  builder: GrammarBuilder,
  errorAt: (reason: string, at: number) => GrammarError,
): Sym {
  return new RuleCompiler(rules, builder, errorAt).compile(root);
}

/** Adds an expression without references to a grammar and returns its symbol. */
export function compileExpression(expression: Expression, builder: GrammarBuilder): Sym {
  return compileRules(new Map([['', expression]]), '', builder, (reason) => new GrammarError(reason));
}

/** A compiled expression: a regular expression, a sequence, or alternatives. */
type Compiled =
  | { kind: 'regex'; regex: Regex; weight: number }
  | { kind: 'sequence'; symbols: readonly Sym[] }
  | { kind: 'choice'; alternatives: readonly (readonly Sym[])[] };

class RuleCompiler {
  readonly #known = new Map<string, Compiled>();

  constructor(
    private readonly rules: ReadonlyMap<string, Expression>,
    private readonly builder: GrammarBuilder,
    private readonly errorAt: (reason: string, at: number) => GrammarError,
  ) {}

  compile(root: string): Sym {
    const { rules, builder } = this;
    const references = new Map([...rules].map(([name, expression]) => [name, referencesOf(expression)]));
    for (const others of references.values()) {
      for (const [other, at] of others) {
        if (!rules.has(other)) throw this.errorAt(`${JSON.stringify(other)} is not defined`, at);
      }
      builder.fuel.use(1 + others.size);
    }
    for (const name of inOrder(references)) this.#known.set(name, this.#rule(name));
    // The other rules are mutually recursive, or refer to such rules.
    const recursive = [...rules.keys()].filter((name) => !this.#known.has(name));
    const symbols = recursive.map((name) => this.#declare(name));
    for (const [i, name] of recursive.entries()) {
      builder.define(symbols[i] as Sym, this.#alternatives(this.#compile(this.#expressionOf(name))));
    }
    const compiled = this.#known.get(root);
    if (!compiled) throw this.errorAt(`the rule ${JSON.stringify(root)} is missing`, 0);
    return this.#symbol(compiled, root);
  }

  #expressionOf(name: string): Expression {
    return this.rules.get(name) as Expression;
  }

  /** Declares a rule, so that others may refer to it before it is defined. */
  #declare(name: string): Sym {
    const symbol = this.builder.rule(name);
    this.#known.set(name, { kind: 'sequence', symbols: [symbol] });
    return symbol;
  }

  /** Compiles a rule that refers to known rules only, and perhaps to itself. */
  #rule(name: string): Compiled {
    const expression = this.#expressionOf(name);
    if (!referencesOf(expression).has(name)) {
      const compiled = this.#compile(expression);
      return compiled.kind === 'regex' ? compiled : { kind: 'sequence', symbols: [this.#symbol(compiled, name)] };
    }
    const regular = this.#linear(name, expression);
    if (regular) return regular;
    const symbol = this.#declare(name);
    this.builder.define(symbol, this.#alternatives(this.#compile(expression)));
    return { kind: 'sequence', symbols: [symbol] };
  }

  /**
   * Compiles a rule that refers to itself only at the right end of its alternatives, or only at the left: `x ::= a x |
   * b` is `a* b` (Arden). Undefined for other rules, and if its parts are not regular.
   */
  #linear(name: string, expression: Expression): Compiled | undefined {
    const alternatives = (expression.kind === 'choice' ? expression.parts : [expression]).map((alternative) =>
      alternative.kind === 'sequence' ? alternative.parts : [alternative],
    );
    const isSelf = (part: Expression | undefined): boolean =>
      part?.kind === 'rule' ? part.name === name : part?.kind === 'repeat' && isOptional(part) && isSelf(part.part);
    const refers = (parts: readonly Expression[]): boolean => parts.some((part) => referencesOf(part).has(name));
    for (const side of ['right', 'left'] as const) {
      const repeated: Expression[] = [];
      const ends: Expression[] = [];
      let isLinear = true;
      for (const parts of alternatives) {
        const self = side === 'right' ? parts.at(-1) : parts[0];
        const rest: Expression = {
          kind: 'sequence',
          parts: isSelf(self) ? (side === 'right' ? parts.slice(0, -1) : parts.slice(1)) : parts,
        };
        if (isSelf(self)) repeated.push(rest);
        if (self?.kind === 'repeat' || !isSelf(self)) ends.push(rest);
        isLinear &&= !refers(rest.parts);
      }
      if (!isLinear) continue;
      const loop: Expression = { kind: 'repeat', part: { kind: 'choice', parts: repeated }, least: 0, most: Infinity };
      const end: Expression = { kind: 'choice', parts: ends };
      if (![loop.part, end].every((part) => this.#compile(part).kind === 'regex')) return undefined;
      const compiled = this.#compile({ kind: 'sequence', parts: side === 'right' ? [loop, end] : [end, loop] });
      return compiled.kind === 'regex' ? compiled : { kind: 'sequence', symbols: [this.#symbol(compiled, name)] };
    }
    return undefined;
  }

  #compile(expression: Expression): Compiled {
    switch (expression.kind) {
      case 'regex':
        return expression;
      case 'symbol':
        return { kind: 'sequence', symbols: [expression.symbol] };
      case 'rule':
        return this.#known.get(expression.name) as Compiled;
      case 'sequence':
        return this.#sequence(expression.parts.map((part) => this.#compile(part)));
      case 'choice':
        return this.#choice(expression.parts.map((part) => this.#compile(part)));
      case 'repeat':
        return this.#repeat(this.#compile(expression.part), expression.least, expression.most);
    }
  }

  #sequence(parts: readonly Compiled[]): Compiled {
    const { regexes } = this.builder;
    const symbols: Sym[] = [];
    let open: Regex[] = [];
    let weight = 0;
    const close = (): void => {
      if (open.length > 0) symbols.push(this.builder.terminal(concatAll(open, regexes)));
      open = [];
      weight = 0;
    };
    for (const part of parts) {
      if (part.kind === 'regex') {
        if (weight + part.weight > MOST_WEIGHT) close();
        open.push(part.regex);
        weight += part.weight;
      } else {
        close();
        symbols.push(...(part.kind === 'sequence' ? part.symbols : [this.#symbol(part)]));
      }
    }
    if (symbols.length === 0) return { kind: 'regex', regex: concatAll(open, regexes), weight };
    close();
    return { kind: 'sequence', symbols };
  }

  #choice(parts: readonly Compiled[]): Compiled {
    const regular = parts.filter((part) => part.kind === 'regex');
    const regex = orAll(
      regular.map((part) => part.regex),
      this.builder.regexes,
    );
    if (regular.length === parts.length) {
      return { kind: 'regex', regex, weight: regular.reduce((sum, part) => sum + part.weight, 0) };
    }
    const others = parts.flatMap((part) => (part.kind === 'regex' ? [] : this.#alternatives(part)));
    return {
      kind: 'choice',
      alternatives: regular.length > 0 ? [...others, [this.builder.terminal(regex)]] : others,
    };
  }

  #repeat(part: Compiled, least: number, most: number): Compiled {
    if (part.kind === 'regex') {
      const regex = this.builder.regexes.repeat(part.regex, least, most);
      return { kind: 'regex', regex, weight: weightOfRepetition(part.weight, least, most) };
    }
    if (least === 1 && most === 1) return part;
    return { kind: 'sequence', symbols: repeatSymbols(this.#symbol(part), least, most, this.builder) };
  }

  #symbol(compiled: Compiled, name = ''): Sym {
    if (compiled.kind === 'regex') return this.builder.terminal(compiled.regex);
    if (compiled.kind === 'sequence' && compiled.symbols.length === 1) return compiled.symbols[0] as Sym;
    const rule = this.builder.rule(name);
    this.builder.define(rule, this.#alternatives(compiled));
    return rule;
  }

  #alternatives(compiled: Compiled): readonly (readonly Sym[])[] {
    if (compiled.kind === 'regex') return [[this.builder.terminal(compiled.regex)]];
    return compiled.kind === 'sequence' ? [compiled.symbols] : compiled.alternatives;
  }
}

/** Most arguments of one call: more might overflow the stack. */
const MOST_ARGUMENTS = 4096;

/** The alternation of any number of expressions. */
export function orAll(parts: readonly Regex[], regexes: Regexes): Regex {
  if (parts.length <= MOST_ARGUMENTS) return regexes.or(...parts);
  return orAll(
    inChunks(parts).map((chunk) => regexes.or(...chunk)),
    regexes,
  );
}

/** The concatenation of any number of expressions. */
function concatAll(parts: readonly Regex[], regexes: Regexes): Regex {
  if (parts.length <= MOST_ARGUMENTS) return regexes.concat(...parts);
  return concatAll(
    inChunks(parts).map((chunk) => regexes.concat(...chunk)),
    regexes,
  );
}

const inChunks = (parts: readonly Regex[]): Regex[][] =>
  Array.from({ length: Math.ceil(parts.length / MOST_ARGUMENTS) }, (_, i) =>
    parts.slice(i * MOST_ARGUMENTS, (i + 1) * MOST_ARGUMENTS),
  );

const isOptional = ({ least, most }: { least: number; most: number }): boolean => least === 0 && most === 1;

/**
 * Names in topological order, each after the names that it refers to. Names on a cycle, and names that refer to them,
 * are omitted; a name may refer to itself. `references` must define every name that is referred to.
 */
export function inOrder(references: ReadonlyMap<string, ReadonlyMap<string, unknown>>): string[] {
  const unknown = new Map<string, number>();
  const usersOf = new Map<string, string[]>();
  const ordered: string[] = [];
  for (const [name, others] of references) {
    let count = 0;
    for (const other of others.keys()) {
      if (other === name) continue;
      count++;
      const users = usersOf.get(other);
      if (users) users.push(name);
      else usersOf.set(other, [name]);
    }
    unknown.set(name, count);
    if (count === 0) ordered.push(name);
  }
  for (const name of ordered) {
    for (const user of usersOf.get(name) ?? []) {
      const left = (unknown.get(user) ?? 0) - 1;
      unknown.set(user, left);
      if (left === 0) ordered.push(user);
    }
  }
  return ordered;
}

/** The rules that an expression refers to, with the position of the first reference to each. */
function referencesOf(expression: Expression, found = new Map<string, number>()): Map<string, number> {
  switch (expression.kind) {
    case 'rule':
      if (!found.has(expression.name)) found.set(expression.name, expression.at);
      break;
    case 'sequence':
    case 'choice':
      for (const part of expression.parts) referencesOf(part, found);
      break;
    case 'repeat':
      referencesOf(expression.part, found);
      break;
    case 'regex':
    case 'symbol':
      break;
  }
  return found;
}

/**
 * The symbols of `item` repeated `least` to `most` times; `most` may be Infinity. The number of rules grows with the
 * number of binary digits of the counts.
 */
export function repeatSymbols(item: Sym, least: number, most: number, builder: GrammarBuilder): Sym[] {
  const exactly = new Map<number, readonly Sym[]>([
    [0, []],
    [1, [item]],
  ]);
  const upTo = new Map<number, readonly Sym[]>([[0, []]]);
  const define = (alternatives: (rule: Sym) => readonly (readonly Sym[])[]): readonly Sym[] => {
    const rule = builder.rule();
    builder.define(rule, alternatives(rule));
    return [rule];
  };
  const times = (count: number): readonly Sym[] => {
    const known = exactly.get(count);
    if (known) return known;
    const half = times(count >> 1);
    const written = define(() => [[...half, ...half, ...(count % 2 === 1 ? [item] : [])]]);
    exactly.set(count, written);
    return written;
  };
  // Fewer than half, or half and then up to the rest: each count has one derivation.
  const atMost = (count: number): readonly Sym[] => {
    const known = upTo.get(count);
    if (known) return known;
    const half = Math.ceil(count / 2);
    const fewer = atMost(half - 1);
    const more = [...times(half), ...atMost(count - half)];
    const written = define(() => [fewer, more]);
    upTo.set(count, written);
    return written;
  };
  if (most < Infinity) return [...times(least), ...atMost(most - least)];
  if (least === 1) return [...define((rule) => [[item], [rule, item]])];
  return [...times(least), ...define((rule) => [[], [rule, item]])];
}
