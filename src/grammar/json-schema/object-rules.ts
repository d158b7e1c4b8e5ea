import type { Sym } from '../grammar.ts';
import { GrammarError } from '../limits.ts';
import { isClosed, namesOf, nodeOfName, possibleObject } from './combine.ts';
import type { Nodes } from './node-set.ts';
import { EVERYTHING, layerOf, type Node, NOTHING, type ObjectPart } from './shapes.ts';
import { ALL_STRINGS, ANY_STRING, hasNoString, type StringPart, type StringSet } from './strings.ts';
import type { RuleWriter } from './rule-writer.ts';

/** Most kinds of names that patterns distinguish. */
const MOST_CELLS = 64;
/** Most properties that are required by a pattern of their name: each doubles the rules. */
const MOST_SOME = 5;
/** Most properties that may come in any order, each only once: each doubles the rules. */
const MOST_FREE = 6;
/** Most cases for properties that are required by a pattern of their name. */
const MOST_CASES = 256;

/** The alternatives of a rule for the objects of a part. */
export function objectAlternatives(writer: RuleWriter, part: ObjectPart, at: string): readonly (readonly Sym[])[] {
  return casesOf(writer.nodes, part, at).flatMap((each) => new ObjectRules(writer, each, at).alternatives());
}

/**
 * Splits a part by the properties that it requires by a pattern of their name. In each case such a property has either
 * one of the given names, or another name and stays in `some`. A property with another name can only be required to
 * exist: its value cannot be constrained, since it may be written twice.
 */
function casesOf(nodes: Nodes, part: ObjectPart, at: string): ObjectPart[] {
  let cases: ObjectPart[] = [{ ...part, some: [] }];
  for (const wanted of part.some) {
    const next: ObjectPart[] = [];
    for (const each of cases) {
      for (const name of namesOf(part)) {
        if (!nodes.strings.has(wanted.names, name)) continue;
        const layers = [...each.layers, layerOf(new Map([[name, wanted.node]]))];
        const possible = possibleObject(nodes, { ...each, layers, required: new Set([...each.required, name]) });
        if (possible) next.push(possible);
      }
      if (isClosed(part)) continue;
      if (wanted.node !== EVERYTHING)
        throw new GrammarError('asks for a property of some value whose name is not given, which is not supported', at);
      next.push({ ...each, some: [...each.some, wanted] });
    }
    if (next.length > MOST_CASES) throw new GrammarError(`comes to more than ${MOST_CASES} cases`, at);
    cases = next;
  }
  return cases;
}

/** Names that are not given in the schema and share a constraint. */
interface Cell {
  readonly keys: StringSet;
  readonly node: Node;
}

interface Named {
  readonly name: string;
  readonly node: Node;
  readonly isRequired: boolean;
}

class ObjectRules {
  readonly #named: readonly Named[];
  readonly #cells: readonly Cell[];
  readonly #least: number;
  readonly #most: number;
  /** Highest number of properties that is distinguished; 0 if properties need not be counted. */
  readonly #cap: number;

