import type { Fuel } from '../limits.ts';
import type { Base, Document } from './references.ts';
import type { Node, Shape } from './shapes.ts';
import type { StringSets } from './strings.ts';

/** What reads the schemas of one document. */
export interface Reading {
  readonly document: Document;
  readonly strict: boolean;
  /** `oneOf` is read as `anyOf`. */
  readonly coerceOneOf: boolean;
  /** What is not supported is ignored. */
  readonly lenient: boolean;
  /** Places of keywords that say nothing about values: they are not known, or are formats that are not known. */
  readonly ignored: string[];
}

/** Sets of JSON values by number; `SchemaNodes` holds them. */
export interface Nodes {
  readonly reading: Reading;
  readonly fuel: Fuel;
  readonly strings: StringSets;
  /** The values that a schema of the document allows, which stands at `at`. */
  schema(schema: unknown, base: Base, at: string): Node;
  /** This value alone. */
  value(value: unknown): Node;
  /** What is in each. */
  all(...nodes: readonly Node[]): Node;
  /** What is in one or more. */
  any(...nodes: readonly Node[]): Node;
  /** What is not in it. */
  not(node: Node): Node;
  /** Where a schema that has to do with the node stands. */
  placeOf(node: Node): string;
  /** The values type by type. Throws a `GrammarError` where it would need itself, or says what is not supported. */
  shapeOf(node: Node): Shape;
  /** True where it is certain that no value is in it. */
  isEmpty(node: Node): boolean;
}

/** One schema, while it is read. */
export interface Reader {
  readonly nodes: Nodes;
  readonly schema: Readonly<Record<string, unknown>>;
  readonly base: Base;
  readonly at: string;
}
