import { GrammarError } from '../limits.ts';
import type { Nodes } from './node-set.ts';
import { complementNumbers, hasNoNumber, intersectNumbers, NO_NUMBERS, uniteNumbers } from './numbers.ts';
import {
  ANY_ARRAY,
  ANY_ARRAYS,
  ANY_OBJECT,
  ANY_OBJECTS,
  ANY_SHAPE,
  type ArrayPart,
  type Contained,
  EVERYTHING,
  type Layer,
  layerOf,
  NO_SHAPE,
  type Node,
  NOTHING,
  type ObjectPart,
  requiring,
  type Shape,
  without,
} from './shapes.ts';
import { ALL_STRINGS, hasNoString, NO_STRINGS, patternStrings, type StringSet, stringPattern } from './strings.ts';

/** Most parts of one type in a shape: `anyOf`, `oneOf`, `not` and `if` multiply them. */
const MOST_PARTS = 1000;

export function intersectShapes(nodes: Nodes, a: Shape, b: Shape): Shape {
  if (a === ANY_SHAPE || a === b) return b;
  if (b === ANY_SHAPE) return a;
  return {
    nulls: a.nulls && b.nulls,
    falses: a.falses && b.falses,
    trues: a.trues && b.trues,
    numbers: intersectNumbers(a.numbers, b.numbers, nodes.fuel),
    strings: nodes.strings.intersect(a.strings, b.strings),
    arrays: intersectArrays(nodes, a.arrays, b.arrays),
    objects: intersectObjects(nodes, a.objects, b.objects),
  };
}

export function uniteShapes(nodes: Nodes, a: Shape, b: Shape): Shape {
  if (a === NO_SHAPE || a === b || b === ANY_SHAPE) return b;
  if (b === NO_SHAPE || a === ANY_SHAPE) return a;
  return {
    nulls: a.nulls || b.nulls,
    falses: a.falses || b.falses,
    trues: a.trues || b.trues,
    numbers: uniteNumbers(a.numbers, b.numbers),
    strings: nodes.strings.unite(a.strings, b.strings),
    arrays: unite(nodes, a.arrays, b.arrays, ANY_ARRAYS),
    objects: unite(nodes, a.objects, b.objects, ANY_OBJECTS),
  };
}

function unite<Part>(nodes: Nodes, a: readonly Part[], b: readonly Part[], any: readonly Part[]): readonly Part[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const parts = new Set([...a, ...b]);
  nodes.fuel.use(parts.size);
  return parts.has(any[0] as Part) ? any : [...parts];
}

/** The values that are not in the set. */
export function complementShape(nodes: Nodes, shape: Shape): Shape {
  let arrays = ANY_ARRAYS;
  for (const part of shape.arrays) arrays = intersectArrays(nodes, arrays, complementOfArray(nodes, part));
  let objects = ANY_OBJECTS;
  for (const part of shape.objects) objects = intersectObjects(nodes, objects, complementOfObject(nodes, part));
  return {
    nulls: !shape.nulls,
    falses: !shape.falses,
    trues: !shape.trues,
    numbers: complementNumbers(shape.numbers, nodes.fuel),
    strings: nodes.strings.complement(shape.strings),
    arrays,
    objects,
  };
}

