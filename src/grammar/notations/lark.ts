import type { GrammarBuilder, Sym } from '../grammar.ts';
import { schemaGrammar } from '../json-schema/schema-grammar.ts';
import { GrammarError } from '../limits.ts';
import { controlBytes } from '../parser/token-trie.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';
import { type CharRegex, lower, parsePattern } from '../regex/syntax.ts';
import {
  compileRules,
  type Expression,
  inOrder,
  orAll,
  weightOfCharacters,
  weightOfRepetition,
  weightOfText,
  WEIGHT_OF_MANY,
} from './expressions.ts';
import { type ControlTokens, lazy, notBeginning, without } from './free-text.ts';
import { LARK_COMMON } from './lark-common.ts';
import { type Leaf, Places } from './lark-places.ts';
import { type LarkGrammar, type LarkNode, type LarkRule, parseLark } from './lark-syntax.ts';
import { TextReader } from './text-reader.ts';

/** Most tokens of a list. */
const MOST_TOKENS = 1024;
/** Most chunks of %regex. */
const MOST_CHUNKS = 20_000;

/**
 * Compiles a grammar in Lark's syntax as llguidance reads it (docs/syntax.md), with `%json`, `%regex`, `%lark`, control
 * tokens and lazy rules, and returns the symbol of the rule `start`.
 *
 * A terminal may end wherever its expression accepts; llguidance ends it at the last such place. A match of a lazy rule
 * has no shorter prefix that the rule matches; when it ends, no terminal that could have been matched in its place
 * continues. The text of a rule does not contain a match of its `stop`. Text of `%ignore` may come after a terminal or
 * a nested grammar if a terminal of this grammar may follow. Priorities, aliases and captures have no effect. Throws a
 * `GrammarError` with line and column.
 */
export function larkGrammar(text: string, builder: GrammarBuilder, control?: ControlTokens): Sym {
  const reader = new TextReader(text, builder.fuel);
  return new LarkCompiler(parseLark(reader), reader, builder, control).compile();
}

/** A regular expression, with its weight (see `Expression`). */
interface Weighed {
  regex: Regex;
  weight: number;
}

class LarkCompiler {
  readonly #regexes: Regexes;
  readonly #terminals = new Map<string, Weighed>();
  /** Leaves that are terminals, not control tokens. */
  readonly #lexemes = new Set<Leaf>();
  /** Leaves of lazy rules, with their expressions before they are made lazy. */
  readonly #lazy = new Map<Leaf, Regex>();
  /** Names of control tokens in the grammar, which its texts do not contain. */
  readonly #controlNames = new Set<string>();

  constructor(
    private readonly grammar: LarkGrammar,
    private readonly reader: TextReader,
    private readonly builder: GrammarBuilder,
    private readonly control: ControlTokens | undefined,
  ) {
    this.#regexes = builder.regexes;
  }

