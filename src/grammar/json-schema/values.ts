import type { Nodes } from './node-set.ts';
import { numberValues } from './numbers.ts';
import { isObject } from './references.ts';
import {
  ANY_ARRAY,
  type ArrayPart,
  layerOf,
  NO_SHAPE,
  NOTHING,
  type ObjectPart,
  requiring,
  type Shape,
} from './shapes.ts';
import { stringValues } from './strings.ts';

export const shapeOfValue = (nodes: Nodes, value: unknown): Shape => shapeOfValues(nodes, [value]);

/** The shape of exactly these values, from `const` or `enum`. */
export function shapeOfValues(nodes: Nodes, values: readonly unknown[]): Shape {
  nodes.fuel.use(values.length);
  const ofType = <T>(is: (value: unknown) => value is T): T[] => values.filter(is);
  return {
    ...NO_SHAPE,
    nulls: values.includes(null),
    falses: values.includes(false),
    trues: values.includes(true),
    numbers: numberValues(ofType((value) => typeof value === 'number').filter(Number.isFinite)),
    strings: stringValues(ofType((value) => typeof value === 'string')),
    arrays: ofType((value) => Array.isArray(value)).map((items) => thisArray(nodes, items)),
    objects: ofType(isObject).map((object) => thisObject(nodes, object)),
  };
}

function thisArray(nodes: Nodes, items: readonly unknown[]): ArrayPart {
  const { length } = items;
  const prefix = items.map((item) => nodes.value(item));
  return { ...ANY_ARRAY, prefix, items: NOTHING, least: length, most: length, evaluated: length };
}

function thisObject(nodes: Nodes, object: Record<string, unknown>): ObjectPart {
  const properties = new Map(Object.entries(object).map(([name, value]) => [name, nodes.value(value)]));
  return { ...requiring(properties.keys()), layers: [{ ...layerOf(properties), rest: NOTHING }] };
}