/** The values that are in exactly one of the sets. Only those in `base` matter: the result may have wrong others. */
export function exactlyOne(nodes: Nodes, shapes: readonly Shape[], base: Shape): Shape {
  const { fuel, reading } = nodes;
  const isInOne = (has: (shape: Shape) => boolean): boolean => {
    const { length } = shapes.filter(has);
    if (length > 1 && has(base)) reading.isForValidators = true;
    return length === 1;
  };
  let [numbers, strings] = [NO_NUMBERS, NO_STRINGS];
  const arrays: ArrayPart[] = [];
  const objects: ObjectPart[] = [];
  for (const [i, shape] of shapes.entries()) {
    let { numbers: ownNumbers, strings: ownStrings } = shape;
    let [ownArrays, ownObjects] = [shape.arrays, shape.objects];
    for (const [j, other] of shapes.entries()) {
      if (i === j) continue;
      fuel.use(4);
      const sharedNumbers = intersectNumbers(ownNumbers, other.numbers, fuel);
      if (!hasNoNumber(intersectNumbers(sharedNumbers, base.numbers, fuel))) {
        ownNumbers = intersectNumbers(ownNumbers, complementNumbers(other.numbers, fuel), fuel);
        reading.isForValidators = true;
      }
      const sharedStrings = nodes.strings.intersect(ownStrings, other.strings);
      if (!hasNoString(nodes.strings.intersect(sharedStrings, base.strings))) {
        ownStrings = nodes.strings.intersect(ownStrings, nodes.strings.complement(other.strings));
        reading.isForValidators = true;
      }
      for (const part of other.arrays) ownArrays = subtract(nodes, ownArrays, part, base.arrays, ARRAYS);
      for (const part of other.objects) ownObjects = subtract(nodes, ownObjects, part, base.objects, OBJECTS);
    }
    numbers = uniteNumbers(numbers, ownNumbers);
    strings = nodes.strings.unite(strings, ownStrings);
    arrays.push(...ownArrays);
    objects.push(...ownObjects);
  }
  return {
    nulls: isInOne((shape) => shape.nulls),
    falses: isInOne((shape) => shape.falses),
    trues: isInOne((shape) => shape.trues),
    numbers,
    strings,
    arrays,
    objects,
  };
}

interface PartSets<Part> {
  /** The intersection; undefined if the parts certainly share no value. */
  readonly intersect: (nodes: Nodes, a: Part, b: Part) => Part | undefined;
  readonly complement: (nodes: Nodes, part: Part) => readonly Part[];
}
const ARRAYS: PartSets<ArrayPart> = { intersect: intersectTwoArrays, complement: complementOfArray };
const OBJECTS: PartSets<ObjectPart> = { intersect: intersectTwoObjects, complement: complementOfObject };

/** `parts` without the values of `other`. Parts that share no value of `base` with it stay as they are. */
function subtract<Part>(
  nodes: Nodes,
  parts: readonly Part[],
  other: Part,
  base: readonly Part[],
  { intersect, complement }: PartSets<Part>,
): readonly Part[] {
  const shares = (part: Part): boolean => {
    const both = intersect(nodes, part, other);
    nodes.fuel.use(1 + base.length);
    return both !== undefined && base.some((each) => intersect(nodes, both, each) !== undefined);
  };
  return parts.flatMap((part) => {
    if (!shares(part)) return [part];
    nodes.reading.isForValidators = true;
    return product(nodes, [part], complement(nodes, other), intersect);
  });
}

function product<Part>(
  nodes: Nodes,
  a: readonly Part[],
  b: readonly Part[],
  intersect: (nodes: Nodes, a: Part, b: Part) => Part | undefined,
): Part[] {
  const parts = new Set<Part>();
  for (const left of a) {
    for (const right of b) {
      nodes.fuel.use(4);
      const both = intersect(nodes, left, right);
      if (both) parts.add(both);
      if (parts.size > MOST_PARTS) throw new GrammarError(`comes to more than ${MOST_PARTS} cases`);
    }
  }
  return [...parts];
}

export const intersectArrays = (
  nodes: Nodes,
  a: readonly ArrayPart[],
  b: readonly ArrayPart[],
): readonly ArrayPart[] => (a === ANY_ARRAYS ? b : b === ANY_ARRAYS ? a : product(nodes, a, b, intersectTwoArrays));

export const intersectObjects = (
  nodes: Nodes,
  a: readonly ObjectPart[],
  b: readonly ObjectPart[],
): readonly ObjectPart[] => (a === ANY_OBJECTS ? b : b === ANY_OBJECTS ? a : product(nodes, a, b, intersectTwoObjects));

/** The intersection; undefined if the parts certainly share no array. */
function intersectTwoArrays(nodes: Nodes, a: ArrayPart, b: ArrayPart): ArrayPart | undefined {
  if (a === ANY_ARRAY || a === b) return b;
  if (b === ANY_ARRAY) return a;
  const length = Math.max(a.prefix.length, b.prefix.length);
  nodes.fuel.use(4 + length);
  const prefix: Node[] = [];
  for (let i = 0; i < length; i++) prefix.push(nodes.all(a.prefix[i] ?? a.items, b.prefix[i] ?? b.items));
  return possibleArray(nodes, {
    prefix,
    items: nodes.all(a.items, b.items),
    least: Math.max(a.least, b.least),
    most: Math.min(a.most, b.most),
    contains: [...a.contains, ...b.contains],
    unique: a.unique || b.unique,
    evaluated: Math.max(a.evaluated, b.evaluated),
  });
}

