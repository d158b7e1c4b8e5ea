import { TemplateError, UnsupportedError } from './errors.ts';
import { fixed, int } from './numbers.ts';
import { points } from './text.ts';
import {
  Dict,
  fail,
  Markup,
  numberOf,
  Range,
  repr,
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

/** How the fields of `str.format` reach into what they are given. */
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
