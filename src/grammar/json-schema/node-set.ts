import type { Fuel } from '../limits.ts';
import type { Base, Document } from './references.ts';
import type { Node, Shape } from './shapes.ts';
import type { StringSets } from './strings.ts';

/** How the schemas of one document are read. */
export interface Reading {
  readonly document: Document;
  readonly strict: boolean;
  /** Reads `oneOf` as `anyOf`. */
  readonly coerceOneOf: boolean;
  /** Ignores unsupported keywords. */
  readonly lenient: boolean;
  /** Places of ignored keywords: unknown ones, `format` with an unknown value, and, if `lenient`, unsupported ones. */
  readonly ignored: string[];
  /**
   * Set when a schema is read that validators take and generators such as llguidance do not: it has a keyword of
   * `VALIDATOR_KEYWORDS`, a string's `format` that is not in `GENERATOR_FORMATS`, or a `oneOf` whose schemas share values.
   */
  isForValidators: boolean;
}

/** Sets of JSON values, each with a number; implemented by `SchemaNodes`. */
export interface Nodes {
  readonly reading: Reading;
  readonly fuel: Fuel;
  readonly strings: StringSets;
  /** The values that the document's schema at `at` allows. */
  schema(schema: unknown, base: Base, at: string): Node;
  /** The set of a single value. */
  value(value: unknown): Node;
  /** The intersection. */
  all(...nodes: readonly Node[]): Node;
  /** The union. */
  any(...nodes: readonly Node[]): Node;
  /** The complement. */
  not(node: Node): Node;
  /** The place of a schema that the node is made of; empty if there is none. */
  placeOf(node: Node): string;
  /** The node's values by type. Throws a `GrammarError` if the node refers to itself or is not supported. */
  shapeOf(node: Node): Shape;
  /** Whether the node certainly has no values. */
  isEmpty(node: Node): boolean;
}

/** A schema that is being read. */
export interface Reader {
  readonly nodes: Nodes;
  readonly schema: Readonly<Record<string, unknown>>;
  readonly base: Base;
  readonly at: string;
}
