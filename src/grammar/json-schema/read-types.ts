import { GrammarError } from '../limits.ts';
import { parsePattern } from '../regex/syntax.ts';
import { possibleArray, possibleObject } from './combine.ts';
import { formatPattern, GENERATOR_FORMATS } from './formats.ts';
import { ALL_NUMBERS, ANY_NUMBER, type NumberSet, rangeSet } from './numbers.ts';
import type { Reader } from './node-set.ts';
import { isObject, placeIn } from './references.ts';
import {
  ANY_ARRAYS,
  ANY_OBJECT,
  ANY_OBJECTS,
  type ArrayPart,
  EVERYTHING,
  type Layer,
  type Node,
  type ObjectPart,
  type Shape,
} from './shapes.ts';
import { ALL_STRINGS, ANY_STRING, type StringSet } from './strings.ts';
import type { CharRegex } from '../regex/syntax.ts';

/** The numbers that a schema's keywords allow. */
export function readNumbers(reader: Reader, integer: boolean): NumberSet {
  const number = (keyword: string): number | undefined => {
    const value = reader.schema[keyword];
    if (value === undefined || (keyword.startsWith('exclusive') && typeof value === 'boolean')) return undefined;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw new GrammarError('must be a number', placeIn(reader.at, keyword));
  };
  const [minimum, maximum, of] = [number('minimum'), number('maximum'), number('multipleOf')];
  // In draft 4 these are booleans: `true` makes `minimum` or `maximum` exclusive.
  const bound = (keyword: string, other: number | undefined): number | undefined =>
    reader.schema[keyword] === true ? other : number(keyword);
  const above = bound('exclusiveMinimum', minimum);
  const below = bound('exclusiveMaximum', maximum);
  if (of !== undefined && of <= 0) throw new GrammarError('must be above 0', placeIn(reader.at, 'multipleOf'));
  if (!integer && [minimum, maximum, above, below, of].every((value) => value === undefined)) return ALL_NUMBERS;
  return rangeSet({
    ...ANY_NUMBER,
    least: Math.max(minimum ?? -Infinity, above ?? -Infinity),
    aboveLeast: above !== undefined && above >= (minimum ?? -Infinity),
    most: Math.min(maximum ?? Infinity, below ?? Infinity),
    belowMost: below !== undefined && below <= (maximum ?? Infinity),
    integer,
    multiples: of === undefined ? [] : [of],
  });
}

/** The strings that a schema's keywords allow. */
export function readStrings(reader: Reader): StringSet {
  const { schema, at, nodes } = reader;
  const least = countOf(reader, 'minLength') ?? 0;
  const most = mostOf(reader, 'maxLength');
  const patterns: CharRegex[] = [];
  const { pattern, format } = schema;
  if (pattern !== undefined) patterns.push(patternOf(reader, pattern, placeIn(at, 'pattern')));
  if (format !== undefined) {
    const known = typeof format === 'string' ? formatPattern(format) : undefined;
    if (known) patterns.push(known);
    else if (nodes.reading.strict) throw new GrammarError('is not a format that is known', placeIn(at, 'format'));
    else nodes.reading.ignored.push(placeIn(at, 'format'));
    if (typeof format === 'string' && !GENERATOR_FORMATS.has(format)) nodes.reading.isForValidators = true;
  }
  if (least === 0 && most === Infinity && patterns.length === 0) return ALL_STRINGS;
  const part = { ...ANY_STRING, patterns, least, most };
  return { values: new Set(), parts: nodes.strings.isEmptyPart(part) ? [] : [part] };
}

function patternOf({ nodes }: Reader, source: unknown, at: string): CharRegex {
  if (typeof source !== 'string') throw new GrammarError('must be a string', at);
  return nodes.strings.pattern(source, () => parsePattern(source, 'ecma', { at, fuel: nodes.fuel }));
}

/** The arrays that a schema's keywords allow. */
export function readArrays(reader: Reader): readonly ArrayPart[] {
  const { schema, nodes, base, at } = reader;
  const { items, additionalItems, prefixItems, contains } = schema;
  const node = (value: unknown, place: string): Node => nodes.schema(value, base, place);
  const { lenient, ignored } = nodes.reading;
  if (lenient && schema['uniqueItems'] === true) ignored.push(placeIn(at, 'uniqueItems'));
  // Up to 2019-09, a list in `items` has the role of today's `prefixItems`, and `additionalItems` that of `items`.
  const keyword = Array.isArray(items) ? 'items' : 'prefixItems';
  const list = keyword === 'items' ? items : prefixItems;
  if (list !== undefined && !Array.isArray(list)) throw new GrammarError('must be an array', placeIn(at, keyword));
  const others = keyword === 'items' ? additionalItems : items;
  const othersKeyword = keyword === 'items' ? 'additionalItems' : 'items';
  const prefix = ((list ?? []) as unknown[]).map((item, i) => node(item, `${placeIn(at, keyword)}[${i}]`));
  const part: ArrayPart = {
    prefix,
    items: others === undefined ? EVERYTHING : node(others, placeIn(at, othersKeyword)),
    least: countOf(reader, 'minItems') ?? 0,
    most: mostOf(reader, 'maxItems'),
    contains: [],
    unique: schema['uniqueItems'] === true && !lenient,
    evaluated: others === undefined ? prefix.length : Infinity,
  };
  const found =
    contains === undefined
      ? part
      : {
          ...part,
          contains: [
            {
              node: node(contains, placeIn(at, 'contains')),
              from: 0,
              least: countOf(reader, 'minContains') ?? 1,
              most: mostOf(reader, 'maxContains'),
            },
          ],
        };
  const isAny =
    prefix.length === 0 && part.items === EVERYTHING && part.least === 0 && part.most === Infinity && !part.unique;
  if (isAny && found === part && part.evaluated === 0) return ANY_ARRAYS;
  const possible = possibleArray(nodes, found);
  return possible ? [possible] : [];
}

