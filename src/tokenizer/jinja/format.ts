import { TemplateError, UnsupportedError } from './errors.ts';
import { fixed, floatText, int } from './numbers.ts';
import { hex, points } from './text.ts';
import {
  Dict,
  fail,
  Float,
  Markup,
  numberOf,
  Range,
  repr,
  sorted,
  textFor,
  Tuple,
  typeName,
  Undefined,
  type Value,
  type Work,
} from './values.ts';

/** Python's `text % values`, without widths and flags. */
export function formatPercent(text: string, values: Value, work: Work): string {
  const list = values instanceof Tuple ? values.items : [values];
  let taken = 0;
  work.spend(text.length / 4);
  const written = text.replace(/%(?:\.(\d+))?([^]?)/gu, (all: string, precision: string | undefined, type: string) => {
    if (all === '%%') return '%';
    if (!'srdif'.includes(type) || type === '') throw new UnsupportedError(`the format '${all}'`);
    const value = list[taken++];
    if (value === undefined) throw new TemplateError('too few arguments');
    const decimals = precision === undefined ? undefined : Number(precision);
    return convert(type, value, decimals, work);
  });
  const isMapping = [Dict, Range, Undefined].some((type) => values instanceof type) || Array.isArray(values);
  if (taken < list.length && !isMapping) throw new TemplateError('too many arguments');
  work.spend(written.length / 4);
  return written;
}

function convert(type: string, value: Value, decimals: number | undefined, work: Work): string {
  if (type === 's' || type === 'r') {
    if (value instanceof Markup) throw new UnsupportedError('a format of what safe or escape gave');
    const text = type === 's' ? textFor(value, work) : repr(value, work);
    return decimals === undefined ? text : points(text).slice(0, decimals).join('');
  }
  fail(value);
  const number = numberOf(value);
  if (number === undefined) throw new TemplateError(`%${type} of ${typeName(value)}`);
  if (type === 'f') return fixed(number, decimals ?? 6);
  if (!Number.isFinite(number)) throw new TemplateError('no integer');
  if (decimals !== undefined) throw new UnsupportedError('a format of an integer with decimals');
  return String(int(Math.trunc(number)));
}

/** Access to attributes and items from fields of `str.format`. */
export interface Fields extends Work {
  getattr(object: Value, name: string): Value;
  getitem(object: Value, key: Value): Value;
}

/** Python's `text.format(*args, **kwargs)`, whose fields are names or numbers. */
export function formatBraces(
  text: string,
  args: readonly Value[],
  named: (name: string) => Value | undefined,
  work: Work,
): string {
  let next = 0;
  let isCounted: boolean | undefined;
  work.spend(text.length);
  return text.replace(/\{\{|\}\}|\{(\w*)\}|[{}]/g, (all: string, name?: string) => {
    if (all === '{{' || all === '}}') return all.slice(1);
    if (name === undefined) throw new UnsupportedError('more than a name in a field of a format');
    let value: Value | undefined;
    if (/^\d*$/.test(name)) {
      if (isCounted === (name !== '')) throw new TemplateError('mixed fields');
      isCounted = name === '';
      value = args[isCounted ? next++ : Number(name)];
    } else value = named(name);
    if (value === undefined) throw new TemplateError(`a format needs '${name}'`);
    const written = textFor(value, work);
    work.spend(written.length / 4);
    return written;
  });
}

export interface JsonOptions {
  isAscii: boolean;
  /** Indentation per level; undefined: one line. */
  indent: string | undefined;
  separators: readonly [item: string, key: string];
  sortsKeys: boolean;
}

const NAMED: Readonly<Record<string, string>> = {
  ...{ '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\b': '\\b', '\f': '\\f' },
};

/** Python's `json.dumps`. */
export function toJson(value: Value, options: JsonOptions, work: Work): string {
  const { isAscii, indent, separators, sortsKeys } = options;
  const write = (one: Value, newline: string): string => {
    work.spend(1);
    if (one === null) return 'null';
    if (typeof one === 'boolean') return String(one);
    if (typeof one === 'number') return String(one);
    if (one instanceof Float) return jsonNumber(one.value);
    if (typeof one === 'string' || one instanceof Markup) return text(textFor(one, work));
    return work.deeper(() => {
      const inner = indent === undefined ? '' : newline + indent;
      const enclosed = (open: string, parts: string[], close: string): string => {
        if (parts.length === 0) return open + close;
        const joined = `${open}${inner}${parts.join(separators[0] + inner)}${indent === undefined ? '' : newline}${close}`;
        work.spend(joined.length / 4);
        return joined;
      };
      if (Array.isArray(one) || one instanceof Tuple) {
        const items = Array.isArray(one) ? one : one.items;
        return enclosed(
          '[',
          items.map((item) => write(item, inner)),
          ']',
        );
      }
      if (!(one instanceof Dict)) throw new TemplateError(`tojson of ${typeName(one)}`);
      const pairs = one.items();
      const ordered = sortsKeys ? sorted(pairs, (pair) => pair, false, work) : pairs;
      const parts = (ordered as Tuple[]).map(
        ({ items: [key = null, inside = null] }) => text(keyText(key)) + separators[1] + write(inside, inner),
      );
      return enclosed('{', parts, '}');
    });
  };
  const text = (one: string): string => {
    work.spend(one.length / 4);
    let written = '';
    for (let at = 0; at < one.length; at++) {
      const character = one[at] ?? '';
      const code = one.charCodeAt(at);
      const isEscaped = code < 0x20 || character === '"' || character === '\\' || (isAscii && code > 0x7e);
      written += isEscaped ? (NAMED[character] ?? `\\u${hex(code, 4)}`) : character;
    }
    return `"${written}"`;
  };
  return write(value, '\n');
}

function keyText(key: Value): string {
  if (typeof key === 'string') return key;
  if (key instanceof Float) return jsonNumber(key.value);
  if (key === null) return 'null';
  if (typeof key === 'boolean' || typeof key === 'number') return String(key);
  throw new TemplateError(`tojson of ${typeName(key)}`);
}

function jsonNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  return floatText(value);
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June'],
  ...['July', 'August', 'September', 'October', 'November', 'December'],
];

const two = (value: number): string => String(value).padStart(2, '0');
const hours12 = (date: Date): number => date.getHours() % 12 || 12;
const PARTS: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => (DAYS[date.getDay()] ?? '').slice(0, 3),
  A: (date) => DAYS[date.getDay()] ?? '',
  b: (date) => (MONTHS[date.getMonth()] ?? '').slice(0, 3),
  B: (date) => MONTHS[date.getMonth()] ?? '',
  d: (date) => two(date.getDate()),
  H: (date) => two(date.getHours()),
  I: (date) => two(hours12(date)),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  S: (date) => two(date.getSeconds()),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  '%': () => '%',
};

const WHOLE: Readonly<Record<string, string>> = { F: '%Y-%m-%d', R: '%H:%M', T: '%H:%M:%S' };

/** Python's `strftime` in the C locale, which templates expect. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-]?)([^]?)/gu, (all, flag: string, letter: string) => {
    const whole = WHOLE[letter];
    if (whole !== undefined && flag === '') return strftime(date, whole);
    const part = Object.hasOwn(PARTS, letter) ? PARTS[letter]?.(date) : undefined;
    if (part === undefined) throw new UnsupportedError(`the date's format '${all}'`);
    return flag === '-' ? part.replace(/^[0 ]+(?=\d)/, '') : part;
  });
}
