import { TemplateError, UnsupportedError } from './errors.ts';
import { floatText, int } from './numbers.ts';
import { compareTexts, points, quoted } from './text.ts';

/** Values of a template. Python's None, bool, int and str are null, boolean, number and string; a list is an array. */
export type Value =
  | null
  | boolean
  | number
  | string
  | Value[]
  | Float
  | Tuple
  | Dict
  | DictView
  | Range
  | Stream
  | Undefined
  | Markup
  | Namespace
  | Callable;

export class Float {
  constructor(readonly value: number) {}
}

export class Tuple {
  /** `names`: attribute names of a named tuple. */
  constructor(
    readonly items: readonly Value[],
    readonly names: readonly string[] = [],
  ) {}
}

/** Lookup form of a dict key: 1, 1.0 and True are one key. */
type Hash = string | number | null | object;

export class Dict {
  readonly entries = new Map<Hash, readonly [key: Value, value: Value]>();

  get(key: Value): Value | undefined {
    return this.entries.get(typeof key === 'string' ? key : hashOf(key))?.[1];
  }

  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    this.entries.set(hash, [this.entries.get(hash)?.[0] ?? key, value]);
  }

  keys(): Value[] {
    return [...this.entries.values()].map(([key]) => key);
  }

  values(): Value[] {
    return [...this.entries.values()].map(([, value]) => value);
  }

  items(): Tuple[] {
    return [...this.entries.values()].map((entry) => new Tuple(entry));
  }
}

export class DictView {
  constructor(
    readonly dict: Dict,
    readonly of: 'keys' | 'values' | 'items',
  ) {}
}

export class Range {
  readonly length: number;

  constructor(
    readonly start: number,
    readonly stop: number,
    readonly step: number,
  ) {
    this.length = Math.max(0, Math.ceil((stop - start) / step));
  }
}

/** A generator or iterator: it can be read once and has no length. */
export class Stream {
  constructor(readonly iterator: Iterator<Value, unknown>) {}
}

export class Undefined {
  constructor(readonly reason: string) {}
}

/** Result of `safe` and `escape`: text marked as HTML. */
export class Markup {
  constructor(readonly text: string) {}
}

export class Namespace {
  readonly attributes = new Map<string, Value>();
}

export type Kwargs = ReadonlyMap<string, Value>;

/** A function, macro, method or the `loop` of a loop. */
export class Callable {
  constructor(
    /** Printed text; undefined where Python prints an address. */
    readonly text: string | undefined,
    readonly call: (args: readonly Value[], kwargs: Kwargs) => Value,
    readonly attributes: Readonly<Record<string, () => Value>> = {},
    /** Attributes of `loop`. */
    readonly size?: () => number,
  ) {}
}

/** Limits on the work with values. */
export interface Work {
  /** Counts steps; throws beyond the limit. */
  spend(steps: number): void;
  /** Runs one level deeper; throws beyond the limit. */
  deeper<T>(what: () => T): T;
}

export function hashOf(key: Value): Hash {
  if (typeof key === 'string' || typeof key === 'number' || key === null) return key;
  if (typeof key === 'boolean') return Number(key);
  if (key instanceof Float) return key.value;
  if (key instanceof Undefined) return Undefined;
  if (key instanceof Markup) return key.text;
  if (Array.isArray(key) || key instanceof Dict || key instanceof DictView)
    throw new TemplateError(`unhashable type: ${typeName(key)}`);
  if (key instanceof Tuple || key instanceof Range) throw new UnsupportedError(`a ${typeName(key)} as a key`);
  return key;
}

const TYPES = [
  [Float, 'float'],
  [Tuple, 'tuple'],
  [Dict, 'dict'],
  [Range, 'range'],
  [Stream, 'stream'],
  [Undefined, 'undefined'],
  [Markup, 'Markup'],
  [Namespace, 'namespace'],
] as const;

export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'int';
  if (typeof value === 'string') return 'str';
  if (Array.isArray(value)) return 'list';
  if (value instanceof DictView) return `dict_${value.of}`;
  return TYPES.find(([type]) => value instanceof type)?.[1] ?? 'function'; // class names of built-in objects are not exposed
}

export const isText = (value: Value): value is string | Markup => typeof value === 'string' || value instanceof Markup;

