import { TemplateError, UnsupportedError } from './errors.ts';
import { type Fields, formatBraces, formatPercent } from './format.ts';
import type { ArithmeticOperator, CompareOperator } from './nodes.ts';
import { floatFloor, floatModulo, int, intFloor, intModulo } from './numbers.ts';
import {
  capitalize,
  escapeHtml,
  isBlank,
  isLower,
  isPlain,
  isUpper,
  lengthOf,
  lines,
  points,
  replace,
  type Side,
  split,
  splitFromRight,
  strip,
  titleWords,
} from './text.ts';
import {
  bind,
  Callable,
  contains,
  Dict,
  DictView,
  equals,
  fail,
  Float,
  indexOf,
  isLess,
  isText,
  isTrue,
  type Kwargs,
  listOf,
  Markup,
  method,
  Namespace,
  numberOf,
  optionalIndex,
  optionalText,
  payForSearch,
  positional,
  Range,
  Stream,
  textOf,
  textsOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
  type Work,
} from './values.ts';

export function calculate(operator: ArithmeticOperator, left: Value, right: Value, work: Work): Value {
  // A string's % comes first: it prints an undefined value as an empty string.
  if (operator === '%' && typeof left === 'string') return formatPercent(left, right, work);
  fail(left);
  fail(right);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) {
    return left instanceof Float || right instanceof Float ? ofFloats(operator, a, b) : ofInts(operator, a, b);
  }
  if (operator === '+') {
    const sum = joined(left, right, work);
    if (sum !== undefined) return sum;
  } else if (operator === '*') {
    const product =
      typeof left === 'number' || typeof left === 'boolean' ? repeated(right, left, work) : repeated(left, right, work);
    if (product !== undefined) return product;
  }
  if (left instanceof Markup || right instanceof Markup)
    throw new UnsupportedError(`'${operator}' of what safe or escape gave`);
  throw new TemplateError(`${typeName(left)} ${operator} ${typeName(right)}`);
}

