import type { GrammarBuilder, Sym } from '../grammar.ts';
import { arrayAlternatives } from './array-rules.ts';
import type { Nodes } from './node-set.ts';
import { NumberWriter } from './number-texts.ts';
import { objectAlternatives } from './object-rules.ts';
import type { Quoting } from './quoting.ts';
import type { Punctuation, RuleWriter } from './rule-writer.ts';
import type { ArrayPart, Node, ObjectPart, Shape } from './shapes.ts';

/** Writes the rules of nodes. Rules of arrays and objects are defined later, from a list, so that recursion ends. */
export class GrammarWriter implements RuleWriter {
  readonly #symbols = new Map<Node, Sym>();
  readonly #parts = new Map<ArrayPart | ObjectPart, Sym>();
  readonly #rules = new Map<string, Sym>();
  readonly #waiting: (() => void)[] = [];
  readonly #numbers: NumberWriter;
  /** Rules that repeat a symbol any number of times, each after a comma; rules that repeat symbols up to a count. */
  readonly #loops = new Map<Sym, Sym>();
  readonly #counted = new Map<string, Sym>();

  constructor(
    readonly nodes: Nodes,
    readonly builder: GrammarBuilder,
    readonly quoting: Quoting,
    readonly punctuation: Punctuation,
    /** Properties may come in any order, not only in the schema's. */
    readonly anyOrder: boolean,
  ) {
    this.#numbers = new NumberWriter(builder);
  }

  /** Writes all rules of the grammar, and returns its start symbol. */
  write(root: Node): Sym {
    const symbol = this.symbolOf(root);
    for (let define = this.#waiting.pop(); define; define = this.#waiting.pop()) define();
    return symbol;
  }

  /** The symbol that matches a node's values. */
  symbolOf(node: Node): Sym {
    let symbol = this.#symbols.get(node);
    if (symbol === undefined) {
      symbol = this.#symbolOfShape(this.nodes.shapeOf(node), this.nodes.placeOf(node));
      this.#symbols.set(node, symbol);
    }
    return symbol;
  }

  #symbolOfShape(shape: Shape, at: string): Sym {
    const { builder } = this;
    const { regexes } = builder;
    const scalars = [];
    if (shape.nulls) scalars.push(regexes.text('null'));
    if (shape.trues) scalars.push(regexes.text('true'));
    if (shape.falses) scalars.push(regexes.text('false'));
    const numbers = this.#numbers.textsOf(shape.numbers);
    scalars.push(numbers.regex, this.quoting.string(shape.strings));
    const alternatives = numbers.rules.map((rule) => [rule]);
    const scalar = regexes.or(...scalars);
    if (scalar !== regexes.nothing) alternatives.push([builder.terminal(scalar)]);
    for (const part of shape.arrays)
      alternatives.push([this.#symbolOfPart(part, () => arrayAlternatives(this, part, at))]);
    for (const part of shape.objects)
      alternatives.push([this.#symbolOfPart(part, () => objectAlternatives(this, part, at))]);
    return this.ruleOf(alternatives);
  }

  /** The rule of a part, which is defined later. */
  #symbolOfPart(part: ArrayPart | ObjectPart, alternativesOf: () => readonly (readonly Sym[])[]): Sym {
    let rule = this.#parts.get(part);
    if (rule === undefined) {
      const own = this.builder.rule();
      rule = own;
      this.#parts.set(part, own);
      this.#waiting.push(() => this.builder.define(own, alternativesOf()));
    }
    return rule;
  }

  /** A symbol that matches any of the alternatives. Equal alternatives share a rule; a single symbol needs none. */
  ruleOf(alternatives: readonly (readonly Sym[])[]): Sym {
    const [first] = alternatives;
    if (alternatives.length === 1 && first?.length === 1) return first[0] ?? 0;
    const key = `${alternatives.length}:${alternatives.join('|')}`;
    let rule = this.#rules.get(key);
    if (rule === undefined) {
      rule = this.builder.rule();
      this.builder.define(rule, alternatives);
      this.#rules.set(key, rule);
    }
    return rule;
  }

  /** `symbol` from `least` to `most` times, each time after a comma. */
  repeatedAfterCommas(symbol: Sym, least: number, most: number): Sym {
    const { comma } = this.punctuation;
    const once = [comma, symbol];
    if (most < Infinity) return this.ruleOf([[this.#exactly(once, least), this.#upTo(once, most - least)]]);
    let rule = this.#loops.get(symbol);
    if (rule === undefined) {
      this.#loops.set(symbol, (rule = this.builder.rule()));
      this.builder.define(rule, [[], [rule, ...once]]);
    }
    return least === 0 ? rule : this.ruleOf([[this.#exactly(once, least), rule]]);
  }

  #exactly(symbols: readonly Sym[], count: number): Sym {
    if (count === 0) return this.ruleOf([[]]);
    if (count === 1) return this.ruleOf([symbols]);
    const half = this.#exactly(symbols, Math.floor(count / 2));
    return this.ruleOf([count % 2 === 0 ? [half, half] : [half, half, ...symbols]]);
  }

  /** Repeats up to `count` times: a few as a chain, which is fast to follow, more by halves. */
  #upTo(symbols: readonly Sym[], count: number): Sym {
    const key = `${symbols.join()}*${count}`;
    let rule = this.#counted.get(key);
    if (rule !== undefined) return rule;
    if (count <= LONGEST_CHAIN) {
      rule = this.ruleOf(count === 0 ? [[]] : [[], [...symbols, this.#upTo(symbols, count - 1)]]);
    } else {
      // Either 2**bit repetitions and then up to the rest, or fewer than 2**bit; `bit` is the highest bit of the count.
      const power = 2 ** Math.floor(Math.log2(count));
      rule = this.ruleOf([
        [this.#exactly(symbols, power), this.#upTo(symbols, count - power)],
        [this.#upTo(symbols, power - 1)],
      ]);
    }
    this.#counted.set(key, rule);
    return rule;
  }
}

const LONGEST_CHAIN = 256;