/** Number of an int, a bool or a float. */
export function numberOf(value: Value): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  return value instanceof Float ? value.value : undefined;
}

/** Number of an int or a bool, where Python takes an index or a count. */
export function indexOf(value: Value, of: string): number {
  if (typeof value === 'number' || typeof value === 'boolean') return Number(value);
  throw new TemplateError(`${of} must be an integer, not ${typeName(value)}`);
}

/** A string whose methods are called. Those of Markup escape their arguments. */
export function textOf(value: Value, of: string): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) throw new UnsupportedError(`more than writing what safe or escape gave (${of})`);
  fail(value);
  throw new TemplateError(`${of} takes a str, not ${typeName(value)}`);
}

/** Throws for an undefined value, as almost every use except printing does. */
export function fail(value: Value): void {
  if (value instanceof Undefined) throw new TemplateError(value.reason);
}

export function isTrue(value: Value): boolean {
  if (value === null || typeof value !== 'object') return Boolean(value);
  if (value instanceof Undefined) return false;
  if (value instanceof Float) return value.value !== 0;
  return sizeOf(value) !== 0;
}

/** `len`; undefined for a value without length. */
export function sizeOf(value: Value): number | undefined {
  if (typeof value === 'string') return points(value).length;
  if (Array.isArray(value)) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.entries.size;
  if (value instanceof DictView) return value.dict.entries.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  if (value instanceof Markup) return points(value.text).length;
  return value instanceof Callable ? value.size?.() : undefined;
}

/** `iter`; undefined for a value that is not iterable. */
export function iteratorOf(value: Value): Iterator<Value, unknown> | undefined {
  if (value instanceof Stream) return value.iterator;
  if (value instanceof Range) return numbersIn(value);
  if (value instanceof Callable && value.size !== undefined) throw new UnsupportedError('iterating over loop');
  return itemsOf(value)?.values();
}

/** `list(value)`; undefined for a value that is not iterable. */
export function itemsOf(value: Value): readonly Value[] | undefined {
  if (typeof value === 'string') return points(value);
  if (value instanceof Markup) return points(value.text);
  if (Array.isArray(value)) return value;
  if (value instanceof Tuple) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof DictView) return value.dict[value.of]();
  if (value instanceof Undefined) return [];
  if (value instanceof Range || value instanceof Stream) {
    const items: Value[] = [];
    const iterator = iteratorOf(value);
    for (let next = iterator?.next(); next && next.done !== true; next = iterator?.next()) items.push(next.value);
    return items;
  }
  return undefined;
}

function* numbersIn({ start, step, length }: Range): Generator<number> {
  for (let i = 0; i < length; i++) yield start + i * step;
}

export function iterate(value: Value): Iterator<Value, unknown> {
  const iterator = iteratorOf(value);
  if (!iterator) throw new TemplateError(`${typeName(value)} is not iterable`);
  return iterator;
}

export function listOf(value: Value, work: Work): readonly Value[] {
  if (value instanceof Range) work.spend(value.length);
  const items = itemsOf(value);
  if (!items) throw new TemplateError(`${typeName(value)} is not iterable`);
  work.spend(items.length / 4);
  return items;
}

/** `str(value)`. */
export function textFor(value: Value, work: Work): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) return value.text;
  return value instanceof Undefined ? '' : repr(value, work);
}

/** `repr(value)`. */
export function repr(value: Value, work: Work): string {
  work.spend(1);
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') {
    work.spend(value.length / 2);
    return quoted(value);
  }
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
  if (value instanceof Range) {
    const { start, stop, step } = value;
    return `range(${start}, ${stop}${step === 1 ? '' : `, ${step}`})`;
  }
  if (value instanceof Callable) {
    if (value.text === undefined) throw new UnsupportedError('printing where a function lies in memory');
    return value.text;
  }
  if (value instanceof Stream) throw new UnsupportedError('printing where a generator lies in memory');
  return work.deeper(() => {
    const all = (items: readonly Value[]): string => {
      const texts = items.map((item) => repr(item, work)).join(', ');
      work.spend(texts.length / 4);
      return texts;
    };
    if (Array.isArray(value)) return `[${all(value)}]`;
    if (value instanceof Tuple) return `(${all(value.items)}${value.items.length === 1 ? ',' : ''})`;
    if (value instanceof DictView) return `dict_${value.of}([${all(value.dict[value.of]())}])`;
    const pairs: [Value, Value][] =
      value instanceof Dict
        ? value.items().map(({ items: [key = null, inner = null] }) => [key, inner])
        : [...value.attributes];
    const text = pairs.map(([key, inner]) => `${repr(key, work)}: ${repr(inner, work)}`).join(', ');
    work.spend(text.length / 4);
    return value instanceof Dict ? `{${text}}` : `<Namespace {${text}}>`;
  });
}

