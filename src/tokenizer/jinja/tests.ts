import {
  Dict,
  equals,
  Float,
  isText,
  Markup,
  numberOf,
  positional,
  textFor,
  typeName,
  Undefined,
  type Value,
  type Work,
} from './values.ts';
import { UnsupportedError } from './errors.ts';
import type { CompareOperator } from './nodes.ts';
import { calculate, compare, isCallable, isIterable, isSequence } from './operators.ts';
import { isLower, isUpper } from './text.ts';

type Test = (value: Value, argument: Value, work: Work) => boolean;

const OPERATORS: Readonly<Record<string, CompareOperator>> = {
  ...{ '==': '==', eq: '==', equalto: '==', '!=': '!=', ne: '!=' },
  ...{ '>': '>', gt: '>', greaterthan: '>', '>=': '>=', ge: '>=' },
  ...{ '<': '<', lt: '<', lessthan: '<', '<=': '<=', le: '<=' },
  in: 'in',
};

const remainder = (value: Value, by: Value, work: Work): Value => calculate('%', value, by, work);

/** Tests with one argument. */
const BINARY: Readonly<Record<string, Test>> = {
  divisibleby: (value, by, work) => equals(remainder(value, by, work), 0, work),
  sameas: (value, other) => {
    if (value === null || typeof value === 'boolean' || typeName(value) !== typeName(other)) return value === other;
    if (typeof value !== 'object' || value instanceof Float || value instanceof Undefined)
      throw new UnsupportedError(`'sameas' of a ${typeName(value)}`);
    return value === other;
  },
};

const UNARY: Readonly<Record<string, Test>> = {
  odd: (value, _, work) => equals(remainder(value, 2, work), 1, work),
  even: (value, _, work) => equals(remainder(value, 2, work), 0, work),
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  boolean: (value) => typeof value === 'boolean',
  false: (value) => value === false,
  true: (value) => value === true,
  integer: (value) => typeof value === 'number',
  float: (value) => value instanceof Float,
  lower: (value, _, work) => isLower(textFor(value, work)),
  upper: (value, _, work) => isUpper(textFor(value, work)),
  string: isText,
  mapping: (value) => value instanceof Dict,
  number: (value) => numberOf(value) !== undefined,
  sequence: isSequence,
  iterable: isIterable,
  callable: isCallable,
  escaped: (value) => value instanceof Markup,
};

/** A test of Jinja2, for `is`; undefined for an unknown name. */
export function findTest(
  name: string,
): ((value: Value, args: readonly Value[], kwargs: ReadonlyMap<string, Value>, work: Work) => boolean) | undefined {
  const operator = own(OPERATORS, name);
  const binary = own(BINARY, name) ?? (operator && ((value, other, work) => compare(operator, value, other, work)));
  const test = binary ?? own(UNARY, name);
  if (!test) return undefined;
  const count = binary ? 1 : 0;
  return (value, args, kwargs, work) => {
    const given = kwargs.size > 0 ? [...args, ...kwargs.values()] : args;
    const [argument = null] = positional(name, count, count, given, new Map());
    return test(value, argument, work);
  };
}

const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;

export const TEST_NAMES: readonly string[] = [
  ...Object.keys(OPERATORS),
  ...Object.keys(BINARY),
  ...Object.keys(UNARY),
  'filter',
  'test',
];
