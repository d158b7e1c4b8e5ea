import { TemplateError, UnsupportedError } from './errors.ts';
import { fixed, floatText, int } from './numbers.ts';
import { lengthOf, points } from './text.ts';
import {
  Dict,
  fail,
  Float,
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

/** Widest field: no text needs a wider one. */
const MOST_WIDTH = 10_000;

/** Python's `text % values`. */
export function formatPercent(text: string, values: Value, work: Work): string {
  const list = values instanceof Tuple ? values.items : [values];
  const dict = values instanceof Dict ? values : undefined;
  let taken = 0;
  const take = (): Value => {
    const value = list[taken++];
    if (value === undefined) throw new TemplateError('not enough arguments for a format');
    return value;
  };
  work.spend(text.length / 4);
  let isNamed = false;
  const written = text.replace(
    /%(?:\(([^()]*)\))?([-#0 +]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([^]?)/gu,
    (all: string, ...groups: unknown[]) => {
      const [name, flags = '', width, precision, type = ''] = groups.slice(0, 5) as (string | undefined)[];
      if (all.startsWith('%(') && name === undefined) throw new UnsupportedError('brackets in the name of a format');
      if (type === '%') {
        if (all === '%%') return '%';
        throw new UnsupportedError(`the format '${all}'`);
      }
      let value: Value = null;
      const number = (part: string | undefined): number | undefined => {
        if (part === undefined) return undefined;
        if (part !== '*') return Number(part);
        const star = take();
        if (typeof star !== 'number') throw new TemplateError('* wants int');
        if (star < 0) throw new UnsupportedError('a format of negative width');
        return star;
      };
      if (name !== undefined) {
        if (!dict) throw new TemplateError('format requires a mapping');
        isNamed = true;
        const named = dict.get(name);
        if (named === undefined) throw new TemplateError(`a format needs '${name}'`);
        value = named;
      }
      const columns = number(width) ?? 0;
      const decimals = number(precision);
      if (name === undefined) value = take();
      const body = convert(type, value, flags, decimals, work);
      return pad(body, columns, flags, 'diufFxXo'.includes(type), work);
    },
  );
  const isMapping =
    dict !== undefined || Array.isArray(values) || values instanceof Range || values instanceof Undefined;
  if (!isNamed && taken < list.length && !isMapping)
    throw new TemplateError('not all arguments converted during string formatting');
  work.spend(written.length / 4);
  return written;
}

function convert(type: string, value: Value, flags: string, decimals: number | undefined, work: Work): string {
  if (flags.includes('#')) throw new UnsupportedError('the flag # of a format');
  const cut = (text: string): string => (decimals === undefined ? text : points(text).slice(0, decimals).join(''));
  const signed = (text: string): string =>
    text.startsWith('-') ? text : `${flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''}${text}`;
  switch (type) {
    case 's':
      if (value instanceof Markup) throw new UnsupportedError('a format of what safe or escape gave');
      return cut(textFor(value, work));
    case 'r':
      return cut(repr(value, work));
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      fail(value);
      const number = numberOf(value);
      if (number === undefined || ('xXo'.includes(type) && value instanceof Float))
        throw new TemplateError(`%${type} format: a number is required, not ${typeName(value)}`);
      if (!Number.isFinite(number)) throw new TemplateError('cannot convert float to integer');
      const whole = int(Math.trunc(number));
      const digits = Math.abs(whole).toString(type === 'o' ? 8 : type.toLowerCase() === 'x' ? 16 : 10);
      const text = (type === 'X' ? digits.toUpperCase() : digits).padStart(decimals ?? 0, '0');
      return signed(whole < 0 ? `-${text}` : text);
    }
    case 'f':
    case 'F': {
      fail(value);
      const number = numberOf(value);
      if (number === undefined) throw new TemplateError(`must be real number, not ${typeName(value)}`);
      const text = fixed(number, decimals ?? 6);
      return signed(type === 'F' ? text.toUpperCase() : text);
    }
    case 'c':
      if (typeof value === 'string' && lengthOf(value) === 1) return value;
      if (typeof value === 'number' && value >= 0 && value < 0x110000) return String.fromCodePoint(value);
      throw new TemplateError('%c requires int or char');
    case 'e':
    case 'E':
    case 'g':
    case 'G':
    case 'a':
      throw new UnsupportedError(`the format %${type}`);
    default:
      throw new TemplateError(`unsupported format character '${type}'`);
  }
}

function pad(text: string, width: number, flags: string, isNumber: boolean, work: Work): string {
  const missing = width - lengthOf(text);
  if (missing <= 0) return text;
  checkWidth(width, work);
  if (flags.includes('-')) return text + ' '.repeat(missing);
  if (!isNumber || !flags.includes('0') || (/[a-z]/i.test(text.slice(-1)) && /inf|nan/i.test(text)))
    return ' '.repeat(missing) + text;
  const sign = /^[-+ ]?/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

function checkWidth(width: number, work: Work): void {
  work.spend(width / 4);
  if (width > MOST_WIDTH) throw new UnsupportedError(`a format of more than ${MOST_WIDTH} columns`);
}

/** How the fields of `str.format` reach into what they are given. */
export interface Fields extends Work {
  getattr(object: Value, name: string): Value;
  getitem(object: Value, key: Value): Value;
}

/** Python's `text.format(*args, **kwargs)`. */
export function formatBraces(
  text: string,
  args: readonly Value[],
  named: (name: string) => Value | undefined,
  fields: Fields,
): string {
  let next = 0;
  let isNumbered: boolean | undefined;
  const choose = (isExplicit: boolean): void => {
    if (isNumbered !== undefined && isNumbered !== isExplicit)
      throw new TemplateError('cannot switch between automatic and manual numbering of fields');
    isNumbered = isExplicit;
  };
  const argument = (name: string): Value => {
    let value: Value | undefined;
    if (name === '' || /^\d+$/.test(name)) {
      choose(name !== '');
      value = args[name === '' ? next++ : Number(name)];
    } else value = named(name);
    if (value === undefined) throw new TemplateError(`a format needs '${name}'`);
    return value;
  };
  const lookUp = (path: string): Value => {
    const match = /^([^.[]*)((?:\.[^.[]+|\[[^\]]+\])*)$/.exec(path);
    if (!match) throw new TemplateError(`'${path}' is no field of a format`);
    let value = argument(match[1] ?? '');
    for (const [step] of (match[2] ?? '').matchAll(/\.[^.[]+|\[[^\]]+\]/g)) {
      const key = step.startsWith('.') ? step.slice(1) : step.slice(1, -1);
      if (step.startsWith('.')) value = fields.getattr(value, key);
      else value = fields.getitem(value, /^\d+$/.test(key) ? Number(key) : key);
    }
    return value;
  };
  const expand = (template: string, depth: number): string => {
    if (depth > 1) throw new TemplateError('a format is nested too deep');
    let written = '';
    for (let at = 0; at < template.length; at++) {
      const character = template[at] ?? '';
      if (character !== '{' && character !== '}') {
        written += character;
        continue;
      }
      if (template[at + 1] === character) {
        written += character;
        at++;
        continue;
      }
      if (character === '}') throw new TemplateError("single '}' in a format");
      const end = closing(template, at);
      const match = /^([^!:]*)(?:!([^:]*))?(?::([^]*))?$/.exec(template.slice(at + 1, end));
      if (!match) throw new TemplateError('a field of a format cannot be read');
      const [, path = '', conversion, spec = ''] = match;
      let value = lookUp(path);
      if (conversion !== undefined) value = converted(value, conversion, fields);
      written += formatValue(value, expand(spec, depth + 1), fields);
      at = end;
    }
    return written;
  };
  fields.spend(text.length);
  const written = expand(text, 0);
  fields.spend(written.length / 4);
  return written;
}

function closing(template: string, start: number): number {
  let depth = 0;
  for (let at = start; at < template.length; at++) {
    if (template[at] === '{') depth++;
    else if (template[at] === '}' && --depth === 0) return at;
  }
  throw new TemplateError("expected '}' in a format");
}

function converted(value: Value, conversion: string, work: Work): string {
  if (conversion === 's') return textFor(value, work);
  if (conversion === 'r') return repr(value, work);
  if (conversion === 'a') throw new UnsupportedError('the conversion !a of a format');
  throw new TemplateError(`unknown conversion '${conversion}' of a format`);
}

/** Python's `format(value, spec)`. */
function formatValue(value: Value, spec: string, work: Work): string {
  if (spec === '') return textFor(value, work);
  const match = /^(?:([^])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([^])?$/u.exec(spec);
  if (!match) throw new TemplateError(`'${spec}' is no format`);
  const [, fill, align, sign = '', z, hash, zero, width, grouping = '', precision, type = ''] = match;
  if (z !== undefined || hash !== undefined) throw new UnsupportedError(`the format '${spec}'`);
  const number = numberOf(value);
  let body: string;
  let side = align;
  if (number !== undefined) {
    body = formatNumber(value, number, { sign, grouping, precision, type });
    side ??= zero === undefined ? '>' : '=';
    if (side === '=' && grouping !== '' && width !== undefined) throw new UnsupportedError(`the format '${spec}'`);
  } else if (typeof value === 'string') {
    if (type !== '' && type !== 's') throw new TemplateError(`unknown format '${type}' of a str`);
    if (sign !== '' || grouping !== '' || side === '=')
      throw new TemplateError(`a str cannot be formatted by '${spec}'`);
    body = precision === undefined ? value : points(value).slice(0, Number(precision)).join('');
    side ??= '<';
  } else if (value instanceof Undefined || value instanceof Markup)
    throw new UnsupportedError(`the format '${spec}' of ${typeName(value)}`);
  else throw new TemplateError(`unsupported format of ${typeName(value)}`);
  const missing = Math.max(0, Number(width ?? 0) - lengthOf(body));
  if (missing === 0) return body;
  checkWidth(Number(width), work);
  const blank = fill ?? (zero === undefined ? ' ' : '0');
  switch (side) {
    case '<':
      return body + blank.repeat(missing);
    case '^':
      return blank.repeat(Math.floor(missing / 2)) + body + blank.repeat(Math.ceil(missing / 2));
    case '=': {
      const front = /^[-+ ]?/.exec(body)?.[0] ?? '';
      return front + blank.repeat(missing) + body.slice(front.length);
    }
    default:
      return blank.repeat(missing) + body;
  }
}

function formatNumber(
  value: Value,
  number: number,
  { sign, grouping, precision, type }: { sign: string; grouping: string; precision: string | undefined; type: string },
): string {
  const isFloat = value instanceof Float;
  let digits: string;
  const size = Math.abs(number);
  if (!isFloat && ['', 'd', 'x', 'X', 'o', 'b'].includes(type)) {
    if (precision !== undefined) throw new TemplateError('precision not allowed in the format of an int');
    digits = size.toString({ x: 16, X: 16, o: 8, b: 2 }[type] ?? 10);
    if (type === 'X') digits = digits.toUpperCase();
    if (grouping === ',' && !['', 'd'].includes(type)) throw new TemplateError(`cannot use ',' with '${type}'`);
    if (grouping !== '' && !['', 'd'].includes(type)) throw new UnsupportedError(`'${grouping}' with '${type}'`);
  } else if (type === 'f' || type === 'F') digits = fixed(size, precision === undefined ? 6 : Number(precision));
  else if (type === '%') digits = `${fixed(size * 100, precision === undefined ? 6 : Number(precision))}%`;
  else if (type === '' && precision === undefined) digits = floatText(size);
  else if (['', 'e', 'E', 'g', 'G', 'n', 'c'].includes(type))
    throw new UnsupportedError(`the format '${type}' of a number`);
  else throw new TemplateError(`unknown format '${type}' of a number`);
  if (grouping !== '') {
    const [whole = '', ...rest] = digits.split(/(?=[^\d])/);
    digits = whole.replace(/\B(?=(?:\d{3})+$)/g, grouping) + rest.join('');
  }
  const isNegative = number < 0 || Object.is(number, -0);
  return (isNegative ? '-' : sign === '-' ? '' : sign) + digits;
}