export function equals(left: Value, right: Value, work: Work): boolean {
  work.spend(1);
  if (typeof left === 'string' && typeof right === 'string') {
    work.spend(Math.min(left.length, right.length) / 64);
    return left === right;
  }
  const number = numberOf(left);
  if (number !== undefined) return number === numberOf(right);
  if (isText(left)) return isText(right) && textFor(left, work) === textFor(right, work);
  if (left === right) return true;
  if (left instanceof Undefined) return right instanceof Undefined;
  if (Array.isArray(left)) return Array.isArray(right) && sameItems(left, right, work);
  if (left instanceof Tuple) return right instanceof Tuple && sameItems(left.items, right.items, work);
  if (left instanceof Range && right instanceof Range)
    return (
      left.length === right.length && (left.length === 0 || (left.start === right.start && left.step === right.step))
    );
  if (left instanceof DictView && right instanceof DictView && left.of !== 'values')
    throw new UnsupportedError('comparing the views of dicts');
  if (left instanceof Dict && right instanceof Dict) {
    if (left.entries.size !== right.entries.size) return false;
    return work.deeper(() =>
      [...left.entries].every(([hash, [, value]]) => {
        const other = right.entries.get(hash);
        return other !== undefined && equals(value, other[1], work);
      }),
    );
  }
  return false;
}

const sameItems = (left: readonly Value[], right: readonly Value[], work: Work): boolean =>
  left.length === right.length && work.deeper(() => left.every((item, i) => equals(item, right[i] ?? null, work)));

/** `left < right`, with `orEqual` and `swapped` for the other comparisons. */
export function isLess(left: Value, right: Value, orEqual: boolean, work: Work): boolean {
  work.spend(1);
  fail(left);
  fail(right);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== undefined && b !== undefined) return orEqual ? a <= b : a < b;
  if (isText(left) && isText(right)) {
    const [x, y] = [textFor(left, work), textFor(right, work)];
    work.spend(Math.min(x.length, y.length) / 64);
    const order = compareTexts(x, y);
    return orEqual ? order <= 0 : order < 0;
  }
  const both = itemsIn(left, right);
  if (!both) throw new TemplateError(`${typeName(left)} < ${typeName(right)}`);
  const [items, others] = both;
  return work.deeper(() => {
    for (const [i, item] of items.entries()) {
      const other = others[i];
      if (other === undefined) return false;
      if (!equals(item, other, work)) return isLess(item, other, orEqual, work);
    }
    return orEqual ? items.length <= others.length : items.length < others.length;
  });
}

function itemsIn(left: Value, right: Value): [readonly Value[], readonly Value[]] | undefined {
  if (Array.isArray(left) && Array.isArray(right)) return [left, right];
  return left instanceof Tuple && right instanceof Tuple ? [left.items, right.items] : undefined;
}

export function contains(container: Value, value: Value, work: Work): boolean {
  if (isText(container)) {
    fail(value);
    if (!isText(value)) throw new TemplateError(`${typeName(value)} in str`);
    const [text, part] = [textFor(container, work), textFor(value, work)];
    payForSearch(text, part, work);
    return text.includes(part);
  }
  if (container instanceof Dict) return container.entries.has(hashOf(value));
  if (container instanceof DictView && container.of === 'keys') return container.dict.entries.has(hashOf(value));
  if (container instanceof Range) {
    const number = numberOf(value);
    if (number === undefined) return false;
    const at = (number - container.start) / container.step;
    return Number.isInteger(at) && at >= 0 && at < container.length;
  }
  const iterator = iterate(container);
  for (let next = iterator.next(); next.done !== true; next = iterator.next())
    if (equals(next.value, value, work)) return true;
  return false;
}

/** Work of a search, which may restart at each character. */
export const payForSearch = (text: string, part: string, work: Work): void =>
  work.spend((text.length * (4 + part.length)) / 64);

