import {
  bind,
  Callable,
  Dict,
  fail,
  Float,
  hashOf,
  indexOf,
  isLess,
  isText,
  isTrue,
  iterate,
  type Kwargs,
  listOf,
  Markup,
  numberOf,
  optionalText,
  sizeOf,
  sorted,
  Stream,
  textFor,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';
import { TemplateError, UnsupportedError } from './errors.ts';
import { type Fields, formatPercent, toJson } from './format.ts';
import { fixed, int, parseFloating, parseInteger } from './numbers.ts';
import { calculate, onlyAttribute, replaced } from './operators.ts';
import { capitalize, escapeHtml, lines, points, strip } from './text.ts';

/** The parts of the interpreter that filters use. */
export interface Running extends Fields {
  filter(name: string, value: Value, args: readonly Value[], kwargs: Kwargs): Value;
  test(name: string, value: Value, args: readonly Value[], kwargs: Kwargs): boolean;
}

type Filter = (value: Value, args: readonly Value[], kwargs: Kwargs, run: Running) => Value;

/** Filters of Jinja2 that this engine lacks: for HTML, random ones, or large ones of little use. */
const MISSING = [
  ...[
    'batch',
    'center',
    'filesizeformat',
    'groupby',
    'pprint',
    'random',
    'slice',
    'striptags',
    'truncate',
    'urlencode',
  ],
  ...['urlize', 'wordcount', 'wordwrap', 'xmlattr'],
];

/** A filter with named parameters after the value; `least` of them are required. */
const taking =
  (
    params: readonly string[],
    least: number,
    make: (run: Running, value: Value, ...args: (Value | undefined)[]) => Value,
  ): Filter =>
  (value, args, kwargs, run) =>
    make(run, value, ...bind('the filter', params, least, args, kwargs));

/** A filter on a value's text; refuses HTML. */
const ofText = (make: (text: string) => Value): Filter =>
  taking([], 0, (run, value) => {
    const text = soft(value, run);
    run.spend(text.length / 4);
    return make(text);
  });

function soft(value: Value, run: Running): string {
  return value instanceof Markup ? textOf(value, 'a filter') : textFor(value, run);
}

/** `getitem` by a dotted path. */
function getter(attribute: Value, run: Running, otherwise?: Value): (item: Value) => Value {
  if (attribute === null) return (item) => item;
  const parts: Value[] =
    typeof attribute === 'string'
      ? attribute.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part))
      : [attribute];
  return (item) =>
    parts.reduce((at, part) => {
      run.spend(1);
      const found = run.getitem(at, part);
      return found instanceof Undefined && otherwise !== undefined && otherwise !== null ? otherwise : found;
    }, item);
}

const lowered = (value: Value): Value => (typeof value === 'string' ? value.toLowerCase() : value);

/** The sort key: an attribute, case-insensitive by default. */
function sortKey(attribute: Value, isExact: boolean, run: Running, otherwise?: Value): (item: Value) => Value {
  const get = getter(attribute, run, otherwise);
  return (item) => (isExact ? get(item) : lowered(get(item)));
}

function* each(value: Value, run: Running): Generator<Value> {
  const iterator = iterate(value);
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    run.spend(1);
    yield next.value;
  }
}

function* mapped(value: Value, args: readonly Value[], kwargs: Kwargs, run: Running): Generator<Value> {
  if (!isTrue(value)) return;
  if (args.length === 0 && kwargs.has('attribute')) {
    const [attribute = null, otherwise] = bind('map', ['attribute', 'default'], 1, [], kwargs);
    const get = getter(attribute, run, otherwise);
    for (const item of each(value, run)) yield get(item);
    return;
  }
  const [name, ...rest] = args;
  if (name === undefined) throw new TemplateError('map needs a filter');
  for (const item of each(value, run)) yield run.filter(textOf(name, 'map'), item, rest, kwargs);
}

const selecting =
  (hasAttribute: boolean, isRejecting: boolean): Filter =>
  (value, args, kwargs, run) =>
    new Stream(selected(value, args, kwargs, run, { hasAttribute, isRejecting }));

