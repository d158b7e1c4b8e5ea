import { GrammarError } from '../limits.ts';
import { complementShape, exactlyOne, intersectObjects, intersectShapes, uniteShapes } from './combine.ts';
import { ANNOTATIONS, ASSERTIONS, DEFINITIONS, VALIDATOR_KEYWORDS } from './keywords.ts';
import type { Nodes, Reader } from './node-set.ts';
import { readArrays, readNumbers, readObjects, readStrings, withUnevaluated } from './read-types.ts';
import { type Base, isObject, placeIn, resolveReference } from './references.ts';
import { ANY_OBJECTS, ANY_SHAPE, NO_SHAPE, requiring, type Shape, without } from './shapes.ts';
import { shapeOfValues } from './values.ts';

const TYPES = new Set(['null', 'boolean', 'number', 'integer', 'string', 'array', 'object']);
/** Keywords whose position determines the order of properties. */
const ORDERED: Readonly<Record<string, (reader: Reader, value: unknown, at: string, before: Shape) => Shape>> = {
  enum: (reader, values, at) => shapeOfValues(reader.nodes, listOf(values, at)),
  const: (reader, value) => shapeOfValues(reader.nodes, [value]),
  allOf: (reader, schemas, at) =>
    listOf(schemas, at).reduce<Shape>(
      (shape, schema, i) => intersectShapes(reader.nodes, shape, innerShape(reader, schema, `${at}[${i}]`)),
      ANY_SHAPE,
    ),
  anyOf: readAnyOf,
  oneOf: (reader, schemas, at, before) =>
    reader.nodes.reading.coerceOneOf
      ? readAnyOf(reader, schemas, at)
      : exactlyOne(
          reader.nodes,
          listOf(schemas, at).map((schema, i) => innerShape(reader, schema, `${at}[${i}]`)),
          withRequired(reader, before),
        ),
  $ref: readReference,
  $dynamicRef: readReference,
  $recursiveRef: readReference,
};
const OBJECT_KEYWORDS = new Set([
  'properties',
  'patternProperties',
  'additionalProperties',
  'required',
  'minProperties',
  'maxProperties',
]);

/** The values that a schema allows. */
export function readSchema(nodes: Nodes, source: object, base: Base, at: string): Shape {
  const reader: Reader = { nodes, schema: source as Record<string, unknown>, base, at };
  const { schema } = reader;
  const keywords = Object.keys(schema);
  nodes.fuel.use(10 * keywords.length);
  for (const keyword of keywords) checkKeyword(reader, keyword);

  const types = typesOf(reader);
  let shape: Shape = {
    nulls: types.has('null'),
    falses: types.has('boolean'),
    trues: types.has('boolean'),
    numbers: types.has('number') || types.has('integer') ? readNumbers(reader, !types.has('number')) : NO_SHAPE.numbers,
    strings: types.has('string') ? readStrings(reader) : NO_SHAPE.strings,
    arrays: types.has('array') ? readArrays(reader) : [],
    objects: types.has('object') ? ANY_OBJECTS : [],
  };
  if (types === ANY_TYPE && isAny(shape)) shape = ANY_SHAPE;

  // Object keywords are read in their order in the schema, since it determines the order of properties.
  let pending: string[] = [];
  const intersect = (other: Shape): void => void (shape = intersectShapes(nodes, shape, other));
  const readPending = (): void => {
    if (pending.length === 0 || shape.objects.length === 0) return;
    const objects = intersectObjects(nodes, shape.objects, readObjects(reader, new Set(pending)));
    shape = { ...shape, objects };
    pending = [];
  };
  for (const keyword of keywords) {
    const read = Object.hasOwn(ORDERED, keyword) ? ORDERED[keyword] : undefined;
    if (read) {
      readPending();
      const inner = placeIn(at, keyword);
      leniently(reader, keyword, () => intersect(read(reader, schema[keyword], inner, shape)));
    } else if (OBJECT_KEYWORDS.has(keyword)) pending.push(keyword);
  }
  readPending();
  // These do not affect the order.
  const later = (keyword: string, read: () => Shape): void => {
    if (keyword in schema) leniently(reader, keyword, () => intersect(read()));
  };
  later('propertyNames', () => {
    const names = innerShape(reader, schema['propertyNames'], placeIn(at, 'propertyNames')).strings;
    return { ...ANY_SHAPE, objects: [{ ...requiring([]), names }] };
  });
  later('not', () => complementShape(nodes, innerShape(reader, schema['not'], placeIn(at, 'not'))));
  later('if', () => readIf(reader));
  for (const keyword of ['dependentRequired', 'dependentSchemas', 'dependencies'])
    later(keyword, () => readDependencies(reader, keyword));
  return withUnevaluated(reader, shape);
}

/** Runs `read`; if `lenient`, ignores the keyword if it is not supported. */
function leniently(reader: Reader, keyword: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    const { lenient, ignored } = reader.nodes.reading;
    if (!lenient || !(error instanceof GrammarError) || reader.nodes.fuel.left <= 0) throw error;
    ignored.push(placeIn(reader.at, keyword));
  }
}

const ANY_TYPE: ReadonlySet<string> = TYPES;

function isAny(shape: Shape): boolean {
  const { numbers, strings, arrays, objects } = ANY_SHAPE;
  return shape.numbers === numbers && shape.strings === strings && shape.arrays === arrays && shape.objects === objects;
}

