import { MOST_DEPTH, MOST_REPETITIONS, readCharacter, readHex, readQuoted, type TextReader } from './text-reader.ts';

/** A node of a rule or a terminal. `at`: its position in the text. */
export type LarkNode =
  | { kind: 'text'; text: string; ignoresCase: boolean; at: number }
  | { kind: 'range'; first: string; last: string; at: number }
  | { kind: 'pattern'; source: string; flags: string; at: number }
  | { kind: 'name'; name: string; at: number }
  /** `<name>` or `<[ids]>`. */
  | { kind: 'token'; written: string; at: number }
  | { kind: 'json'; schema: unknown; at: number }
  /** Any run of consecutive chunks. */
  | { kind: 'substring'; chunks: readonly string[]; at: number }
  | { kind: 'grammar'; grammar: LarkGrammar; at: number }
  | { kind: 'sequence' | 'choice' | 'and'; parts: readonly LarkNode[]; at: number }
  | { kind: 'not'; part: LarkNode; at: number }
  | { kind: 'repeat'; part: LarkNode; least: number; most: number };

export interface LarkRule {
  body: LarkNode;
  at: number;
  isLazy: boolean;
  stop?: LarkNode;
  suffix?: LarkNode;
}

/** The syntax tree of a grammar in Lark's syntax. */
export interface LarkGrammar {
  rules: Map<string, LarkRule>;
  terminals: Map<string, { body: LarkNode; at: number }>;
  /** For %import: the imported names, with their names in Lark's `common`. */
  imports: Map<string, { path: string; at: number }>;
  ignored: LarkNode[];
  allowsInitialSkip: boolean;
  ignoresOnce: boolean;
}

const RULE = /^_?[a-z][_a-z0-9-]*$/;
const TERMINAL = /^_?[A-Z][_A-Z0-9-]*$/;
const NAME = /[A-Za-z_](?:[\w]|-(?!>))*/y;
const COMMENT = /(?:#|\/\/)[^\n]*/y;
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '"': '"', "'": "'", '\\': '\\', '/': '/' },
  ...{ b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' },
};
/** Attributes of llguidance that concern tokens. */
const REFUSED_ATTRIBUTES: ReadonlySet<string> = new Set(['max_tokens', 'temperature']);

/**
 * Parses a grammar as llguidance does (docs/syntax.md): Lark's syntax and its extensions. Throws a `GrammarError` with
 * line and column, also for syntax that is known but not supported: templates, parameters, `%override`, `%declare`,
 * references to other grammars, `max_tokens` and `temperature`.
 */
export function parseLark(reader: TextReader): LarkGrammar {
  return new LarkParser(reader).grammar();
}

class LarkParser {
  #depth = 0;
  /** Number of open parentheses: newlines within them are white space. */
  #open = 0;

  constructor(private readonly reader: TextReader) {}

  /** Parses the whole text, or the braces after %lark. */
  grammar(isNested = false): LarkGrammar {
    const { reader } = this;
    const grammar: LarkGrammar = {
      ...{ rules: new Map(), terminals: new Map(), imports: new Map(), ignored: [] },
      ...{ allowsInitialSkip: false, ignoresOnce: false },
    };
    for (;;) {
      this.#lines();
      if (isNested ? reader.take('}') : reader.isAtEnd) return grammar;
      if (reader.isAtEnd) throw reader.expected('"}"');
      if (reader.startsWith('%')) this.#statement(grammar);
      else this.#definition(grammar);
      this.#space();
      if (!reader.isAtEnd && !/[\r\n]/.test(reader.next) && !(isNested && reader.startsWith('}')))
        throw reader.expected('the end of the line');
    }
  }

  /** Skips white space and comments on this line; within parentheses, on any line. */
  #space(): void {
    do this.reader.match(this.#open > 0 ? /[ \t\r\n]+/y : /[ \t]+|\r(?=\n)/y);
    while (this.reader.match(COMMENT) !== undefined);
  }

