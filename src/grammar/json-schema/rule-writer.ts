import type { GrammarBuilder, Sym } from '../grammar.ts';
import type { Nodes } from './node-set.ts';
import type { Quoting } from './quoting.ts';
import type { Node } from './shapes.ts';

/** Terminals between values, with the white space around them. */
export interface Punctuation {
  readonly openBrace: Sym;
  readonly closeBrace: Sym;
  readonly openBracket: Sym;
  readonly closeBracket: Sym;
  /** The same closing ones right behind the opening ones: white space stands there already. */
  readonly closeEmptyBrace: Sym;
  readonly closeEmptyBracket: Sym;
  readonly comma: Sym;
  readonly colon: Sym;
}

/** What rules of arrays and objects are written with; `GrammarWriter` is one. */
export interface RuleWriter {
  readonly nodes: Nodes;
  readonly builder: GrammarBuilder;
  readonly quoting: Quoting;
  readonly punctuation: Punctuation;
  /** Properties may come in any order, not only in that of the schema. */
  readonly anyOrder: boolean;
  /** The symbol of a node's values. */
  symbolOf(node: Node): Sym;
  /** What matches any of the alternatives: equal ones are one rule, and a symbol alone is itself. */
  ruleOf(alternatives: readonly (readonly Sym[])[]): Sym;
  /** `symbol` from `least` to `most` times, each time behind a comma. */
  repeatedBehindCommas(symbol: Sym, least: number, most: number): Sym;
}