function checkKeyword({ nodes: { reading }, schema, at }: Reader, keyword: string): void {
  if (VALIDATOR_KEYWORDS.has(keyword)) reading.isForValidators = true;
  if (ASSERTIONS.has(keyword) || ANNOTATIONS.has(keyword) || DEFINITIONS.has(keyword)) return;
  if (keyword === 'x-guidance' && schema === reading.document.root.schema) return;
  if (reading.strict) throw new GrammarError('is not a keyword of JSON Schema', placeIn(at, keyword));
  reading.ignored.push(placeIn(at, keyword));
}

function typesOf({ schema, at }: Reader): ReadonlySet<string> {
  const { type } = schema;
  if (type === undefined) return ANY_TYPE;
  const types = Array.isArray(type) ? type : [type];
  for (const each of types) {
    if (typeof each !== 'string' || !TYPES.has(each))
      throw new GrammarError(`must be one of ${[...TYPES].join(', ')}, or a list of them`, placeIn(at, 'type'));
  }
  return new Set(types as string[]);
}

/** The shape of a subschema that applies to the same value, not to a property or an item. */
export function innerShape({ nodes, base }: Reader, schema: unknown, at: string): Shape {
  return nodes.shapeOf(nodes.schema(schema, base, at));
}

export function listOf(value: unknown, at: string): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw new GrammarError('must be an array of at least one', at);
}

function readAnyOf(reader: Reader, schemas: unknown, at: string): Shape {
  const { nodes } = reader;
  const shapes = listOf(schemas, at).map((schema, i) => innerShape(reader, schema, `${at}[${i}]`));
  // A value may match several subschemas, and the properties that each evaluates all count: no part may absorb another.
  const counts = 'unevaluatedProperties' in reader.schema || 'unevaluatedItems' in reader.schema;
  let all = NO_SHAPE;
  for (const shape of shapes) {
    const own = counts ? { ...shape, arrays: shape.arrays.map(copied), objects: shape.objects.map(copied) } : shape;
    const both = counts ? intersectShapes(nodes, all, own) : NO_SHAPE;
    all = uniteShapes(nodes, uniteShapes(nodes, all, own), both);
  }
  return all;
}

/** The shape's values that have the schema's required properties, wherever `required` is in the schema. */
function withRequired({ nodes, schema }: Reader, shape: Shape): Shape {
  const { required } = schema;
  if (!Array.isArray(required)) return shape;
  const names = required.filter((name) => typeof name === 'string');
  return { ...shape, objects: intersectObjects(nodes, shape.objects, [requiring(names)]) };
}

const copied = <Part extends object>(part: Part): Part => ({ ...part });

function readReference(reader: Reader, reference: unknown, at: string): Shape {
  const { nodes, base, schema } = reader;
  if (typeof reference !== 'string') throw new GrammarError('must be a string', at);
  const { document } = nodes.reading;
  const dynamic =
    reference === schema['$recursiveRef'] ? '' : reference === schema['$dynamicRef'] ? reference : undefined;
  if (dynamic !== undefined) {
    const name = dynamic.slice(dynamic.indexOf('#') + 1);
    if ((document.dynamicAnchors.get(name) ?? 0) > 1)
      throw new GrammarError('is not supported where several schemas have the anchor', at);
  }
  const target = resolveReference(document, reference, base, at);
  return nodes.shapeOf(nodes.schema(target.schema, target.base, target.at));
}

function readIf(reader: Reader): Shape {
  const { nodes, schema, at } = reader;
  if (!('then' in schema) && !('else' in schema)) return ANY_SHAPE;
  const condition = innerShape(reader, schema['if'], placeIn(at, 'if'));
  const branch = (keyword: string): Shape =>
    keyword in schema ? innerShape(reader, schema[keyword], placeIn(at, keyword)) : ANY_SHAPE;
  return uniteShapes(
    nodes,
    intersectShapes(nodes, condition, branch('then')),
    intersectShapes(nodes, complementShape(nodes, condition), branch('else')),
  );
}

function readDependencies(reader: Reader, keyword: string): Shape {
  const { nodes, schema } = reader;
  const at = placeIn(reader.at, keyword);
  const dependencies = schema[keyword];
  if (!isObject(dependencies)) throw new GrammarError('must be an object', at);
  let objects = ANY_OBJECTS;
  for (const [name, needs] of Object.entries(dependencies)) {
    const inner = placeIn(at, name);
    const needed = keyword === 'dependentSchemas' ? needs : namesOrSchema(needs, keyword, inner);
    const withName = intersectObjects(
      nodes,
      [requiring([name])],
      Array.isArray(needed) ? [requiring(needed as string[])] : innerShape(reader, needed, inner).objects,
    );
    objects = intersectObjects(nodes, objects, [without(name), ...withName]);
  }
  return { ...ANY_SHAPE, objects };
}

function namesOrSchema(needs: unknown, keyword: string, at: string): unknown {
  if (typeof needs === 'string') return [needs]; // as in draft 3
  const isNames = Array.isArray(needs) && needs.every((name) => typeof name === 'string');
  if (!isNames && (keyword === 'dependentRequired' || Array.isArray(needs)))
    throw new GrammarError('must be an array of strings', at);
  return needs;
}