/** The part; undefined if it certainly has no array. */
export function possibleArray(nodes: Nodes, part: ArrayPart): ArrayPart | undefined {
  const { prefix, items, least, most, contains } = part;
  if (least > most || contains.some((each) => each.least > each.most || each.from + each.least > most))
    return undefined;
  for (let i = 0; i < prefix.length && i < least; i++) if (nodes.isEmpty(prefix[i] ?? items)) return undefined;
  if (least > prefix.length && nodes.isEmpty(items)) return undefined;
  return part;
}

function complementOfArray(nodes: Nodes, part: ArrayPart): ArrayPart[] {
  if (part.unique) throw new GrammarError('uniqueItems is not supported where its opposite is asked for');
  const parts: ArrayPart[] = [];
  for (const [i, node] of part.prefix.entries()) {
    if (node === EVERYTHING) continue;
    const before = part.prefix.slice(0, i).map(() => EVERYTHING);
    parts.push({ ...ANY_ARRAY, prefix: [...before, nodes.not(node)], least: i + 1 });
  }
  const contain = (contained: Contained): void => void parts.push({ ...ANY_ARRAY, contains: [contained] });
  if (part.items !== EVERYTHING) {
    if (part.items === NOTHING) parts.push({ ...ANY_ARRAY, least: part.prefix.length + 1 });
    else contain({ node: nodes.not(part.items), from: part.prefix.length, least: 1, most: Infinity });
  }
  if (part.least > 0) parts.push({ ...ANY_ARRAY, most: part.least - 1 });
  if (part.most < Infinity) parts.push({ ...ANY_ARRAY, least: part.most + 1 });
  for (const each of part.contains) {
    if (each.least > 0) contain({ ...each, least: 0, most: each.least - 1 });
    if (each.most < Infinity) contain({ ...each, least: each.most + 1, most: Infinity });
  }
  return parts.filter((each) => possibleArray(nodes, each) !== undefined);
}

/** The intersection; undefined if the parts certainly share no object. */
function intersectTwoObjects(nodes: Nodes, a: ObjectPart, b: ObjectPart): ObjectPart | undefined {
  if (a === ANY_OBJECT || a === b) return b;
  if (b === ANY_OBJECT) return a;
  nodes.fuel.use(4);
  // Most disjoint parts conflict in a required property: a check of these first saves the rest of the work.
  for (const name of new Set([...a.required, ...b.required])) {
    if (nodes.isEmpty(nodes.all(nodeOfName(nodes, a, name), nodeOfName(nodes, b, name)))) return undefined;
  }
  let layers: Layer[] = [];
  for (const layer of [...a.layers, ...b.layers]) layers = withLayer(nodes, layers, layer);
  return possibleObject(nodes, {
    layers,
    required: b.required.size === 0 ? a.required : new Set([...a.required, ...b.required]),
    least: Math.max(a.least, b.least),
    most: Math.min(a.most, b.most),
    names: nodes.strings.intersect(a.names, b.names),
    some: [...a.some, ...b.some],
  });
}

/** Adds a layer: merged with the last one if a single layer can express both. */
function withLayer(nodes: Nodes, layers: readonly Layer[], next: Layer): Layer[] {
  const last = layers.at(-1);
  const canMerge =
    last?.evaluates === next.evaluates &&
    ((last.patterns.length === 0 && next.patterns.length === 0) ||
      (last.patterns.length === 0 && last.rest === EVERYTHING) ||
      (next.patterns.length === 0 && next.rest === EVERYTHING));
  if (!last || !canMerge) return [...layers, next];
  const properties = new Map<string, Node>();
  nodes.fuel.use(last.properties.size + next.properties.size);
  for (const name of last.properties.keys()) properties.set(name, bothOf(nodes, last, next, name));
  for (const name of next.properties.keys())
    if (!properties.has(name)) properties.set(name, bothOf(nodes, last, next, name));
  const merged: Layer = {
    properties,
    patterns: last.patterns.length > 0 ? last.patterns : next.patterns,
    rest: nodes.all(last.rest, next.rest),
    evaluates: last.evaluates,
    coversRest: last.coversRest || next.coversRest,
  };
  return [...layers.slice(0, -1), merged];
}

