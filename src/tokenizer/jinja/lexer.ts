import { TemplateError, UnsupportedError } from './errors.ts';
import { int } from './numbers.ts';
import { hex, isBlank, strip } from './text.ts';
import { Float, type Value } from './values.ts';

export interface Token {
  /** `data`, `name`, `string`, `number`, an operator's text, or a tag's begin or end without its sign. */
  type: string;
  text: string;
  /** Value of a number. */
  value?: Value;
}

// Expressions as in jinja2/lexer.py; each pattern starts at the end of the last token.
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{N}\p{ID_Continue}]+/uy;
const STRING = /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y;
const OPERATOR = /\/\/|\*\*|[=!<>]=|[-+/*%~[\](){}<>=.:|,;]/y;
const RAW = /\{%[-+]?[\s\x1c-\x1f\x85]*raw[\s\x1c-\x1f\x85]*(-?)%\}/y;
const END_RAW = /\{%([-+]?)[\s\x1c-\x1f\x85]*endraw[\s\x1c-\x1f\x85]*([-+]?)%\}/g;

const CLOSING: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/** Tokenizes a template with `trim_blocks` and `lstrip_blocks`, after jinja2/lexer.py. */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  let at = 0;
  /** The position is at the start of a line, so a block may be alone on its line. */
  let startsLine = true;

  const matching = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  const skipBlanks = (): void => {
    while (isBlank(source[at])) at++;
  };
  /** Moves past a tag's end, `length` characters ahead. */
  const goOn = (length: number, sign: string, trims: boolean): void => {
    at += length;
    if (sign === '-') skipBlanks();
    else if (sign !== '+' && trims && source[at] === '\n') at++;
    startsLine = source[at - 1] === '\n';
  };
  /** Adds the text before a tag, without the white space that the tag's sign or line removes. */
  const addData = (text: string, sign: string, isOutput: boolean): void => {
    let kept = text;
    if (sign === '-') kept = strip(text, 'right');
    else if (sign !== '+' && !isOutput) {
      const line = text.lastIndexOf('\n') + 1;
      if ((line > 0 || startsLine) && strip(text.slice(line), 'left') === '') kept = text.slice(0, line);
    }
    if (kept !== '') tokens.push({ type: 'data', text: kept });
  };

  const readTag = (isOutput: boolean): void => {
    const end = isOutput ? '}}' : '%}';
    const open: string[] = [];
    for (;;) {
      if (open.length === 0) {
        const sign = !isOutput && source[at] === '+' ? '+' : source[at] === '-' ? '-' : '';
        if (source.startsWith(end, at + sign.length)) {
          tokens.push({ type: end, text: end });
          goOn(sign.length + 2, sign, !isOutput);
          return;
        }
      }
      if (at >= source.length) throw new TemplateError(`it ends within ${isOutput ? '{{' : '{%'}`);
      if (isBlank(source[at])) {
        at++;
        continue;
      }
      const token = readToken();
      tokens.push(token);
      const closing = CLOSING[token.type];
      if (closing !== undefined) open.push(closing);
      else if (/^[)\]}]$/.test(token.type) && open.pop() !== token.type)
        throw new TemplateError(`unexpected '${token.type}'`);
    }
  };

  const readToken = (): Token => {
    const take = (pattern: RegExp): string | undefined => {
      const text = matching(pattern)?.[0];
      at += text?.length ?? 0;
      return text;
    };
    let text = take(FLOAT);
    if (text !== undefined) return { type: 'number', text, value: new Float(Number(text.replaceAll('_', ''))) };
    text = take(INTEGER);
    if (text !== undefined) return { type: 'number', text, value: int(Number(text.replaceAll('_', ''))) };
    text = take(NAME);
    if (text !== undefined) {
      if (!/^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(text)) throw new TemplateError(`'${text}' is no name`);
      return { type: 'name', text };
    }
    text = take(STRING);
    if (text !== undefined) return { type: 'string', text: unescape(text.slice(1, -1)) };
    text = take(OPERATOR);
    if (text !== undefined) return { type: text, text };
    throw new TemplateError(`unexpected '${source[at] ?? ''}'`);
  };

  while (at < source.length) {
    let begin = at;
    while (begin < source.length && !(source[begin] === '{' && /[{%#]/.test(source[begin + 1] ?? '')))
      begin = source.indexOf('{', begin + 1) < 0 ? source.length : source.indexOf('{', begin + 1);
    const text = source.slice(at, begin);
    if (begin === source.length) {
      tokens.push({ type: 'data', text });
      break;
    }
    const sign = source[begin + 2] === '-' ? '-' : source[begin + 2] === '+' ? '+' : '';
    const kind = source[begin + 1];
    addData(text, sign, kind === '{');
    at = begin;
    const raw = kind === '%' ? matching(RAW) : null;
    if (raw) {
      goOn(raw[0].length, raw[1] ?? '', false);
      END_RAW.lastIndex = at;
      const end = END_RAW.exec(source);
      if (!end) throw new TemplateError('it has no {% endraw %}');
      addData(source.slice(at, end.index), end[1] ?? '', false);
      at = end.index;
      goOn(end[0].length, end[2] ?? '', true);
    } else if (kind === '#') {
      const end = source.indexOf('#}', begin + 2 + sign.length);
      if (end < 0) throw new TemplateError('it has no end of a comment');
      // The comment's opening sign is not its closing sign.
      const last = end > begin + 2 + sign.length ? source[end - 1] : '';
      at = end;
      goOn(2, last === '-' || last === '+' ? last : '', true);
    } else {
      at = begin + 2 + sign.length;
      tokens.push({ type: kind === '{' ? '{{' : '{%', text: '' });
      readTag(kind === '{');
    }
  }
  return tokens;
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', v: '\v', a: '\x07', '\\': '\\', "'": "'", '"': '"', '\n': '' },
};

/** Python's `unicode-escape` on a text whose characters beyond ASCII were escaped first. */
function unescape(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\(?:([0-7]{1,3})|x([^]{0,2})|u([^]{0,4})|U([^]{0,8})|([^]))/gu, (all, ...groups: unknown[]) => {
    const [octal, ...rest] = groups.slice(0, 5) as (string | undefined)[];
    const plain = rest.pop();
    if (octal !== undefined) return String.fromCharCode(parseInt(octal, 8));
    if (plain !== undefined) {
      if (plain === 'N') throw new UnsupportedError('a character by its name');
      const code = plain.codePointAt(0) ?? 0;
      if (code > 0x7f)
        return `\\${code < 0x100 ? `x${hex(code, 2)}` : code < 0x10000 ? `u${hex(code, 4)}` : `U${hex(code, 8)}`}`;
      return ESCAPES[plain] ?? all;
    }
    const digits = rest.find((part) => part !== undefined) ?? '';
    const code = parseInt(digits, 16);
    const length = { x: 2, u: 4, U: 8 }[all[1] ?? ''];
    if (!/^[\da-f]+$/i.test(digits) || digits.length !== length || code > 0x10ffff)
      throw new TemplateError(`'${all}' is no character`);
    return String.fromCodePoint(code);
  });
}