/** The objects that the schema's keywords in `keywords` allow. */
export function readObjects(reader: Reader, keywords: ReadonlySet<string>): readonly ObjectPart[] {
  const { schema, nodes, at } = reader;
  // The keywords of a layer are read together, at the position of the first one that names properties.
  const leader = Object.keys(schema).find(
    (keyword) =>
      keyword === 'properties' ||
      (keyword === 'additionalProperties' && 'properties' in schema) ||
      ((keyword === 'patternProperties' || keyword === 'additionalProperties') && !('properties' in schema)),
  );
  const layers = leader !== undefined && keywords.has(leader) ? readLayer(reader) : [];
  const required = keywords.has('required') ? schema['required'] : [];
  if (!Array.isArray(required) || required.some((name) => typeof name !== 'string'))
    throw new GrammarError('must be an array of strings', placeIn(at, 'required'));
  const part: ObjectPart = {
    ...ANY_OBJECT,
    layers,
    required: new Set(required as string[]),
    least: (keywords.has('minProperties') ? countOf(reader, 'minProperties') : undefined) ?? 0,
    most: keywords.has('maxProperties') ? mostOf(reader, 'maxProperties') : Infinity,
  };
  if (layers.length === 0 && required.length === 0 && part.least === 0 && part.most === Infinity) return ANY_OBJECTS;
  const possible = possibleObject(nodes, part);
  return possible ? [possible] : [];
}

function readLayer(reader: Reader): Layer[] {
  const { schema, nodes, base, at } = reader;
  const entries = (keyword: string): [name: string, node: Node][] => {
    const value = schema[keyword];
    if (value === undefined) return [];
    const inner = placeIn(at, keyword);
    if (!isObject(value)) throw new GrammarError('must be an object', inner);
    return Object.entries(value).map(([name, each]) => [name, nodes.schema(each, base, `${inner}.${name}`)]);
  };
  const additional = schema['additionalProperties'];
  const patterns = entries('patternProperties').map(([source, node]) => ({
    pattern: patternOf(reader, source, placeIn(placeIn(at, 'patternProperties'), source)),
    node,
  }));
  const properties = new Map(entries('properties'));
  const rest =
    additional === undefined ? EVERYTHING : nodes.schema(additional, base, placeIn(at, 'additionalProperties'));
  if (properties.size === 0 && patterns.length === 0 && additional === undefined) return [];
  return [{ properties, patterns, rest, evaluates: true, coversRest: additional !== undefined }];
}

/** Applies `unevaluatedProperties` and `unevaluatedItems` to properties and items that no other keyword evaluates. */
export function withUnevaluated(reader: Reader, shape: Shape): Shape {
  const { schema, nodes, base, at } = reader;
  let { objects, arrays } = shape;
  const { unevaluatedProperties, unevaluatedItems } = schema;
  if (unevaluatedProperties !== undefined) {
    const node = nodes.schema(unevaluatedProperties, base, placeIn(at, 'unevaluatedProperties'));
    objects = objects.flatMap((part) => {
      const speaking = part.layers.filter(({ evaluates }) => evaluates);
      if (speaking.some(({ coversRest }) => coversRest)) return [part];
      const names = speaking.flatMap(({ properties }) => [...properties.keys()]);
      const layer: Layer = {
        properties: new Map(names.map((name) => [name, EVERYTHING])),
        patterns: speaking.flatMap(({ patterns }) => patterns.map(({ pattern }) => ({ pattern, node: EVERYTHING }))),
        rest: node,
        evaluates: true,
        coversRest: true,
      };
      const possible = possibleObject(nodes, { ...part, layers: [...part.layers, layer] });
      return possible ? [possible] : [];
    });
  }
  if (unevaluatedItems !== undefined) {
    const node = nodes.schema(unevaluatedItems, base, placeIn(at, 'unevaluatedItems'));
    arrays = arrays.flatMap((part) => {
      if (part.evaluated === Infinity) return [part];
      if (part.contains.length > 0 && node !== EVERYTHING)
        throw new GrammarError('is not supported beside contains', placeIn(at, 'unevaluatedItems'));
      const { length } = part.prefix;
      const prefix = part.prefix.map((item, i) => (i < part.evaluated ? item : nodes.all(item, node)));
      for (let i = length; i < part.evaluated; i++) prefix.push(part.items);
      const possible = possibleArray(nodes, {
        ...part,
        prefix,
        items: nodes.all(part.items, node),
        evaluated: Infinity,
      });
      return possible ? [possible] : [];
    });
  }
  return objects === shape.objects && arrays === shape.arrays ? shape : { ...shape, objects, arrays };
}

/** The value of a keyword that takes a count. */
function countOf({ schema, at }: Reader, keyword: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw new GrammarError('must be an integer of 0 or more', placeIn(at, keyword));
}

/** No answer has as many characters, items or properties: a largest count of this or more is no bound. */
const UNREACHABLE = 2 ** 31;

function mostOf(reader: Reader, keyword: string): number {
  const most = countOf(reader, keyword) ?? Infinity;
  return most < UNREACHABLE ? most : Infinity;
}