  constructor(
    private readonly writer: RuleWriter,
    private readonly part: ObjectPart,
    at: string,
  ) {
    const { nodes } = writer;
    const names = namesOf(part);
    if (part.names.parts.length === 0 && part.least > 1) for (const name of part.names.values) names.add(name);
    this.#cells = cellsOf(nodes, part, names, at);
    this.#named = Array.from(names, (name) => ({
      name,
      node: nodeOfName(nodes, part, name),
      isRequired: part.required.has(name),
    })).filter(({ node, isRequired }) => isRequired || node !== NOTHING);
    const certain = part.required.size;
    const possible = this.#cells.length > 0 ? Infinity : this.#named.length;
    this.#least = part.least > certain ? part.least : 0;
    this.#most = part.most < possible ? part.most : Infinity;
    this.#cap = this.#most < Infinity ? this.#most : this.#least;
    if (this.#cells.length > 0 && this.#least > certain + 1)
      throw new GrammarError(
        'minProperties is not supported where it counts properties whose names are not given, which may be the same',
        at === '' ? 'minProperties' : `${at}.minProperties`,
      );
  }

  alternatives(): Sym[][] {
    const isCounted = this.#least > 0 || this.#most < Infinity || this.part.some.length > 0;
    const isFree = this.writer.anyOrder && !isCounted && this.part.required.size <= MOST_FREE;
    return isFree ? this.#inAnyOrder() : this.#inOrder();
  }

  /**
   * Properties in any order: one rule for each set of those present that count, which are the required ones or, if there
   * are few, all that are named. Another one may be written twice; a reader takes the last, and both are valid.
   */
  #inAnyOrder(): Sym[][] {
    const { writer } = this;
    const { openBrace, closeBrace, closeEmptyBrace, comma, colon } = writer.punctuation;
    const pairOf = ({ name, node }: Named): Sym[] => [this.#key(name), colon, writer.symbolOf(node)];
    const areFew = this.#named.length <= MOST_FREE;
    const counted = this.#named.filter(({ isRequired }) => areFew || isRequired);
    const pairs = counted.map(pairOf);
    const others = this.#named.filter((each) => !counted.includes(each)).map(pairOf);
    if (this.#cells.length > 0) others.push([this.#pair(ALL_STRINGS)]);
    const other = writer.ruleOf(others);
    const required = counted.reduce((set, { isRequired }, i) => (isRequired ? set | (1 << i) : set), 0);
    const after = Array.from({ length: 2 ** counted.length }, () => writer.builder.rule());
    /** The next property, if those in `there` are present. */
    const next = (there: number): Sym[][] => [
      [other, after[there] ?? 0],
      ...pairs.flatMap((pair, i) => ((there >> i) & 1 ? [] : [[...pair, after[there | (1 << i)] ?? 0]])),
    ];
    for (const [there, rule] of after.entries()) {
      const ends = (there & required) === required ? [[]] : [];
      writer.builder.define(rule, [...ends, ...next(there).map((symbols) => [comma, ...symbols])]);
    }
    const alternatives = [[openBrace, writer.ruleOf(next(0)), closeBrace]];
    if (required === 0) alternatives.push([openBrace, closeEmptyBrace]);
    return alternatives;
  }

  #inOrder(): Sym[][] {
    const { openBrace, closeBrace, closeEmptyBrace, comma, colon } = this.writer.punctuation;
    const named = this.#named;
    const { length } = named;
    /** Rules for the remaining properties, by the number of properties present: without a leading comma. */
    let next: Sym[] = [];
    /** The same after a property: with a leading comma, or the end. */
    let after: Sym[] = [];
    for (let count = 0; count <= Math.min(length, this.#cap); count++) {
      const others = this.#others(count);
      const ends = this.#mayEnd(count) ? [[]] : [];
      next.push(this.writer.ruleOf(others === undefined ? [] : [[others]]));
      after.push(this.writer.ruleOf(others === undefined ? ends : [...ends, [comma, others]]));
    }
    let isRestRequired = false;
    for (let i = length - 1; i >= 0; i--) {
      const { name, node, isRequired } = named[i] ?? { name: '', node: NOTHING, isRequired: false };
      isRestRequired ||= isRequired;
      const pair = [this.#key(name), colon, this.writer.symbolOf(node)];
      const [nextBefore, afterBefore]: [Sym[], Sym[]] = [[], []];
      for (let count = 0; count <= Math.min(i, this.#cap); count++) {
        const alternatives: Sym[][] = [];
        if (count < this.#most) alternatives.push([...pair, after[Math.min(count + 1, this.#cap)] ?? 0]);
        if (!isRequired) alternatives.push([next[count] ?? 0]);
        const own = this.writer.ruleOf(alternatives);
        nextBefore.push(own);
        const ends = !isRestRequired && this.#mayEnd(count) ? [[]] : [];
        afterBefore.push(this.writer.ruleOf(count < this.#most ? [...ends, [comma, own]] : ends));
      }
      next = nextBefore;
      after = afterBefore;
    }
    const alternatives = [[openBrace, next[0] ?? 0, closeBrace]];
    if (!isRestRequired && this.#mayEnd(0)) alternatives.push([openBrace, closeEmptyBrace]);
    return alternatives;
  }

  #mayEnd(count: number): boolean {
    return count >= this.#least && this.part.some.length === 0;
  }

  #key(name: string): Sym {
    const { builder } = this.writer;
    const { regexes } = builder;
    return builder.terminal(name.isWellFormed() ? regexes.text(JSON.stringify(name)) : regexes.nothing);
  }

  /** One or more properties of other names, after `count` properties; undefined if there can be none. */
  #others(count: number): Sym | undefined {
    const { writer } = this;
    if (this.#cells.length === 0 || count >= this.#most) return undefined;
    if (this.part.some.length > 0) return this.#othersWithSome(count);
    const pair = this.#pair(ALL_STRINGS);
    const least = Math.max(1, this.#least - count);
    return writer.ruleOf([[pair, writer.repeatedAfterCommas(pair, least - 1, this.#most - count - 1)]]);
  }

  /** A property whose name is in `names` and in a cell. */
  #pair(names: StringSet): Sym {
    const { nodes, builder, quoting, punctuation } = this.writer;
    const alternatives: Sym[][] = [];
    for (const { keys, node } of this.#cells) {
      const common = nodes.strings.intersect(keys, names);
      if (hasNoString(common)) continue;
      alternatives.push([builder.terminal(quoting.string(common)), punctuation.colon, this.writer.symbolOf(node)]);
    }
    return this.writer.ruleOf(alternatives);
  }

  /** Other properties that include all of `some`: one rule for each count and each set of those already present. */
  #othersWithSome(before: number): Sym {
    const { writer, part } = this;
    const { some } = part;
    if (some.length > MOST_SOME)
      throw new GrammarError(`asks for more than ${MOST_SOME} properties whose names are not given`);
    const { strings } = writer.nodes;
    const all = 2 ** some.length - 1;
    const pairs = Array.from({ length: all + 1 }, (_, met) =>
      this.#pair(
        some.reduce<StringSet>(
          (names, each, i) => (((met >> i) & 1) === 1 ? strings.intersect(names, each.names) : names),
          ALL_STRINGS,
        ),
      ),
    );
    const rules = new Map<string, Sym>();
    const waiting: { rule: Sym; count: number; met: number; isFirst: boolean }[] = [];
    const ruleAfter = (count: number, met: number, isFirst: boolean): Sym => {
      const key = `${count},${met},${isFirst}`;
      let rule = rules.get(key);
      if (rule === undefined) {
        rules.set(key, (rule = writer.builder.rule()));
        waiting.push({ rule, count, met, isFirst });
      }
      return rule;
    };
    const start = ruleAfter(before, 0, true);
    for (let each = waiting.pop(); each; each = waiting.pop()) {
      const { rule, count, met, isFirst } = each;
      const alternatives: Sym[][] = [];
      if (!isFirst && met === all && count >= this.#least) alternatives.push([]);
      for (const [nowMet, pair] of pairs.entries()) {
        if (count >= this.#most || (nowMet & met) !== 0) continue;
        const after = ruleAfter(Math.min(count + 1, this.#cap), met | nowMet, false);
        alternatives.push(isFirst ? [pair, after] : [writer.punctuation.comma, pair, after]);
      }
      writer.builder.define(rule, alternatives);
    }
    return start;
  }
}

/** Splits the names that are not given into cells, by the layers' patterns and by `names`. */
function cellsOf(nodes: Nodes, part: ObjectPart, named: ReadonlySet<string>, at: string): Cell[] {
  if (isClosed(part)) return [];
  const { strings } = nodes;
  interface Kind extends StringPart {
    readonly matched: ReadonlySet<object>;
  }
  let kinds: Kind[] = [{ ...ANY_STRING, matched: new Set() }];
  const patterns = [...new Set(part.layers.flatMap((layer) => layer.patterns.map(({ pattern }) => pattern)))];
  for (const [i, pattern] of patterns.entries()) {
    // No check of the names outside the last pattern, or inside a single one: writing them shows whether there are any.
    const isLast = i === patterns.length - 1;
    kinds = kinds.flatMap((kind) => {
      const inside = { ...kind, patterns: [...kind.patterns, pattern] };
      if (patterns.length > 1 && strings.isEmptyPart(inside)) return [kind];
      const matched = new Set([...kind.matched, pattern]);
      const outside = { ...kind, patterns: [...kind.patterns, strings.not(pattern)] };
      if (!isLast && strings.isEmptyPart(outside)) return [{ ...kind, matched }];
      return [{ ...inside, matched }, outside];
    });
    if (kinds.length > MOST_CELLS)
      throw new GrammarError(`has patternProperties that come to more than ${MOST_CELLS} kinds of names`, at);
  }
  /** Names that share a constraint are one cell. */
  const keysOf = new Map<Node, StringSet>();
  for (const { matched, ...kind } of kinds) {
    const said = part.layers.map((layer) => {
      const matching = layer.patterns.filter(({ pattern }) => matched.has(pattern));
      return matching.length === 0 ? layer.rest : nodes.all(...matching.map(({ node }) => node));
    });
    const node = nodes.all(...said);
    if (nodes.isEmpty(node)) continue;
    const except = new Set([...named].filter((name) => strings.isInPart(name, kind)));
    const isAny = except.size === 0 && kind.patterns.length === 0;
    const all: StringSet = isAny ? ALL_STRINGS : { values: new Set(), parts: [{ ...kind, except }] };
    const keys = strings.intersect(all, part.names);
    const before = keysOf.get(node);
    keysOf.set(node, before ? strings.unite(before, keys) : keys);
  }
  return Array.from(keysOf, ([node, keys]) => ({ keys, node })).filter(({ keys }) => !hasNoString(keys));
}
