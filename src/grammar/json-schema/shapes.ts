import type { CharRegex } from '../regex/syntax.ts';
import { ALL_NUMBERS, hasNoNumber, NO_NUMBERS, type NumberSet } from './numbers.ts';
import { ALL_STRINGS, hasNoString, NO_STRINGS, type StringSet } from './strings.ts';

/** A set of JSON values that is looked at when it is needed: a schema of the document, or what is made of such. */
export type Node = number;
/** Any value. */
export const EVERYTHING: Node = 0;
/** No value. */
export const NOTHING: Node = 1;

/** JSON values, type by type: a value is in the set where its type's part has it. */
export interface Shape {
  readonly nulls: boolean;
  readonly falses: boolean;
  readonly trues: boolean;
  readonly numbers: NumberSet;
  readonly strings: StringSet;
  /** Arrays of any of these. */
  readonly arrays: readonly ArrayPart[];
  /** Objects of any of these. */
  readonly objects: readonly ObjectPart[];
}

/** Arrays of which all of this holds. */
export interface ArrayPart {
  readonly prefix: readonly Node[];
  /** Items behind the prefix. */
  readonly items: Node;
  readonly least: number;
  readonly most: number;
  readonly contains: readonly Contained[];
  readonly unique: boolean;
  /** So many items, from the first on, `unevaluatedItems` does not speak of. */
  readonly evaluated: number;
}

/** Of the items from the index `from` on, `least` to `most` are of this node. */
export interface Contained {
  readonly node: Node;
  readonly from: number;
  readonly least: number;
  readonly most: number;
}

/** Objects of which all of this holds. */
export interface ObjectPart {
  readonly layers: readonly Layer[];
  /** Names that must be there, in the order in which they were met. */
  readonly required: ReadonlySet<string>;
  readonly least: number;
  readonly most: number;
  /** Every name is one of these. */
  readonly names: StringSet;
  /** For each, some property of such a name has such a value. */
  readonly some: readonly { readonly names: StringSet; readonly node: Node }[];
}

/** What `properties`, `patternProperties` and `additionalProperties` of one schema say. */
export interface Layer {
  readonly properties: ReadonlyMap<string, Node>;
  readonly patterns: readonly { readonly pattern: CharRegex; readonly node: Node }[];
  /** Values of names that are neither among the properties nor match a pattern. */
  readonly rest: Node;
  /** `unevaluatedProperties` does not speak of the names that are spoken of here; and where `coversRest`, of none. */
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

/** Whether no value is in it, as far as its parts tell. */
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
