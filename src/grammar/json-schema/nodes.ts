import { type Fuel, GrammarError } from '../limits.ts';
import { complementShape, intersectShapes, uniteShapes } from './combine.ts';
import type { Nodes, Reading } from './node-set.ts';
import { readSchema } from './read-schema.ts';
import { type Base, baseWithin, placeIn, resolveReference } from './references.ts';
import { ANY_SHAPE, EVERYTHING, isEmptyShape, NO_SHAPE, type Node, NOTHING, type Shape } from './shapes.ts';
import { StringSets } from './strings.ts';
import { shapeOfValue } from './values.ts';
import { ANNOTATIONS, DEFINITIONS } from './keywords.ts';

/** Most nested schemas that apply to the same value, with no property or item between them: allOf, $ref, and so on. */
const MOST_DEPTH = 100;
/** Most levels of properties in the search for an impossible required property. */
const EMPTINESS_DEPTH = 10;

type Definition =
  | { readonly kind: 'schema'; readonly schema: object; readonly base: Base; readonly at: string }
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Node[] }
  | { readonly kind: 'not'; readonly part: Node };

/** Sets of JSON values, each with a number. Equal sets mostly share one, so that recursion ends. */
export class SchemaNodes implements Nodes {
  readonly strings: StringSets;
  readonly #definitions: (Definition | undefined)[] = [undefined, undefined];
  readonly #byKey = new Map<string, Node>();
  readonly #byObject = new Map<object, Map<Base, Node>>();
  readonly #valueNodes = new Map<unknown, Node>();
  readonly #shapes: (Shape | undefined)[] = [ANY_SHAPE, NO_SHAPE];
  readonly #isEmpty: (boolean | undefined)[] = [false, true];
  readonly #inWork = new Set<Node>();
  #emptinessDepth = 0;

  constructor(
    readonly reading: Reading,
    readonly fuel: Fuel,
  ) {
    this.strings = new StringSets(fuel);
  }

  schema(schema: unknown, base: Base, at: string): Node {
    for (let hops = 0; ; hops++) {
      if (schema === true) return EVERYTHING;
      if (schema === false) return NOTHING;
      if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
        throw new GrammarError('must be an object or a boolean', at);
      base = baseWithin(this.reading.document, schema, base);
      const reference = onlyReference(schema);
      if (reference === undefined) break;
      if (hops > MOST_DEPTH) throw new GrammarError('refers to itself', at);
      ({ schema, base, at } = resolveReference(this.reading.document, reference, base, placeIn(at, '$ref')));
    }
    const byBase = this.#byObject.get(schema);
    const known = byBase?.get(base);
    if (known !== undefined) return known;
    const node = this.#add({ kind: 'schema', schema, base, at });
    if (byBase) byBase.set(base, node);
    else this.#byObject.set(schema, new Map([[base, node]]));
    return node;
  }

  value(value: unknown): Node {
    let node = this.#valueNodes.get(value);
    if (node === undefined) this.#valueNodes.set(value, (node = this.#add({ kind: 'value', value })));
    return node;
  }

  all(...nodes: readonly Node[]): Node {
    const parts = new Set<Node>();
    for (const node of nodes) {
      const definition = this.#definitions[node];
      if (node === NOTHING) return NOTHING;
      if (definition?.kind === 'all') for (const part of definition.parts) parts.add(part);
      else if (node !== EVERYTHING) parts.add(node);
    }
    return this.#group('all', [...parts], EVERYTHING);
  }

  any(...nodes: readonly Node[]): Node {
    const parts = new Set<Node>();
    for (const node of nodes) {
      if (node === EVERYTHING) return EVERYTHING;
      if (node !== NOTHING) parts.add(node);
    }
    return this.#group('any', [...parts], NOTHING);
  }

  #group(kind: 'all' | 'any', parts: readonly Node[], none: Node): Node {
    const [first, ...others] = parts;
    if (first === undefined) return none;
    if (others.length === 0) return first;
    const key = `${kind}${parts.join()}`;
    let node = this.#byKey.get(key);
    if (node === undefined) {
      this.fuel.use(parts.length);
      this.#byKey.set(key, (node = this.#add({ kind, parts })));
    }
    return node;
  }

  not(node: Node): Node {
    if (node === EVERYTHING) return NOTHING;
    if (node === NOTHING) return EVERYTHING;
    const definition = this.#definitions[node];
    if (definition?.kind === 'not') return definition.part;
    const key = `not${node}`;
    let complement = this.#byKey.get(key);
    if (complement === undefined) this.#byKey.set(key, (complement = this.#add({ kind: 'not', part: node })));
    return complement;
  }

  #add(definition: Definition): Node {
    this.fuel.use(30);
    return this.#definitions.push(definition) - 1;
  }

  placeOf(node: Node): string {
    for (let definition = this.#definitions[node]; definition;) {
      if (definition.kind === 'schema') return definition.at;
      if (definition.kind === 'value') return '';
      definition = this.#definitions[definition.kind === 'not' ? definition.part : (definition.parts[0] ?? 0)];
    }
    return '';
  }

  shapeOf(node: Node): Shape {
    const known = this.#shapes[node];
    if (known) return known;
    if (this.#inWork.has(node)) throw new GrammarError('refers to itself', this.placeOf(node));
    if (this.#inWork.size >= MOST_DEPTH)
      throw new GrammarError(`is nested more than ${MOST_DEPTH} deep`, this.placeOf(node));
    this.#inWork.add(node);
    try {
      const shape = this.#shape(node);
      this.#shapes[node] = shape;
      return shape;
    } catch (error) {
      if (error instanceof GrammarError && error.at === '') throw new GrammarError(error.reason, this.placeOf(node));
      throw error;
    } finally {
      this.#inWork.delete(node);
    }
  }

  #shape(node: Node): Shape {
    const definition = this.#definitions[node];
    switch (definition?.kind) {
      case undefined:
        return NO_SHAPE;
      case 'schema':
        return readSchema(this, definition.schema, definition.base, definition.at);
      case 'value':
        return shapeOfValue(this, definition.value);
      case 'all':
        return definition.parts.reduce((shape, part) => intersectShapes(this, shape, this.shapeOf(part)), ANY_SHAPE);
      case 'any':
        return definition.parts.reduce((shape, part) => uniteShapes(this, shape, this.shapeOf(part)), NO_SHAPE);
      case 'not':
        return complementShape(this, this.shapeOf(definition.part));
    }
  }

  isEmpty(node: Node): boolean {
    const known = this.#isEmpty[node];
    if (known !== undefined) return known;
    if (this.#emptinessDepth >= EMPTINESS_DEPTH || this.#inWork.has(node) || this.#inWork.size >= MOST_DEPTH - 10)
      return false;
    this.#emptinessDepth++;
    try {
      const isEmpty = isEmptyShape(this.shapeOf(node));
      this.#isEmpty[node] = isEmpty;
      return isEmpty;
    } catch (error) {
      // An unsupported schema is refused when its rules are written, if ever.
      if (error instanceof GrammarError && this.fuel.left > 0) return false;
      throw error;
    } finally {
      this.#emptinessDepth--;
    }
  }
}

/** The `$ref` of a schema that has no other assertions. */
function onlyReference(schema: object): string | undefined {
  if (!('$ref' in schema) || typeof schema.$ref !== 'string') return undefined;
  for (const keyword of Object.keys(schema)) {
    if (keyword !== '$ref' && !ANNOTATIONS.has(keyword) && !DEFINITIONS.has(keyword)) return undefined;
  }
  return schema.$ref;
}