function* selected(
  value: Value,
  args: readonly Value[],
  kwargs: Kwargs,
  run: Running,
  { hasAttribute, isRejecting }: { hasAttribute: boolean; isRejecting: boolean },
): Generator<Value> {
  if (!isTrue(value)) return;
  const [attribute] = hasAttribute ? args : [null];
  if (attribute === undefined) throw new TemplateError('it needs an attribute');
  const [name, ...rest] = hasAttribute ? args.slice(1) : args;
  const get = getter(attribute, run);
  for (const item of each(value, run)) {
    const part = get(item);
    const holds = name === undefined ? isTrue(part) : run.test(textOf(name, 'a test'), part, rest, kwargs);
    if (holds !== isRejecting) yield item;
  }
}

function* unique(value: Value, key: (item: Value) => Value, run: Running): Generator<Value> {
  const seen = new Set<unknown>();
  for (const item of each(value, run)) {
    const hash = hashOf(key(item));
    if (!seen.has(hash)) yield item;
    seen.add(hash);
  }
}

/** The first value with the least, or greatest, key. */
const extreme = (isMost: boolean): Filter =>
  taking(['case_sensitive', 'attribute'], 0, (run, value, isExact = false, attribute = null) => {
    const key = sortKey(attribute, isTrue(isExact), run);
    let best: { item: Value; key: Value } | undefined;
    for (const item of each(value, run)) {
      const own = key(item);
      const isBetter = best && (isMost ? isLess(best.key, own, false, run) : isLess(own, best.key, false, run));
      if (!best || isBetter === true) best = { item, key: own };
    }
    return best ? best.item : new Undefined('nothing is undefined');
  });

function sum(run: Running, value: Value, attribute: Value, start: Value): Value {
  if (isText(start)) throw new TemplateError("sum() can't sum strings");
  const get = getter(attribute, run);
  let total: Value = start;
  for (const item of each(value, run)) {
    total = calculate('+', total, get(item), run);
    // Python 3.12 compensates rounding errors; earlier versions do not.
    if (total instanceof Float) throw new UnsupportedError('a sum of floats');
  }
  return total;
}

function round(value: Value, precision: Value, how: Value): Value {
  if (how !== 'common') throw new UnsupportedError('rounding up or down');
  fail(value);
  if (precision === null) throw new UnsupportedError('rounding to no precision');
  const digits = indexOf(precision, 'a precision');
  const number = numberOf(value);
  if (number === undefined) throw new TemplateError(`${typeName(value)} cannot be rounded`);
  if (!(value instanceof Float)) {
    if (digits >= 0) return number;
    throw new UnsupportedError('rounding to tens');
  }
  if (digits < 0) throw new UnsupportedError('rounding to tens');
  if (!Number.isFinite(number) || Math.abs(number) >= 2 ** 53 || digits > 22) return value;
  return new Float(Number(fixed(number, digits)));
}

function toInt(run: Running, value: Value, otherwise: Value, base: Value): Value {
  fail(value);
  if (value instanceof Float) return ofFloat(value.value) ?? otherwise;
  const number = numberOf(value);
  if (number !== undefined) return number;
  if (!isText(value)) return otherwise;
  const text = strip(textFor(value, run), 'both');
  if (base !== 10) throw new UnsupportedError('int in another base');
  const whole = parseInteger(text);
  if (whole !== undefined) return whole;
  const float = parseFloating(text);
  return float === undefined || !Number.isFinite(float) ? otherwise : int(Math.trunc(float));
}

function ofFloat(value: number): number | undefined {
  if (Number.isNaN(value)) return undefined;
  if (!Number.isFinite(value)) throw new TemplateError('no integer');
  return int(Math.trunc(value));
}

function toFloat(run: Running, value: Value, otherwise: Value): Value {
  fail(value);
  const number = isText(value) ? parseFloating(strip(textFor(value, run), 'both')) : numberOf(value);
  return number === undefined ? otherwise : new Float(number);
}

function indent(run: Running, value: Value, width: Value, first: Value, blank: Value): string {
  const text = textOf(value, 'indent');
  const by = isText(width) ? textOf(width, 'indent') : undefined;
  const columns = by === undefined ? Math.max(0, indexOf(width, 'a width')) : by.length;
  run.spend(text.length / 4 + columns);
  const indention = by ?? ' '.repeat(columns);
  const all = lines(`${text}\n`);
  run.spend((all.length * (columns + 1)) / 4);
  const [head = '', ...rest] = all;
  const indented = rest.map((line) => (line !== '' || isTrue(blank) ? indention + line : line));
  return (isTrue(first) ? indention : '') + [head, ...indented].join('\n');
}