  compile(): Sym {
    const { grammar, builder, reader } = this;
    this.#addTerminals();
    const rules = new Map([...grammar.rules].map(([name, rule]) => [name, this.#rule(rule)]));
    const skipped = this.#skipped();
    const start = compileRules(this.#asTold(rules, skipped), 'start', builder, reader.error);
    if (!skipped || !grammar.allowsInitialSkip) return start;
    const rule = builder.rule('start');
    builder.define(rule, [[builder.terminal(skipped.regex), start]]);
    return rule;
  }

  #addTerminals(): void {
    const { terminals, imports } = this.grammar;
    for (const [name, { path, at }] of imports) {
      const source = LARK_COMMON.get(path);
      if (source === undefined) throw this.reader.error(`there is no ${JSON.stringify(path)} to be imported`, at);
      this.#terminals.set(name, this.#pattern(source, '', at));
    }
    const references = new Map([...terminals].map(([name, { body }]) => [name, namesIn(body)]));
    for (const names of references.values()) {
      for (const [name, at] of names) {
        if (imports.has(name)) names.delete(name);
        else if (!terminals.has(name)) throw this.#unknown(name, at);
      }
    }
    const ordered = inOrder(references);
    for (const [name, names] of references) {
      const at = names.get(name);
      const isCircular = at !== undefined || (ordered.length < terminals.size && !ordered.includes(name));
      if (isCircular) throw this.reader.error(`the terminal ${name} refers to itself`, at ?? terminals.get(name)?.at);
    }
    for (const name of ordered) {
      const terminal = terminals.get(name);
      if (terminal) this.#terminals.set(name, this.#terminal(terminal.body));
    }
  }

  /** The error for a terminal that refers to `name`. */
  #unknown(name: string, at: number): GrammarError {
    const reason = this.grammar.rules.has(name) ? 'is a rule: a terminal has no rules in it' : 'is not defined';
    return this.reader.error(`${JSON.stringify(name)} ${reason}`, at);
  }

  #terminal(node: LarkNode): Weighed {
    const regexes = this.#regexes;
    switch (node.kind) {
      case 'text':
        if (node.ignoresCase) return this.#pattern(escaped(node.text), 'i', node.at);
        return { regex: regexes.text(node.text), weight: weightOfText(node.text) };
      case 'range':
        return this.#characters(node.first.codePointAt(0) ?? 0, node.last.codePointAt(0) ?? 0);
      case 'pattern':
        return this.#pattern(node.source, node.flags, node.at);
      case 'name': {
        const terminal = this.#terminals.get(node.name);
        if (!terminal) throw this.#unknown(node.name, node.at);
        return terminal;
      }
      case 'substring':
        return this.#substring(node.chunks, node.at);
      case 'sequence': {
        const parts = node.parts.map((part) => this.#terminal(part));
        return { regex: regexes.concat(...parts.map(({ regex }) => regex)), weight: sumOf(parts) };
      }
      case 'choice': {
        const parts = node.parts.map((part) => this.#terminal(part));
        const regex = orAll(
          parts.map((part) => part.regex),
          regexes,
        );
        return { regex, weight: sumOf(parts) };
      }
      case 'and': {
        const parts = node.parts.map((part) => this.#terminal(part));
        return { regex: regexes.and(...parts.map(({ regex }) => regex)), weight: sumOf(parts) };
      }
      case 'not': {
        const part = this.#terminal(node.part);
        return { regex: regexes.not(part.regex), weight: WEIGHT_OF_MANY };
      }
      case 'repeat': {
        const { regex, weight } = this.#terminal(node.part);
        const { least, most } = node;
        return { regex: regexes.repeat(regex, least, most), weight: weightOfRepetition(weight, least, most) };
      }
      case 'token':
        throw this.reader.error(`the control token ${node.written} cannot be in a terminal`, node.at);
      case 'json':
        throw this.reader.error('%json cannot be in a terminal', node.at);
      case 'grammar':
        throw this.reader.error('%lark cannot be in a terminal', node.at);
    }
  }

  #characters(first: number, last: number): Weighed {
    return { regex: this.#regexes.chars([[first, last]]), weight: weightOfCharacters(last - first + 1) };
  }

  #pattern(source: string, flags: string, at: number): Weighed {
    const { fuel } = this.builder;
    const tree = this.#saidAt(at, () => parsePattern(source, 'rust', { flags, fuel }));
    return { regex: lower(tree, this.#regexes), weight: weightOf(tree) };
  }

  /** Runs `work`; a `GrammarError` of it gets a position in the text. */
  #saidAt<T>(at: number, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      throw this.reader.error(error.at === '' ? error.reason : `${error.at} ${error.reason}`, at);
    }
  }

  /** Any run of consecutive chunks: a chunk, then perhaps a run that begins with the next one. */
  #substring(chunks: readonly string[], at: number): Weighed {
    if (chunks.length > MOST_CHUNKS)
      throw this.reader.error(`has ${chunks.length} chunks, but at most ${MOST_CHUNKS} are supported`, at);
    const regexes = this.#regexes;
    const runs: Regex[] = [];
    let next = regexes.nothing;
    for (const chunk of [...chunks].reverse()) {
      next = regexes.concat(regexes.text(chunk), regexes.or(regexes.empty, next));
      runs.push(next);
    }
    return { regex: orAll([regexes.empty, ...runs], regexes), weight: 1 };
  }

  #rule(rule: LarkRule): Expression {
    const { isLazy, stop, suffix, body } = rule;
    if (!isLazy && !stop && !suffix) return this.#expression(body);
    const regexes = this.#regexes;
    const { regex, weight } = this.#terminal(body);
    if (stop) {
      const end = this.#terminal(stop).regex;
      return this.#lexeme({ regex: end === regexes.empty ? regex : without(regex, end, regexes), weight });
    }
    const whole = suffix ? regexes.concat(regex, this.#terminal(suffix).regex) : regex;
    const leaf = this.#lexeme({ regex: whole, weight });
    this.#lazy.set(leaf, whole);
    return leaf;
  }

  #lexeme({ regex, weight }: Weighed): Leaf {
    const leaf: Leaf = { kind: 'regex', regex, weight };
    this.#lexemes.add(leaf);
    return leaf;
  }

  #expression(node: LarkNode): Expression {
    const { reader } = this;
    switch (node.kind) {
      case 'name':
        if (this.grammar.rules.has(node.name)) return { kind: 'rule', name: node.name, at: node.at };
        if (!this.#terminals.has(node.name)) throw reader.error(`${JSON.stringify(node.name)} is not defined`, node.at);
        return this.#lexeme(this.#terminal(node));
      case 'token':
        return { kind: 'regex', regex: this.#controlToken(node.written, node.at), weight: weightOfCharacters(1) };
      case 'json':
        return { kind: 'symbol', symbol: this.#saidAt(node.at, () => schemaGrammar(node.schema, this.builder).root) };
      case 'grammar':
        return { kind: 'symbol', symbol: new LarkCompiler(node.grammar, reader, this.builder, this.control).compile() };
      case 'sequence':
      case 'choice':
        return { kind: node.kind, parts: node.parts.map((part) => this.#expression(part)) };
      case 'repeat':
        return { ...node, part: this.#expression(node.part) };
      case 'and':
        throw reader.error('only terminals may have an &: name the rule in capitals', node.at);
      case 'text':
      case 'range':
      case 'pattern':
      case 'substring':
      case 'not':
        return this.#lexeme(this.#terminal(node));
    }
  }

  /** `<name>`, or `<[ids]>` with numbers and ranges between commas. */
  #controlToken(written: string, at: number): Regex {
    const list = /^<\[(.*)\]>$/s.exec(written)?.[1];
    if (list === undefined) {
      const id = this.control?.(written);
      if (id === undefined) throw this.reader.error(`the model has no control token ${written}`, at);
      this.#controlNames.add(written);
      return this.#regexes.literalBytes(controlBytes(id));
    }
    const ids: number[] = [];
    for (const range of list.split(',')) {
      const [, first = '', last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range) ?? [];
      if (first === '' || Number(last) < Number(first))
        throw this.reader.error(`${written} is no list of tokens: all but a few cannot be asked for`, at);
      if (ids.length + Number(last) - Number(first) >= MOST_TOKENS)
        throw this.reader.error(`${written} has more than ${MOST_TOKENS} tokens`, at);
      for (let id = Number(first); id <= Number(last); id++) ids.push(id);
    }
    return this.#regexes.or(...ids.map((id) => this.#regexes.literalBytes(controlBytes(id))));
  }

  /** The expression that %ignore allows between terminals. */
  #skipped(): Weighed | undefined {
    const { ignored, ignoresOnce } = this.grammar;
    if (ignored.length === 0) return undefined;
    const parts = ignored.map((node) => this.#terminal(node));
    const regex = this.#regexes.or(...parts.map((part) => part.regex));
    return { regex: this.#regexes.repeat(regex, 0, ignoresOnce ? 1 : Infinity), weight: sumOf(parts) };
  }

  /** The rules, with lazy rules and %ignore applied to their terminals. */
  #asTold(rules: ReadonlyMap<string, Expression>, skipped: Weighed | undefined): ReadonlyMap<string, Expression> {
    const written = new Map<Leaf, Expression>();
    for (const leaf of this.#lexemes) if (leaf.kind === 'regex') written.set(leaf, this.#asText(leaf));
    if (this.#lazy.size === 0 && !skipped) return withLeaves(rules, written);
    const isNullable = (leaf: Leaf): boolean => leaf.kind === 'regex' && this.#regexes.isNullable(leaf.regex);
    const places = new Places(rules, 'start', isNullable, this.builder.fuel);
    const rivals = this.#lazy.size > 0 ? places.besides(new Set(this.#lazy.keys())) : new Map<Leaf, Set<Leaf>>();
    const followed = skipped ? places.followed() : new Set<Leaf>();
    for (const leaf of leavesOf(rules)) {
      const told = this.#withLazy(leaf, rivals.get(leaf));
      written.set(leaf, skipped && followed.has(leaf) ? this.#withSkipped(told, skipped) : told);
    }
    return withLeaves(rules, written);
  }

  /** The terminal; if it matches many characters, only text without the names of control tokens. */
  #asText(leaf: Extract<Leaf, { kind: 'regex' }>): Extract<Leaf, { kind: 'regex' }> {
    if (leaf.weight < WEIGHT_OF_MANY) return leaf;
    const regexes = this.#regexes;
    let regex = regexes.and(leaf.regex, regexes.anyText);
    for (const name of this.#controlNames) regex = without(regex, regexes.text(name), regexes);
    return { ...leaf, regex };
  }

  /**
   * The leaf, restricted to its shortest matches if it is lazy, and to strings that do not begin with a match of a lazy
   * rival.
   */
  #withLazy(leaf: Leaf, rivals: ReadonlySet<Leaf> = new Set()): Leaf {
    if (leaf.kind !== 'regex' || !this.#lexemes.has(leaf)) return leaf;
    const regexes = this.#regexes;
    const text = this.#asText(leaf);
    const ends = regexes.or(...[...rivals].map((rival) => this.#lazy.get(rival) ?? regexes.nothing));
    if (!this.#lazy.has(leaf)) return { ...text, regex: notBeginning(text.regex, ends, regexes) };
    // A lazy leaf may equal a match of a rival, but not continue after it.
    const further = regexes.concat(ends, regexes.bytes([[0, 255]]));
    return { ...text, regex: notBeginning(lazy(text.regex, regexes), further, regexes) };
  }

  #withSkipped(leaf: Leaf, skipped: Weighed): Expression {
    const regexes = this.#regexes;
    if (leaf.kind === 'symbol') return { kind: 'sequence', parts: [leaf, { kind: 'regex', ...skipped }] };
    const isNullable = regexes.isNullable(leaf.regex);
    const regex = regexes.concat(isNullable ? regexes.withoutEmpty(leaf.regex) : leaf.regex, skipped.regex);
    return {
      kind: 'regex',
      regex: isNullable ? regexes.or(regex, regexes.empty) : regex,
      weight: leaf.weight + skipped.weight,
    };
  }
}

const sumOf = (parts: readonly Weighed[]): number => parts.reduce((sum, { weight }) => sum + weight, 0);

/** The regular expression of a text. */
const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/&~#-]/g, '\\$&');

function weightOf(tree: CharRegex): number {
  switch (tree.kind) {
    case 'empty':
      return 0;
    case 'chars': {
      const count = tree.ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
      return weightOfCharacters(count);
    }
    case 'concat':
    case 'or':
    case 'and':
      return tree.parts.reduce((sum, part) => sum + weightOf(part), 0);
    case 'not':
      return WEIGHT_OF_MANY;
    case 'repeat':
      return weightOfRepetition(weightOf(tree.part), tree.least, tree.most);
  }
}

/** The names in a node, with the position of the first use of each. */
function namesIn(node: LarkNode, found = new Map<string, number>()): Map<string, number> {
  if (node.kind === 'name' && !found.has(node.name)) found.set(node.name, node.at);
  if (node.kind === 'sequence' || node.kind === 'choice' || node.kind === 'and')
    for (const part of node.parts) namesIn(part, found);
  if (node.kind === 'repeat' || node.kind === 'not') namesIn(node.part, found);
  return found;
}

function leavesOf(rules: ReadonlyMap<string, Expression>): Leaf[] {
  const leaves: Leaf[] = [];
  const collect = (expression: Expression): void => {
    if (expression.kind === 'regex' || expression.kind === 'symbol') leaves.push(expression);
    else if (expression.kind === 'repeat') collect(expression.part);
    else if (expression.kind !== 'rule') for (const part of expression.parts) collect(part);
  };
  for (const expression of rules.values()) collect(expression);
  return leaves;
}

/** The rules with their leaves replaced. */
function withLeaves(
  rules: ReadonlyMap<string, Expression>,
  written: ReadonlyMap<Leaf, Expression>,
): ReadonlyMap<string, Expression> {
  const changed = (expression: Expression): Expression => {
    switch (expression.kind) {
      case 'regex':
      case 'symbol':
        return written.get(expression) ?? expression;
      case 'rule':
        return expression;
      case 'sequence':
      case 'choice':
        return { kind: expression.kind, parts: expression.parts.map(changed) };
      case 'repeat':
        return { ...expression, part: changed(expression.part) };
    }
  };
  return new Map([...rules].map(([name, expression]) => [name, changed(expression)]));
}