function joined(left: Value, right: Value, work: Work): Value | undefined {
  if (typeof left === 'string' && typeof right === 'string') {
    work.spend((left.length + right.length) / 64);
    return left + right;
  }
  if (isText(left) && isText(right)) {
    const texts = [left, right].map((part) => (part instanceof Markup ? part.text : escapeHtml(part)));
    const whole = texts.join('');
    work.spend(whole.length);
    return new Markup(whole);
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    work.spend(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    work.spend(left.items.length + right.items.length);
    return new Tuple([...left.items, ...right.items]);
  }
  return undefined;
}

/** A string or list repeated `count` times. */
function repeated(value: Value, times: Value, work: Work): Value | undefined {
  if (typeof times !== 'number' && typeof times !== 'boolean') return undefined;
  const count = Math.max(0, Number(times));
  if (typeof value === 'string') {
    work.spend((value.length * count) / 4);
    return value.repeat(value === '' ? 0 : count);
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (!items) return undefined;
  work.spend(items.length * count);
  const all = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat();
  return Array.isArray(value) ? all : new Tuple(all);
}

function ofFloats(operator: ArithmeticOperator, a: number, b: number): Float {
  if (b === 0 && ['/', '//', '%'].includes(operator)) throw new TemplateError('division by zero');
  switch (operator) {
    case '+':
      return new Float(a + b);
    case '-':
      return new Float(a - b);
    case '*':
      return new Float(a * b);
    case '/':
      return new Float(a / b);
    case '//':
      return new Float(floatFloor(a, b));
    case '%':
      return new Float(floatModulo(a, b));
    case '**':
      return new Float(floatPower(a, b));
  }
}

function ofInts(operator: ArithmeticOperator, a: number, b: number): Value {
  if (b === 0 && ['/', '//', '%'].includes(operator)) throw new TemplateError('division by zero');
  switch (operator) {
    case '+':
      return int(a + b);
    case '-':
      return int(a - b);
    case '*':
      return int(a * b);
    case '/':
      return new Float(a / b);
    case '//':
      return intFloor(a, b);
    case '%':
      return intModulo(a, b);
    case '**': {
      if (b < 0 && a === 0) throw new TemplateError('division by zero');
      const power = intPower(a, Math.abs(b));
      return b < 0 ? new Float(1 / power) : power;
    }
  }
}

function intPower(base: number, exponent: number): number {
  if (Math.abs(base) < 2) return base === 0 ? Number(exponent === 0) : exponent % 2 === 0 ? 1 : base;
  let power = 1;
  for (let i = 0; i < exponent; i++) power = int(power * base);
  return power;
}

/** Only where the last digit of the double is certain: JavaScript's power differs from C's. */
function floatPower(base: number, exponent: number): number {
  if (exponent === 0 || base === 1) return 1;
  if (exponent === 1) return base;
  if (exponent === 2) return base * base;
  if (exponent === 0.5 && base >= 0 && Number.isFinite(base)) return Math.sqrt(base);
  if (base === 0 && exponent < 0) throw new TemplateError('division by zero');
  if (exponent === -1) return 1 / base;
  throw new UnsupportedError(`${base} ** ${exponent} of floats`);
}

export function negated(value: Value): Value {
  fail(value);
  if (value instanceof Float) return new Float(-value.value);
  if (typeof value === 'number' || typeof value === 'boolean') return int(-Number(value));
  throw new TemplateError(`- of ${typeName(value)}`);
}

export function positive(value: Value): Value {
  fail(value);
  if (value instanceof Float || typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  throw new TemplateError(`+ of ${typeName(value)}`);
}

export function compare(operator: CompareOperator, left: Value, right: Value, work: Work): boolean {
  switch (operator) {
    case '==':
      return equals(left, right, work);
    case '!=':
      return !equals(left, right, work);
    case '<':
      return isLess(left, right, false, work);
    case '<=':
      return isLess(left, right, true, work);
    case '>':
      return isLess(right, left, false, work);
    case '>=':
      return isLess(right, left, true, work);
    case 'in':
      return contains(right, left, work);
    case 'not in':
      return !contains(right, left, work);
  }
}

/** Attributes of Python's objects that templates may not read; they are undefined. */
const UNSAFE: Readonly<Record<string, readonly string[]>> = {
  list: ['append', 'clear', 'extend', 'insert', 'pop', 'remove', 'reverse', 'sort'],
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update'],
};

/** Attributes that Python has and this engine lacks. */
const MISSING: Readonly<Record<string, readonly string[]>> = {
  str: [
    ...['casefold', 'encode', 'expandtabs', 'format_map', 'isdecimal', 'isidentifier', 'isnumeric', 'isprintable'],
    ...[
      'center',
      'istitle',
      'ljust',
      'maketrans',
      'partition',
      'rjust',
      'rpartition',
      'zfill',
      'swapcase',
      'translate',
    ],
  ],
  int: ['as_integer_ratio', 'bit_count', 'bit_length', 'conjugate', 'from_bytes', 'is_integer', 'to_bytes'],
  float: ['as_integer_ratio', 'conjugate', 'fromhex', 'hex'],
  list: ['copy'],
  dict: ['fromkeys'],
  dict_keys: ['isdisjoint', 'mapping'],
  dict_items: ['isdisjoint', 'mapping'],
  dict_values: ['mapping'],
  stream: ['close', 'send', 'throw'],
  range: ['count', 'index', 'start', 'step', 'stop'],
};

type Method = (args: readonly Value[], kwargs: Kwargs) => Value;

/** Python's `getattr`; undefined if there is no such attribute. */
function pythonAttribute(object: Value, name: string, fields: Fields): Value | undefined {
  if (name.startsWith('__') && name.endsWith('__')) return new Undefined(`access to '${name}' is unsafe`);
  if (object instanceof Callable) return object.attributes[name]?.();
  if (object instanceof Namespace) return object.attributes.get(name);
  if (object instanceof Markup) throw new UnsupportedError('the methods of what safe or escape gave');
  const type = typeof object === 'boolean' ? 'int' : typeName(object);
  if (UNSAFE[type]?.includes(name)) return new Undefined(`access to attribute '${name}' of '${type}' object is unsafe`);
  if (MISSING[type]?.includes(name)) throw new UnsupportedError(`'${name}' of a ${type}`);
  if (typeof object === 'string') {
    const call = textMethod(object, name, fields);
    return call && method(call);
  }
  if (Array.isArray(object) || object instanceof Tuple) {
    if (object instanceof Tuple && object.names.includes(name)) return object.items[object.names.indexOf(name)];
    const items = Array.isArray(object) ? object : object.items;
    if (name === 'count') {
      return method((args, kwargs) => {
        const [value = null] = positional(name, 1, 1, args, kwargs);
        return items.filter((item) => equals(item, value, fields)).length;
      });
    }
    if (name === 'index') {
      return method((args, kwargs) => {
        const [value = null] = positional(name, 1, 1, args, kwargs);
        const at = items.findIndex((item) => equals(item, value, fields));
        if (at < 0) throw new TemplateError('not in it');
        return at;
      });
    }
    return undefined;
  }
  if (object instanceof Dict) {
    const call = dictMethod(object, name);
    return call && method(call);
  }
  if (typeof object === 'number' || typeof object === 'boolean') {
    const value = { real: Number(object), imag: 0, numerator: Number(object), denominator: 1 }[name];
    return value;
  }
  if (object instanceof Float) {
    if (name === 'real') return object;
    if (name === 'imag') return new Float(0);
    return name === 'is_integer' ? method(() => Number.isInteger(object.value)) : undefined;
  }
  return undefined;
}

/** `object.name`: attributes first, then items. */
export function getAttribute(object: Value, name: string, fields: Fields): Value {
  fail(object);
  return orMissing(
    pythonAttribute(object, name, fields),
    object,
    name,
    object instanceof Dict ? object.get(name) : undefined,
  );
}

/** `object[key]`: items first, then attributes. */
export function getItem(object: Value, key: Value, fields: Fields): Value {
  fail(object);
  const item = pythonItem(object, key);
  if (item !== undefined) return item;
  if (typeof key === 'string') return orMissing(pythonAttribute(object, key, fields), object, key);
  return orMissing(undefined, object, 'such an entry');
}

/** The `attr` filter: attributes, never items. */
export const onlyAttribute = (object: Value, name: string, fields: Fields): Value =>
  orMissing(pythonAttribute(object, name, fields), object, name);

/** The first value that is present; None counts as present. */
function orMissing(value: Value | undefined, object: Value, name: string, otherwise?: Value): Value {
  if (value !== undefined) return value;
  return otherwise === undefined ? new Undefined(`${typeName(object)} has no '${name}'`) : otherwise;
}

function pythonItem(object: Value, key: Value): Value | undefined {
  if (object instanceof Dict)
    return Array.isArray(key) || key instanceof Dict || key instanceof DictView ? undefined : object.get(key);
  if (typeof key !== 'number' && typeof key !== 'boolean') return undefined;
  const at = Number(key);
  if (typeof object === 'string') {
    if (isPlain(object)) return object.at(at);
    return points(object).at(at);
  }
  if (Array.isArray(object)) return object.at(at);
  if (object instanceof Tuple) return object.items.at(at);
  if (object instanceof Markup) throw new UnsupportedError('the characters of what safe or escape gave');
  if (!(object instanceof Range)) return undefined;
  const from = at < 0 ? at + object.length : at;
  return from >= 0 && from < object.length ? object.start + from * object.step : undefined;
}

function dictMethod(dict: Dict, name: string): Method | undefined {
  switch (name) {
    case 'get':
      return (args, kwargs) => {
        const [key = null, otherwise = null] = positional(name, 1, 2, args, kwargs);
        const value = dict.get(key);
        return value === undefined ? otherwise : value;
      };
    case 'keys':
    case 'values':
    case 'items':
      return (args, kwargs) => {
        positional(name, 0, 0, args, kwargs);
        return new DictView(dict, name);
      };
    case 'copy':
      return (args, kwargs) => {
        positional(name, 0, 0, args, kwargs);
        return dict; // it cannot change
      };
    default:
      return undefined;
  }
}

const SIDES: Readonly<Record<string, Side>> = { strip: 'both', lstrip: 'left', rstrip: 'right' };

/** The methods of `str`. */
function textMethod(text: string, name: string, fields: Fields): Method | undefined {
  /** A method without arguments. */
  const plain =
    (make: () => Value): Method =>
    (args, kwargs) => {
      positional(name, 0, 0, args, kwargs);
      fields.spend(text.length / 4);
      return make();
    };
  const taking =
    (least: number, most: number, make: (...args: (Value | undefined)[]) => Value): Method =>
    (args, kwargs) => {
      const given = positional(name, least, most, args, kwargs);
      fields.spend(text.length / 8);
      return make(...given);
    };
  const each = (pattern: RegExp): Method => plain(() => pattern.test(text));
  switch (name) {
    case 'upper':
      return plain(() => text.toUpperCase());
    case 'lower':
      return plain(() => text.toLowerCase());
    case 'capitalize':
      return plain(() => capitalize(text));
    case 'title':
      return plain(() => titleWords(text));
    case 'strip':
    case 'lstrip':
    case 'rstrip':
      return taking(0, 1, (chars) => strip(text, SIDES[name] ?? 'both', optionalText(chars, name)));
    case 'split':
    case 'rsplit':
      return (args, kwargs) => {
        const [separator, most] = bind(name, ['sep', 'maxsplit'], 0, args, kwargs);
        const by = optionalText(separator, name);
        if (by === '') throw new TemplateError('empty separator');
        payForSearch(text, by ?? '', fields);
        const parts = (name === 'split' ? split : splitFromRight)(text, by, optionalIndex(most, -1, name));
        fields.spend(parts.length);
        return parts;
      };
    case 'splitlines':
      return (args, kwargs) => {
        const [keepEnds] = bind(name, ['keepends'], 0, args, kwargs);
        const parts = lines(text, keepEnds !== undefined && isTrue(keepEnds));
        fields.spend(text.length / 8 + parts.length);
        return parts;
      };
    case 'replace':
      return (args, kwargs) => {
        const [old = null, by = null, count] = bind(name, ['old', 'new', 'count'], 2, args, kwargs);
        if ([...kwargs.keys()].some((key) => key !== 'count')) throw new TemplateError('replace() takes texts');
        return replaced(text, textOf(old, name), textOf(by, name), optionalIndex(count, -1, name), fields);
      };
    case 'startswith':
    case 'endswith':
      return taking(1, 3, (affix = null, start, end) => {
        const part = range(text, start, end);
        const affixes = affix instanceof Tuple ? textsOf(affix.items, name) : [textOf(affix, name)];
        if (part === undefined) return false;
        return affixes.some((one) => (name === 'startswith' ? part.text.startsWith(one) : part.text.endsWith(one)));
      });
    case 'find':
    case 'rfind':
    case 'index':
    case 'rindex':
      return taking(1, 3, (value = null, start, end) => {
        const what = textOf(value, name);
        const part = range(text, start, end);
        payForSearch(text, what, fields);
        const at = (name.startsWith('r') ? part?.text.lastIndexOf(what) : part?.text.indexOf(what)) ?? -1;
        if (at >= 0 && part) return part.start + lengthOf(part.text.slice(0, at));
        if (name.endsWith('index')) throw new TemplateError('not in it');
        return -1;
      });
    case 'count':
      return taking(1, 3, (value = null, start, end) => {
        const what = textOf(value, name);
        const part = range(text, start, end);
        payForSearch(text, what, fields);
        if (part === undefined) return 0;
        return what === '' ? lengthOf(part.text) + 1 : part.text.split(what).length - 1;
      });
    case 'removeprefix':
      return taking(1, 1, (value = null) => {
        const prefix = textOf(value, name);
        return text.startsWith(prefix) ? text.slice(prefix.length) : text;
      });
    case 'removesuffix':
      return taking(1, 1, (value = null) => {
        const suffix = textOf(value, name);
        return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
      });
    case 'join':
      return taking(1, 1, (value = null) => {
        fail(value instanceof Undefined ? null : value);
        const parts = textsOf(listOf(value, fields), name);
        fields.spend(parts.reduce((sum, part) => sum + part.length + text.length, 0) / 4);
        return parts.join(text);
      });
    case 'format':
      return (args, kwargs) => formatBraces(text, args, (key) => kwargs.get(key), fields);
    case 'isalpha':
      return each(/^\p{L}+$/u);
    case 'isdigit':
    case 'isalnum':
      return plain(() => {
        // Regular expressions do not know which other characters are digits.
        if (/[\p{No}\p{Nl}]/u.test(text)) throw new UnsupportedError(`'${name}' of such digits`);
        return (name === 'isalnum' ? /^[\p{L}\p{Nd}]+$/u : /^\p{Nd}+$/u).test(text);
      });
    case 'isspace':
      return plain(() => text !== '' && points(text).every(isBlank));
    case 'isascii':
      return each(/^\p{ASCII}*$/u);
    case 'islower':
      return plain(() => isLower(text));
    case 'isupper':
      return plain(() => isUpper(text));
    default:
      return undefined;
  }
}

/** The part between two code point indices; undefined if it begins after its end. */
function range(text: string, start: Value = null, end: Value = null): { text: string; start: number } | undefined {
  if (start === null && end === null) return { text, start: 0 };
  const characters = points(text);
  const place = (value: Value, otherwise: number): number => {
    if (value === null) return otherwise;
    const at = indexOf(value, 'an index');
    return at < 0 ? Math.max(0, at + characters.length) : at;
  };
  const [from, to] = [place(start, 0), Math.min(place(end, characters.length), characters.length)];
  return from > to ? undefined : { text: characters.slice(from, to).join(''), start: from };
}

export function replaced(text: string, old: string, by: string, count: number, fields: Fields): string {
  payForSearch(text, old, fields);
  const found = old === '' ? lengthOf(text) + 1 : text.split(old).length - 1;
  fields.spend(text.length / 8 + ((count < 0 ? found : Math.min(found, count)) * (by.length + 1)) / 4);
  return replace(text, old, by, count);
}

/** Whether the value is callable. */
export const isCallable = (value: Value): boolean => value instanceof Callable || value instanceof Undefined;

/** Whether the value has a length and an index. */
export const isSequence = (value: Value): boolean =>
  typeof value === 'string' ||
  Array.isArray(value) ||
  [Tuple, Dict, Range, Markup, Undefined].some((type) => value instanceof type);

/** Whether the value is iterable. */
export const isIterable = (value: Value): boolean =>
  isSequence(value) ||
  value instanceof DictView ||
  value instanceof Stream ||
  (value instanceof Callable && value.size !== undefined);