function reverse(run: Running, value: Value): Value {
  if (typeof value === 'string') {
    run.spend(value.length / 4);
    return points(value).reverse().join('');
  }
  if (value instanceof Markup) throw new UnsupportedError('reversing what safe or escape gave');
  const items = [...listOf(value, run)].reverse();
  return value instanceof Stream ? items : new Stream(items.values());
}

function json(
  run: Running,
  value: Value,
  [isAscii = false, indent = null, separators = null, sortsKeys = false]: (Value | undefined)[],
): string {
  let step: string | undefined;
  if (isText(indent)) step = textFor(indent, run);
  else if (indent !== null) {
    const width = Math.max(0, indexOf(indent, 'indent'));
    run.spend(width);
    step = ' '.repeat(width);
  }
  let both: readonly [string, string] = [step === undefined ? ', ' : ',', ': '];
  if (separators !== null) {
    const [item = null, key = null, ...more] = listOf(separators, run);
    if (more.length > 0 || sizeOf(separators) !== 2) throw new TemplateError('separators are two');
    both = [textOf(item, 'separators'), textOf(key, 'separators')];
  }
  return toJson(value, { isAscii: isTrue(isAscii), indent: step, separators: both, sortsKeys: isTrue(sortsKeys) }, run);
}

const count = taking([], 0, (_, value) => {
  const size = sizeOf(value);
  if (size === undefined) throw new TemplateError(`${typeName(value)} has no len()`);
  return size;
});
const orDefault = taking(['default_value', 'boolean'], 0, (_, value, otherwise = '', isAny = false) =>
  value instanceof Undefined || (isTrue(isAny) && !isTrue(value)) ? otherwise : value,
);
const escape = taking([], 0, (run, value) =>
  value instanceof Markup ? value : new Markup(escapeHtml(textFor(value, run))),
);