const bothOf = (nodes: Nodes, a: Layer, b: Layer, name: string): Node =>
  nodes.all(nodeIn(nodes, a, name), nodeIn(nodes, b, name));

/** The values that a layer allows for a property. */
function nodeIn(nodes: Nodes, layer: Layer, name: string): Node {
  const own = layer.properties.get(name);
  if (layer.patterns.length === 0) return own ?? layer.rest;
  const matching = layer.patterns.filter(({ pattern }) => nodes.strings.matches(pattern, name));
  if (matching.length === 0) return own ?? layer.rest;
  return nodes.all(own ?? EVERYTHING, ...matching.map(({ node }) => node));
}

/** The values that a part allows for a property, if present. */
export function nodeOfName(nodes: Nodes, part: ObjectPart, name: string): Node {
  if (part.names !== ALL_STRINGS && !nodes.strings.has(part.names, name)) return NOTHING;
  const [first, ...others] = part.layers;
  if (!first) return EVERYTHING;
  const node = nodeIn(nodes, first, name);
  return others.length === 0 ? node : nodes.all(node, ...others.map((layer) => nodeIn(nodes, layer, name)));
}

/** Names given in a part, in the order in which rules write them: first `properties`, then other required names. */
export function namesOf(part: ObjectPart): Set<string> {
  const names = new Set<string>();
  for (const { properties } of part.layers) for (const name of properties.keys()) names.add(name);
  for (const name of part.required) names.add(name);
  return names;
}

/** Whether every property's name is certainly among `namesOf`. */
export const isClosed = (part: ObjectPart): boolean =>
  part.layers.some(({ patterns, rest }) => patterns.length === 0 && rest === NOTHING);

/** The part; undefined if it certainly has no object. */
export function possibleObject(nodes: Nodes, part: ObjectPart): ObjectPart | undefined {
  const { required, least, most, some } = part;
  if (least > most || required.size > most) return undefined;
  for (const name of required) if (nodes.isEmpty(nodeOfName(nodes, part, name))) return undefined;
  if ((least === 0 && some.length === 0) || !isClosed(part)) return part;
  const names = [...namesOf(part)].filter((name) => nodeOfName(nodes, part, name) !== NOTHING);
  if (names.length < least) return undefined;
  for (const { names: wanted, node } of some) {
    const can = (name: string): boolean =>
      nodes.strings.has(wanted, name) && !nodes.isEmpty(nodes.all(nodeOfName(nodes, part, name), node));
    if (!names.some(can)) return undefined;
  }
  return part;
}

function complementOfObject(nodes: Nodes, part: ObjectPart): ObjectPart[] {
  const parts: ObjectPart[] = [];
  const { strings } = nodes;
  const addSome = (names: StringSet, node: Node): void => {
    if (node !== NOTHING && !hasNoString(names)) parts.push({ ...ANY_OBJECT, some: [{ names, node }] });
  };
  for (const name of part.required) parts.push(without(name));
  for (const layer of part.layers) {
    for (const [name, node] of layer.properties) {
      if (node === EVERYTHING) continue;
      parts.push({ ...requiring([name]), layers: [layerOf(new Map([[name, nodes.not(node)]]))] });
    }
    for (const { pattern, node } of layer.patterns) addSome(patternStrings(pattern), nodes.not(node));
    if (layer.rest !== EVERYTHING) {
      let names = strings.complement({ values: new Set(layer.properties.keys()), parts: [] });
      for (const { pattern } of layer.patterns) names = strings.intersect(names, patternStrings(strings.not(pattern)));
      addSome(names, nodes.not(layer.rest));
    }
  }
  if (part.least > 0) parts.push({ ...ANY_OBJECT, most: part.least - 1 });
  if (part.most < Infinity) parts.push({ ...ANY_OBJECT, least: part.most + 1 });
  if (part.names !== ALL_STRINGS) addSome(strings.complement(part.names), EVERYTHING);
  for (const { names, node } of part.some) {
    if (node === EVERYTHING) parts.push({ ...ANY_OBJECT, names: strings.complement(names) });
    else {
      const patterns = [{ pattern: stringPattern(names), node: nodes.not(node) }];
      parts.push({ ...ANY_OBJECT, layers: [{ ...layerOf(new Map()), patterns }] });
    }
  }
  return parts.filter((each) => possibleObject(nodes, each) !== undefined);
}
