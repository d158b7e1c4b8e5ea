import type { CharRegex } from '../regex/syntax.ts';
import { ALL_NUMBERS, hasNoNumber, NO_NUMBERS, type NumberSet } from './numbers.ts';
import { ALL_STRINGS, hasNoString, NO_STRINGS, type StringSet } from './strings.ts';

/** A set of JSON values that is evaluated on demand: a schema of the document, a value, or a combination of these. */
export type Node = number;
/** Any value. */
export const EVERYTHING: Node = 0;
/** No value. */
export const NOTHING: Node = 1;

/** A set of JSON values, type by type. */
export interface Shape {
  readonly nulls: boolean;
  readonly falses: boolean;
  readonly trues: boolean;
  readonly numbers: NumberSet;
  readonly strings: StringSet;
  /** The union of these parts. */
  readonly arrays: readonly ArrayPart[];
  /** The union of these parts. */
  readonly objects: readonly ObjectPart[];
}

/** Arrays that meet all of these conditions. */
export interface ArrayPart {
  readonly prefix: readonly Node[];
  /** Items after the prefix. */
  readonly items: Node;
  readonly least: number;
  readonly most: number;
  readonly contains: readonly Contained[];
  readonly unique: boolean;
  /** Number of items, from the first on, that are evaluated: `unevaluatedItems` does not apply to them. */
  readonly evaluated: number;
}

/** Between `least` and `most` of the items from index `from` on are in `node`. */
export interface Contained {
  readonly node: Node;
  readonly from: number;
  readonly least: number;
  readonly most: number;
}

/** Objects that meet all of these conditions. */
export interface ObjectPart {
  readonly layers: readonly Layer[];
  /** Names of required properties, in the order in which they were read. */
  readonly required: ReadonlySet<string>;
  readonly least: number;
  readonly most: number;
  /** Every property's name is one of these. */
  readonly names: StringSet;
  /** For each entry, at least one property has a name in `names` and a value in `node`. */
  readonly some: readonly { readonly names: StringSet; readonly node: Node }[];
}

/** The `properties`, `patternProperties` and `additionalProperties` of one schema. */
export interface Layer {
  readonly properties: ReadonlyMap<string, Node>;
  readonly patterns: readonly { readonly pattern: CharRegex; readonly node: Node }[];
  /** Values of properties whose names are not in `properties` and match no pattern. */
  readonly rest: Node;
  /** `unevaluatedProperties` does not apply to the names covered here or, if `coversRest`, to any name. */
  readonly evaluates: boolean;
  readonly coversRest: boolean;
}

export const ANY_ARRAY: ArrayPart = {
  prefix: [],
  items: EVERYTHING,
  least: 0,
  most: Infinity,
  contains: [],
  unique: false,
  evaluated: 0,
};
export const ANY_OBJECT: ObjectPart = {
  layers: [],
  required: new Set(),
  least: 0,
  most: Infinity,
  names: ALL_STRINGS,
  some: [],
};
export const ANY_ARRAYS: readonly ArrayPart[] = [ANY_ARRAY];
export const ANY_OBJECTS: readonly ObjectPart[] = [ANY_OBJECT];

export const ANY_SHAPE: Shape = {
  nulls: true,
  falses: true,
  trues: true,
  numbers: ALL_NUMBERS,
  strings: ALL_STRINGS,
  arrays: ANY_ARRAYS,
  objects: ANY_OBJECTS,
};
export const NO_SHAPE: Shape = {
  nulls: false,
  falses: false,
  trues: false,
  numbers: NO_NUMBERS,
  strings: NO_STRINGS,
  arrays: [],
  objects: [],
};

/** Whether a shape has no values, judged by the presence of parts. */
export const isEmptyShape = (shape: Shape): boolean =>
  !shape.nulls &&
  !shape.falses &&
  !shape.trues &&
  hasNoNumber(shape.numbers) &&
  hasNoString(shape.strings) &&
  shape.arrays.length === 0 &&
  shape.objects.length === 0;

export const layerOf = (properties: ReadonlyMap<string, Node>, evaluates = false): Layer => ({
  properties,
  patterns: [],
  rest: EVERYTHING,
  evaluates,
  coversRest: false,
});

/** Objects that do not have a property of this name. */
export const without = (name: string): ObjectPart => ({
  ...ANY_OBJECT,
  layers: [layerOf(new Map([[name, NOTHING]]))],
});

/** Objects that have properties of these names. */
export const requiring = (names: Iterable<string>): ObjectPart => ({ ...ANY_OBJECT, required: new Set(names) });