const FILTERS: Readonly<Record<string, Filter>> = {
  abs: taking([], 0, (_, value) => {
    fail(value);
    if (value instanceof Float) return new Float(Math.abs(value.value));
    const number = numberOf(value);
    if (number === undefined) throw new TemplateError(`abs of ${typeName(value)}`);
    return Math.abs(number);
  }),
  attr: taking(['name'], 1, (run, value, name = null) => onlyAttribute(value, textOf(name, 'attr'), run)),
  capitalize: ofText(capitalize),
  count,
  d: orDefault,
  default: orDefault,
  dictsort: taking(
    ['case_sensitive', 'by', 'reverse'],
    0,
    (run, value, isExact = false, by = 'key', isReversed = false) => {
      if (by !== 'key' && by !== 'value') throw new TemplateError('unknown order');
      fail(value);
      if (!(value instanceof Dict)) throw new TemplateError(`${typeName(value)} has no items`);
      const key = (pair: Value): Value => (pair instanceof Tuple ? (pair.items[by === 'key' ? 0 : 1] ?? null) : null);
      return sorted(
        value.items(),
        (pair) => (isTrue(isExact) ? key(pair) : lowered(key(pair))),
        isTrue(isReversed),
        run,
      );
    },
  ),
  e: escape,
  escape,
  first: taking([], 0, (_, value) => {
    const next = iterate(value).next();
    return next.done === true ? new Undefined('nothing is undefined') : next.value;
  }),
  float: taking(['default'], 0, (run, value, otherwise = new Float(0)) => toFloat(run, value, otherwise)),
  forceescape: taking([], 0, (run, value) => new Markup(escapeHtml(textFor(value, run)))),
  format: (value, args, kwargs, run) => {
    if (args.length > 0 && kwargs.size > 0) throw new TemplateError('mixed arguments');
    const dict = new Dict();
    for (const [key, inner] of kwargs) dict.set(key, inner);
    return formatPercent(soft(value, run), kwargs.size > 0 ? dict : new Tuple(args), run);
  },
  indent: taking(['width', 'first', 'blank'], 0, (run, value, width = 4, first = false, blank = false) =>
    indent(run, value, width, first, blank),
  ),
  int: taking(['default', 'base'], 0, (run, value, otherwise = 0, base = 10) => toInt(run, value, otherwise, base)),
  items: taking([], 0, (_, value) => {
    if (!(value instanceof Dict) && !(value instanceof Undefined)) return new Stream(refusing('no mapping'));
    return new Stream((value instanceof Dict ? value.items() : []).values());
  }),
  join: taking(['d', 'attribute'], 0, (run, value, by = '', attribute = null) => {
    const get = getter(attribute, run);
    const texts: string[] = [];
    const between = textFor(by, run);
    for (const item of each(value, run)) {
      const text = textFor(get(item), run);
      run.spend((text.length + between.length) / 4);
      texts.push(text);
    }
    return texts.join(between);
  }),
  last: taking([], 0, (run, value) => {
    if (value instanceof Stream || value instanceof Callable)
      throw new TemplateError(`${typeName(value)} is not reversible`);
    return listOf(value, run).at(-1) ?? (sizeOf(value) === 0 ? new Undefined('nothing is undefined') : null);
  }),
  length: count,
  list: taking([], 0, (run, value) => [...listOf(value, run)]),
  lower: ofText((text) => text.toLowerCase()),
  map: (value, args, kwargs, run) => new Stream(mapped(value, args, kwargs, run)),
  max: extreme(true),
  min: extreme(false),
  reject: selecting(false, true),
  rejectattr: selecting(true, true),
  replace: taking(['old', 'new', 'count'], 2, (run, value, old = null, by = null, most = null) => {
    const [text, from, to] = [value, old, by].map((part) => textFor(part, run));
    return replaced(text ?? '', from ?? '', to ?? '', most === null ? -1 : indexOf(most, 'count'), run);
  }),
  reverse: taking([], 0, reverse),
  round: taking(['precision', 'method'], 0, (_, value, precision = 0, how = 'common') => round(value, precision, how)),
  safe: taking([], 0, (run, value) => new Markup(textFor(value, run))),
  select: selecting(false, false),
  selectattr: selecting(true, false),
  sort: taking(
    ['reverse', 'case_sensitive', 'attribute'],
    0,
    (run, value, isReversed = false, isExact = false, attribute = null) => {
      const attributes: Value[] = typeof attribute === 'string' ? attribute.split(',') : [attribute];
      const keys = attributes.map((one) => sortKey(one, isTrue(isExact), run));
      return sorted(listOf(value, run), (item) => keys.map((key) => key(item)), isTrue(isReversed), run);
    },
  ),
  string: taking([], 0, (run, value) => (value instanceof Markup ? value : textFor(value, run))),
  sum: taking(['attribute', 'start'], 0, (run, value, attribute = null, start = 0) =>
    sum(run, value, attribute, start),
  ),
  title: ofText((text) =>
    text
      .split(/([-\s({[<]+)/)
      .map((part) => {
        const [first = '', ...rest] = points(part);
        return first.toUpperCase() + rest.join('').toLowerCase();
      })
      .join(''),
  ),
  tojson: taking(['ensure_ascii', 'indent', 'separators', 'sort_keys'], 0, (run, value, ...options) =>
    json(run, value, options),
  ),
  trim: taking(['chars'], 0, (run, value, chars) => {
    const text = soft(value, run);
    run.spend(text.length / 8);
    return strip(text, 'both', optionalText(chars, 'trim'));
  }),
  unique: taking(
    ['case_sensitive', 'attribute'],
    0,
    (run, value, isExact = false, attribute = null) =>
      new Stream(unique(value, sortKey(attribute, isTrue(isExact), run), run)),
  ),
  upper: ofText((text) => text.toUpperCase()),
};

function* refusing(reason: string): Generator<Value> {
  yield* [];
  throw new TemplateError(reason);
}

/** A filter of Jinja2, with `tojson` as in transformers; undefined for an unknown name. */
export function findFilter(name: string): Filter | undefined {
  if (MISSING.includes(name)) throw new UnsupportedError(`the filter '${name}'`);
  return Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
}

export const isFilter = (name: string): boolean => MISSING.includes(name) || Object.hasOwn(FILTERS, name);
