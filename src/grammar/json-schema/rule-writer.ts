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
  /** The closing ones directly after the opening ones, which include the white space. */
  readonly closeEmptyBrace: Sym;
  readonly closeEmptyBracket: Sym;
  readonly comma: Sym;
  readonly colon: Sym;
}

/** Writes the rules of arrays and objects; implemented by `GrammarWriter`. */
export interface RuleWriter {
  readonly nodes: Nodes;
  readonly builder: GrammarBuilder;
  readonly quoting: Quoting;
  readonly punctuation: Punctuation;
  /** Properties may come in any order, not only in the schema's. */
  readonly anyOrder: boolean;
  /** The symbol that matches a node's values. */
  symbolOf(node: Node): Sym;
  /** A symbol that matches any of the alternatives. Equal alternatives share a rule; a single symbol needs none. */
  ruleOf(alternatives: readonly (readonly Sym[])[]): Sym;
  /** `symbol` from `least` to `most` times, each time after a comma. */
  repeatedAfterCommas(symbol: Sym, least: number, most: number): Sym;
}
