import { TemplateError } from './errors.ts';
import { floatText } from './numbers.ts';
import { hex } from './text.ts';
import { Dict, Float, Markup, sorted, textFor, Tuple, typeName, type Value, type Work } from './values.ts';

export interface JsonOptions {
  isAscii: boolean;
  /** What a level is indented by; undefined: all in one line. */
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
