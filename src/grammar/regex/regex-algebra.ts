import type { Fuel } from '../limits.ts';
import type { ByteSets } from './byte-sets.ts';
import type { Nodes } from './nodes.ts';

/** A regular expression: a node of `Regexes`. Equal expressions have the same number. */
export type Regex = number;

/** The part of `Regexes` that simplifications and queries use. */
export interface RegexAlgebra {
  readonly nodes: Nodes;
  readonly byteSets: ByteSets;
  fuel: Fuel;
  /** Matches no string. */
  readonly nothing: Regex;
  /** Matches the empty string alone. */
  readonly empty: Regex;
  readonly anyBytes: Regex;
  readonly anyText: Regex;
  concat(...parts: readonly Regex[]): Regex;
  repeat(regex: Regex, least: number, most: number): Regex;
  anyOf(parts: readonly Regex[]): Regex;
  allOf(parts: readonly Regex[]): Regex;
  not(regex: Regex): Regex;
  seesMatch(regex: Regex): boolean;
  isNullable(regex: Regex): boolean;
  derivative(regex: Regex, byte: number): Regex;
}