/** A stable sort by Python's `<`. */
export function sorted(items: readonly Value[], key: (item: Value) => Value, isReversed: boolean, work: Work): Value[] {
  work.spend(2 * items.length * Math.log2(items.length + 2));
  const keyed = items.map((item) => ({ item, key: key(item) }));
  if (keyed.some((one) => one.key instanceof Float && Number.isNaN(one.key.value)))
    throw new UnsupportedError('sorting what is not a number');
  const order = (left: Value, right: Value): number =>
    isLess(left, right, false, work) ? -1 : isLess(right, left, false, work) ? 1 : 0;
  return keyed.sort((a, b) => (isReversed ? order(b.key, a.key) : order(a.key, b.key))).map(({ item }) => item);
}

/** Converts JSON to template values; whole numbers become ints, as in Python's `json`. */
export function fromJson(json: unknown): Value {
  switch (typeof json) {
    case 'string':
    case 'boolean':
      return json;
    case 'number':
      return Number.isSafeInteger(json) && !Object.is(json, -0) ? int(json) : new Float(json);
    case 'object': {
      if (json === null) return null;
      if (Array.isArray(json)) return json.map(fromJson);
      const dict = new Dict();
      for (const [key, value] of Object.entries(json) as [string, unknown][])
        if (value !== undefined) dict.entries.set(key, [key, fromJson(value)]);
      return dict;
    }
    default:
      throw new UnsupportedError(`a value of type ${typeof json}`);
  }
}

interface Slice {
  first: number;
  step: number;
  count: number;
}

/** Indices of a slice of `length` entries. */
export function sliced(length: number, start: Value, stop: Value, step: Value): Slice {
  const part = (value: Value, otherwise: number): number =>
    value === null ? otherwise : indexOf(value, 'a slice index');
  const by = part(step, 1);
  if (by === 0) throw new TemplateError('a slice without steps');
  const [low, high] = by > 0 ? [0, length] : [-1, length - 1];
  const bound = (value: Value, otherwise: number): number => {
    if (value === null) return otherwise;
    const at = part(value, 0);
    return Math.min(Math.max(at < 0 ? at + length : at, low), high);
  };
  const from = bound(start, by > 0 ? low : high);
  const to = bound(stop, by > 0 ? high : low);
  return { first: from, step: by, count: Math.max(0, Math.ceil((to - from) / by)) };
}

/** Binds arguments to named parameters; omitted ones are undefined. `least`: number of required ones. */
export function bind(
  name: string,
  params: readonly string[],
  least: number,
  args: readonly Value[],
  kwargs: Kwargs,
): (Value | undefined)[] {
  if (args.length > params.length) throw new TemplateError(`${name}() takes at most ${params.length} arguments`);
  const values: (Value | undefined)[] = params.map((_, i) => args[i]);
  for (const [key, value] of kwargs) {
    const at = params.indexOf(key);
    if (at < 0 || at < args.length) throw new TemplateError(`${name}() does not take '${key}'`);
    values[at] = value;
  }
  for (let i = 0; i < least; i++)
    if (values[i] === undefined) throw new TemplateError(`${name}() needs '${params[i] ?? ''}'`);
  return values;
}

/** Checks the arguments of a function without parameter names. */
export function positional(
  name: string,
  least: number,
  most: number,
  args: readonly Value[],
  kwargs: Kwargs,
): readonly Value[] {
  if (kwargs.size > 0) throw new TemplateError(`${name}() takes no keyword arguments`);
  if (args.length < least || args.length > most)
    throw new TemplateError(`${name}() takes ${least === most ? least : `${least} to ${most}`} arguments`);
  return args;
}

export const method = (call: (args: readonly Value[], kwargs: Kwargs) => Value): Callable =>
  new Callable(undefined, call);

export const optionalText = (value: Value | undefined, of: string): string | undefined =>
  value === undefined || value === null ? undefined : textOf(value, of);

export const optionalIndex = (value: Value | undefined, otherwise: number, of: string): number =>
  value === undefined ? otherwise : indexOf(value, of);

export function textsOf(values: readonly Value[], of: string): string[] {
  return values.map((value) => {
    if (typeof value !== 'string') throw new TemplateError(`${of} takes strs, not ${typeName(value)}`);
    return value;
  });
}