  /** Skips white space and comments on any line. */
  #lines(): void {
    do this.reader.match(/[ \t\r\n]+/y);
    while (this.reader.match(COMMENT) !== undefined);
  }

  #take(mark: string): boolean {
    this.#space();
    return this.reader.take(mark);
  }

  #expect(mark: string): void {
    if (!this.#take(mark)) throw this.reader.expected(JSON.stringify(mark));
  }

  #definition(grammar: LarkGrammar): void {
    const { reader } = this;
    const start = reader.at;
    const { at } = reader;
    reader.match(/!?\??/y);
    const name = this.#name();
    const isTerminal = TERMINAL.test(name);
    this.#refuse('{', `templates are not supported`);
    this.#refuse('::', `parameters are not supported`);
    if (this.#take('.')) this.#integer(); // priorities choose between readings, all of which match
    const attributes = isTerminal ? { isLazy: false } : this.#attributes();
    this.#expect(':');
    const body = this.#choice();
    const { rules, terminals, imports } = grammar;
    if (rules.has(name) || terminals.has(name) || imports.has(name))
      throw reader.error(`${JSON.stringify(name)} is defined twice`, start);
    if (isTerminal) terminals.set(name, { body, at });
    else rules.set(name, { body, at, ...attributes });
  }

  #refuse(mark: string, reason: string): void {
    this.#space();
    if (this.reader.startsWith(mark)) throw this.reader.error(reason);
  }

  #name(): string {
    const { reader } = this;
    this.#space();
    const start = reader.at;
    const name = reader.match(NAME);
    if (name === undefined) throw reader.expected('a name');
    if (RULE.test(name) || TERMINAL.test(name)) return name;
    throw reader.error(
      `${JSON.stringify(name)} is neither a rule, which is in small letters, nor a terminal, which is in capitals`,
      start,
    );
  }

  #attributes(): Pick<LarkRule, 'isLazy' | 'stop' | 'suffix'> {
    const { reader } = this;
    const attributes: Pick<LarkRule, 'isLazy' | 'stop' | 'suffix'> = { isLazy: false };
    if (!this.#take('[')) return attributes;
    while (!this.#take(']')) {
      this.#space();
      const start = reader.at;
      const name = this.#name();
      const hasValue = this.#take('=');
      if (REFUSED_ATTRIBUTES.has(name)) throw reader.error(`${name} is not supported`, start);
      if (name === 'lazy' && !hasValue) attributes.isLazy = true;
      else if ((name === 'stop' || name === 'suffix') && hasValue) {
        if (attributes.stop ?? attributes.suffix) throw reader.error('a rule has one stop or suffix', start);
        attributes[name] = this.#value();
      } else if (name === 'capture' || name === 'stop_capture') {
        if (hasValue) this.#value();
      } else throw reader.error(`${JSON.stringify(name)} is no attribute that is known`, start);
      if (!this.#take(',')) this.#refuseAllBut(']');
    }
    return attributes;
  }

  #refuseAllBut(mark: string): void {
    this.#space();
    if (!this.reader.startsWith(mark)) throw this.reader.expected(JSON.stringify(mark));
  }

  #statement(grammar: LarkGrammar): void {
    const { reader } = this;
    const start = reader.at;
    const name = reader.match(/%[a-z]+/y);
    if (name === '%ignore') grammar.ignored.push(this.#choice());
    else if (name === '%import') this.#import(grammar);
    else if (name === '%llguidance') this.#options(grammar, start);
    else throw reader.error(`${name ?? '%'} is not supported`, start);
  }

  #import({ imports, rules, terminals }: LarkGrammar): void {
    const { reader } = this;
    const start = reader.at;
    const names: string[] = [];
    if (this.#take('.')) throw reader.error('only common can be imported', start);
    do names.push(this.#name());
    while (this.#take('.'));
    const add = (name: string, path: string): void => {
      if (rules.has(name) || terminals.has(name) || imports.has(name))
        throw reader.error(`${JSON.stringify(name)} is defined twice`, start);
      imports.set(name, { path, at: start });
    };
    if (this.#take('(')) {
      do {
        const name = this.#name();
        add(name, [...names, name].join('.'));
      } while (this.#take(','));
      this.#expect(')');
    } else add(this.#take('->') ? this.#name() : (names.at(-1) ?? ''), names.join('.'));
  }

  #options(grammar: LarkGrammar, start: number): void {
    const options = this.#json();
    for (const [name, value] of Object.entries(options as Record<string, unknown>)) {
      const isKnown = ['allow_initial_skip', 'ignore_once', 'no_forcing'].includes(name);
      if (!isKnown || typeof value !== 'boolean')
        throw this.reader.error(`%llguidance has no ${JSON.stringify(name)} here, or it is not true or false`, start);
      if (name === 'allow_initial_skip') grammar.allowsInitialSkip = value;
      if (name === 'ignore_once') grammar.ignoresOnce = value;
    }
  }

  #choice(): LarkNode {
    const { reader } = this;
    if (++this.#depth > MOST_DEPTH) throw reader.error(`groups are nested more than ${MOST_DEPTH} deep`);
    this.#space();
    const { at } = reader;
    const parts = [this.#alternative()];
    while (this.#takeBar()) parts.push(this.#alternative());
    this.#depth--;
    return parts.length === 1 ? (parts[0] as LarkNode) : { kind: 'choice', parts, at };
  }

  /** Takes a bar, which may be on a later line. */
  #takeBar(): boolean {
    const { reader } = this;
    if (this.#take('|')) return true;
    const { at } = reader;
    this.#lines();
    if (reader.take('|')) return true;
    reader.at = at;
    return false;
  }

  #alternative(): LarkNode {
    const { at } = this.reader;
    const parts = [this.#sequence()];
    while (this.#take('&')) parts.push(this.#sequence());
    if (this.#take('->')) this.#name(); // names a node of the parse tree, which is not built
    this.#refuse('%if', '%if is not supported');
    return parts.length === 1 ? (parts[0] as LarkNode) : { kind: 'and', parts, at };
  }

  #sequence(): LarkNode {
    const { reader } = this;
    this.#space();
    const { at } = reader;
    const parts: LarkNode[] = [];
    for (; ; this.#space()) {
      if (reader.isAtEnd || /[\r\n|&)\]}]/.test(reader.next) || reader.startsWith('->') || reader.startsWith('%if'))
        break;
      parts.push(this.#repeated());
    }
    return parts.length === 1 ? (parts[0] as LarkNode) : { kind: 'sequence', parts, at };
  }

  #repeated(): LarkNode {
    const { reader } = this;
    const part = this.#atom();
    this.#space();
    const start = reader.at;
    let counts: [least: number, most: number] | undefined;
    if (reader.take('*')) counts = [0, Infinity];
    else if (reader.take('+')) counts = [1, Infinity];
    else if (reader.take('?')) counts = [0, 1];
    else if (reader.match(/~(?=[ \t]*\d)/y) !== undefined) {
      const least = this.#integer();
      counts = [least, this.#take('..') ? this.#integer() : least];
    } else if (reader.take('{')) counts = this.#countsInBraces();
    if (!counts) return part;
    const [least, most] = counts;
    if (most < least) throw reader.error(`cannot be repeated ${least} times at least and ${most} at most`, start);
    return { kind: 'repeat', part, least, most };
  }

  #countsInBraces(): [least: number, most: number] {
    this.#space();
    const least = this.reader.startsWith(',') ? 0 : this.#integer();
    let most = least;
    if (this.#take(',')) {
      this.#space();
      most = this.reader.startsWith('}') ? Infinity : this.#integer();
    }
    this.#expect('}');
    return [least, most];
  }

  #integer(): number {
    const { reader } = this;
    this.#space();
    const start = reader.at;
    const digits = reader.match(/[+-]?\d+/y);
    if (digits === undefined) throw reader.expected('a number');
    const number = Number(digits);
    if (number >= 0 && number <= MOST_REPETITIONS) return number;
    throw reader.error(`must be from 0 to ${MOST_REPETITIONS}, but is ${digits}`, start);
  }

  #atom(): LarkNode {
    const { reader } = this;
    const { at } = reader;
    if (reader.take('~')) {
      this.#space();
      return { kind: 'not', part: this.#atom(), at };
    }
    if (reader.take('(')) return this.#group(')');
    if (reader.take('[')) return { kind: 'repeat', part: this.#group(']'), least: 0, most: 1 };
    return this.#value();
  }

  #group(close: string): LarkNode {
    this.#open++;
    const inner = this.#choice();
    this.#expect(close);
    this.#open--;
    return inner;
  }

  #value(): LarkNode {
    const { reader } = this;
    this.#space();
    const start = reader.at;
    const { at } = reader;
    if (reader.startsWith('"')) return this.#textOrRange(at);
    if (reader.startsWith('/')) return this.#pattern(at);
    if (reader.startsWith('@')) throw reader.error('other grammars cannot be referred to');
    const written = reader.match(/<[^<>\s]+>/y);
    if (written !== undefined) return { kind: 'token', written, at };
    if (reader.take('%json')) return { kind: 'json', schema: this.#json(), at };
    if (reader.take('%regex')) return { kind: 'substring', chunks: this.#chunks(start), at };
    if (reader.take('%lark')) return this.#nested(at);
    if (reader.startsWith('%')) throw reader.error(`${reader.match(/%\w*/y) ?? ''} is not supported`, start);
    const name = this.#name();
    if (reader.startsWith('{') && !/^\{\s*[\d,+-]/.test(reader.text.slice(reader.at, reader.at + 40)))
      throw reader.error('templates are not supported');
    if (reader.startsWith('::')) throw reader.error('parameters are not supported');
    return { kind: 'name', name, at };
  }

  #textOrRange(at: number): LarkNode {
    const { reader } = this;
    const start = reader.at;
    const text = this.#text();
    const ignoresCase = reader.match(/i(?![\w-])/y) !== undefined;
    if (!this.#take('..')) return { kind: 'text', text, ignoresCase, at };
    this.#space();
    const last = this.#text();
    if ([...text].length !== 1 || [...last].length !== 1 || ignoresCase)
      throw reader.error('a range goes from one character to another', start);
    if ((text.codePointAt(0) ?? 0) > (last.codePointAt(0) ?? 0))
      throw reader.error('the range ends before it begins', start);
    return { kind: 'range', first: text, last, at };
  }

  #text(): string {
    return readQuoted(this.reader, () => this.#character());
  }

  /** A character of a text, which may be escaped. */
  #character(): string {
    const { reader } = this;
    const start = reader.at;
    if (!reader.take('\\')) return readCharacter(reader);
    if (reader.take('u')) return readHex(reader, 4);
    if (reader.take('x')) return readHex(reader, 2);
    const { next } = reader;
    const character = Object.hasOwn(ESCAPES, next) ? ESCAPES[next] : undefined;
    if (character === undefined) throw reader.error(`\\${next} stands for no character`, start);
    reader.at += next.length;
    return character;
  }

  #pattern(at: number): LarkNode {
    const { reader } = this;
    const start = reader.at++;
    while (!reader.startsWith('/')) {
      if (reader.isAtEnd || reader.startsWith('\n'))
        throw reader.error('the regular expression is not closed on its line', start);
      reader.at += reader.startsWith('\\') ? 2 : 1;
    }
    const source = reader.text.slice(start + 1, reader.at);
    reader.at++;
    const flags = reader.match(/[a-z]*/y) ?? '';
    if (!/^[imsux]*$/.test(flags)) throw reader.error(`has flags other than i, m, s, u and x: ${flags}`, start);
    return { kind: 'pattern', source, flags, at };
  }

  /** Parses the JSON object that comes next. */
  #json(): unknown {
    const { reader } = this;
    this.#lines();
    const start = reader.at;
    if (!reader.startsWith('{')) throw reader.expected('an object of JSON');
    const end = endOfJson(reader.text, start);
    if (end === undefined) throw reader.error('the object of JSON is not closed', start);
    reader.at = end;
    try {
      return JSON.parse(reader.text.slice(start, end)) as unknown;
    } catch (cause) {
      throw reader.error(`is not JSON: ${(cause as Error).message}`, start);
    }
  }

  #chunks(start: number): string[] {
    const given = this.#json() as Record<string, unknown>;
    const [[name, value] = ['', undefined], ...others] = Object.entries(given);
    let chunks: unknown;
    if (others.length > 0) chunks = undefined;
    else if (name === 'substring_chunks') chunks = value;
    else if (name === 'substring_chars' && typeof value === 'string') chunks = [...value];
    else if (name === 'substring_words' && typeof value === 'string') chunks = value.match(WORDS) ?? [];
    if (!Array.isArray(chunks) || !chunks.every((chunk) => typeof chunk === 'string'))
      throw this.reader.error('%regex has one of substring_chunks, substring_words and substring_chars', start);
    return chunks;
  }

  #nested(at: number): LarkNode {
    this.#expect('{');
    const open = this.#open;
    this.#open = 0;
    const grammar = this.grammar(true);
    this.#open = open;
    return { kind: 'grammar', grammar, at };
  }
}

/** Runs of letters and digits, of white space, and of other characters. */
const WORDS = /[\p{Alphabetic}\p{N}_]+|\p{White_Space}+|[^\p{Alphabetic}\p{N}_\p{White_Space}]+/gu;

/** The position after the JSON object or array that begins at `start`; undefined if it does not end. */
function endOfJson(text: string, start: number): number | undefined {
  let depth = 0;
  let isInText = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (isInText) {
      if (char === '\\') at++;
      else if (char === '"') isInText = false;
    } else if (char === '"') isInText = true;
    else if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && --depth === 0) return at + 1;
  }
  return undefined;
}
