import type { GrammarBuilder, Sym } from '../grammar.ts';
import { controlBytes } from '../parser/token-trie.ts';
import type { Range } from '../regex/regexes.ts';
import { complement } from '../regex/utf8.ts';
import { compileRules, type Expression, weightOfCharacters, weightOfText } from './expressions.ts';
import { type ControlTokens, textUpTo, textWithout } from './free-text.ts';
import { MOST_DEPTH, MOST_REPETITIONS, readCharacter, readHex, readQuoted, TextReader } from './text-reader.ts';

const SPACE = /(?:[ \t\r\n]+|#[^\n]*)*/y;
/** No name begins with a dot, which stands for any character. */
const NAME = /[\w-][\w.-]*/y;
const COUNT = /\d+/y;

/** Escapes in texts and classes. */
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '"': '"', "'": "'", '?': '?', '\\': '\\', '/': '/', '[': '[', ']': ']', '-': '-' },
  ...{ n: '\n', r: '\r', t: '\t', b: '\b', f: '\f', a: '\x07', v: '\v', e: '\x1b', 0: '\0' },
};
/** Further characters that may be escaped in classes, where they stand for themselves. */
const CLASS_ESCAPES = '^$.*+(){}|';

/**
 * Compiles a grammar in XGrammar's EBNF (its page "EBNF Grammar") or llama.cpp's GBNF (grammars/README.md) and returns
 * the symbol of the rule `root`. Classes contain Unicode characters. As in XGrammar, `\x` takes all hexadecimal digits
 * that follow, and a lookahead assertion `(= …)` is parsed but not enforced. `TagDispatch` is the only supported macro
 * of XGrammar. A control token is `<name>` or `<[id]>`; text without it is `!<name>*`. Throws a `GrammarError` with
 * line and column.
 */
export function ebnfGrammar(text: string, builder: GrammarBuilder, control?: ControlTokens): Sym {
  const reader = new TextReader(text, builder.fuel);
  return compileRules(new EbnfParser(reader, builder, control).rules(), 'root', builder, reader.error);
}

class EbnfParser {
  readonly #rules = new Map<string, Expression>();
  #depth = 0;

  constructor(
    private readonly reader: TextReader,
    private readonly builder: GrammarBuilder,
    private readonly control: ControlTokens | undefined,
  ) {}

  rules(): ReadonlyMap<string, Expression> {
    const { reader } = this;
    for (;;) {
      this.#space();
      if (reader.isAtEnd) return this.#rules;
      const start = reader.at;
      const name = reader.match(NAME);
      if (name === undefined) throw reader.expected('the name of a rule');
      this.#space();
      if (!reader.take('::=')) throw reader.expected('"::="');
      if (!isFirstOfLine(reader.text, start)) throw reader.error('a rule must begin on a line of its own', start);
      if (this.#rules.has(name)) throw reader.error(`the rule ${JSON.stringify(name)} is defined twice`, start);
      this.#rules.set(name, this.#choice());
      // No rule refers to it, but the rules that it refers to must exist.
      if (reader.take('(=')) this.#rules.set(`${name} (=`, this.#closed(this.#choice()));
    }
  }

  #space(): void {
    this.reader.match(SPACE);
  }

  #choice(): Expression {
    if (++this.#depth > MOST_DEPTH) throw this.reader.error(`groups are nested more than ${MOST_DEPTH} deep`);
    const parts = [this.#sequence()];
    while (this.reader.take('|')) parts.push(this.#sequence());
    this.#depth--;
    return parts.length === 1 ? (parts[0] as Expression) : { kind: 'choice', parts };
  }

  /** Parses a sequence up to its end, and the white space after it. */
  #sequence(): Expression {
    const parts: Expression[] = [];
    for (;;) {
      this.#space();
      const part = this.#isAtEnd() ? undefined : this.#repeated();
      if (!part) break;
      parts.push(part);
    }
    return parts.length === 1 ? (parts[0] as Expression) : { kind: 'sequence', parts };
  }

  /** Whether a sequence ends here: at the next rule, or at a mark that is not part of a sequence. */
  #isAtEnd(): boolean {
    const { reader } = this;
    if (reader.isAtEnd || reader.startsWith('|') || reader.startsWith(')') || reader.startsWith('(=')) return true;
    const start = reader.at;
    if (reader.match(NAME) === undefined) return false;
    this.#space();
    const isRule = reader.startsWith('::=');
    reader.at = start;
    return isRule;
  }

  #repeated(): Expression {
    const { reader } = this;
    const isText = reader.startsWith('!');
    const part = this.#element();
    this.#space();
    const start = reader.at;
    const counts = this.#counts();
    if (isText) {
      const [least, most] = counts ?? [1, 1];
      if (least > 1 || most !== Infinity)
        throw reader.error('a token that is not another must be repeated: !<name>* or !<name>+', start);
      const { regexes } = this.builder;
      const regex = least === 0 || part.kind !== 'regex' ? undefined : regexes.withoutEmpty(part.regex);
      return regex === undefined ? part : { kind: 'regex', regex, weight: weightOfCharacters(Infinity) };
    }
    if (!counts) return part;
    this.#space();
    if (/[*+?{]/.test(reader.next)) throw reader.error('what is repeated twice must be in parentheses');
    const [least, most] = counts;
    return { kind: 'repeat', part, least, most };
  }

  #counts(): [least: number, most: number] | undefined {
    const { reader } = this;
    const start = reader.at;
    if (reader.take('*')) return [0, Infinity];
    if (reader.take('+')) return [1, Infinity];
    if (reader.take('?')) return [0, 1];
    if (!reader.take('{')) return undefined;
    const least = this.#count();
    let most = least;
    this.#space();
    if (reader.take(',')) {
      this.#space();
      most = reader.startsWith('}') ? Infinity : this.#count();
    }
    this.#space();
    if (!reader.take('}')) throw reader.expected('"}"');
    if (most < least) throw reader.error(`cannot be repeated ${least} times at least and ${most} at most`, start);
    return [least, most];
  }

  #count(): number {
    const { reader } = this;
    this.#space();
    const digits = reader.match(COUNT);
    if (digits === undefined) throw reader.expected('a number');
    const count = Number(digits);
    if (count <= MOST_REPETITIONS) return count;
    throw reader.error(`is repeated more than ${MOST_REPETITIONS} times`, reader.at - digits.length);
  }

  #element(): Expression {
    const { reader } = this;
    const start = reader.at;
    if (reader.take('(')) return this.#closed(this.#choice());
    if (reader.startsWith('"')) return this.#text();
    if (reader.startsWith('[')) return this.#class();
    if (reader.startsWith('<') || reader.startsWith('!')) return this.#token();
    const name = reader.match(NAME);
    if (name !== undefined) return this.#reference(name, start);
    if (reader.take('.')) return this.#characters([[0, 0x10ffff]]);
    throw reader.expected('a text, a class, a group or the name of a rule');
  }

  #closed(expression: Expression): Expression {
    if (!this.reader.take(')')) throw this.reader.expected('")"');
    return expression;
  }

  #text(): Expression {
    const text = this.#quoted();
    return { kind: 'regex', regex: this.builder.regexes.text(text), weight: weightOfText(text) };
  }

  #quoted(): string {
    return readQuoted(this.reader, () => this.#character(ESCAPES));
  }

  #class(): Expression {
    const { reader } = this;
    const start = reader.at++;
    const isNegated = reader.take('^');
    const ranges: Range[] = [];
    const codeAt = (): number => {
      if (reader.isAtEnd || reader.startsWith('\n')) throw reader.error('the class is not closed on its line', start);
      if (/^\\[dDsSwW]/.test(reader.text.slice(reader.at, reader.at + 2)))
        throw reader.error('classes have no \\d, \\s and \\w: write the characters, as in [0-9]');
      return this.#character(ESCAPES, CLASS_ESCAPES).codePointAt(0) as number;
    };
    while (!reader.take(']')) {
      const at = reader.at;
      const first = codeAt();
      let last = first;
      if (reader.startsWith('-') && reader.text[reader.at + 1] !== ']') {
        reader.at++;
        last = codeAt();
      }
      if (last < first) throw reader.error('the range ends before it begins', at);
      ranges.push([first, last]);
    }
    return this.#characters(isNegated ? complement(ranges) : ranges);
  }

  #characters(ranges: readonly Range[]): Expression {
    const count = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    return { kind: 'regex', regex: this.builder.regexes.chars(ranges), weight: weightOfCharacters(count) };
  }

  #character(escapes: Readonly<Record<string, string>>, others = ''): string {
    const { reader } = this;
    const start = reader.at;
    if (!reader.take('\\')) return readCharacter(reader);
    if (reader.take('x')) return readHex(reader, 'any');
    if (reader.take('u')) return readHex(reader, 4);
    if (reader.take('U')) return readHex(reader, 8);
    const { next } = reader;
    const meant = Object.hasOwn(escapes, next) ? escapes[next] : others.includes(next) ? next : undefined;
    if (meant === undefined || next === '') throw reader.error(`\\${next} stands for no character`, start);
    reader.at += next.length;
    return meant;
  }

  #token(): Expression {
    const { reader, builder } = this;
    const { regexes } = builder;
    const start = reader.at;
    const isNegated = reader.take('!');
    const written = reader.match(/<[^<>\s]+>/y);
    if (written === undefined) throw reader.expected('a token, <name> or <[id]>');
    const id = /^<\[(\d{1,9})\]>$/.exec(written)?.[1];
    const token = id === undefined ? this.control?.(written) : Number(id);
    if (token === undefined) throw reader.error(`the model has no control token ${written}`, start);
    if (!isNegated)
      return { kind: 'regex', regex: regexes.literalBytes(controlBytes(token)), weight: weightOfCharacters(1) };
    const regex = id === undefined ? textWithout([written], regexes) : regexes.anyText;
    return { kind: 'regex', regex, weight: weightOfCharacters(Infinity) };
  }

  #reference(name: string, start: number): Expression {
    const { reader } = this;
    if (reader.startsWith('(') && MACROS.has(name)) {
      if (name === 'TagDispatch') return this.#tagDispatch();
      throw reader.error(`the macro ${name} is not supported`, start);
    }
    return { kind: 'rule', name, at: start };
  }

  /** Free text up to a tag, then the rule of the tag, repeatedly. */
  #tagDispatch(): Expression {
    const { reader } = this;
    const start = reader.at;
    const tags = new Map<string, Expression[]>();
    let excluded: string[] = [];
    let isLoop = true;
    for (this.#takePunctuation('('); !reader.take(')');) {
      const at = reader.at;
      if (reader.startsWith('(')) {
        this.#takePunctuation('(');
        const tag = this.#quoted();
        this.#takePunctuation(',');
        const rule: Expression = { kind: 'rule', at: reader.at, name: this.#name() };
        this.#takePunctuation(')');
        tags.set(tag, [...(tags.get(tag) ?? []), rule]);
      } else {
        const option = this.#name();
        this.#takePunctuation('=');
        if (option === 'loop_after_dispatch') isLoop = this.#boolean();
        else if (option === 'excludes') excluded = this.#texts();
        else throw reader.error(`TagDispatch has no ${option}`, at);
      }
      this.#space();
      if (!reader.startsWith(')')) this.#takePunctuation(',');
    }
    for (const word of [...tags.keys(), ...excluded]) {
      if (word === '') throw reader.error('a tag or an excluded text is empty', start);
    }
    return this.#dispatch(tags, excluded, isLoop);
  }

  #dispatch(tags: ReadonlyMap<string, Expression[]>, excluded: readonly string[], isLoop: boolean): Expression {
    const { regexes } = this.builder;
    const stops = [...tags.keys(), ...excluded];
    const weight = weightOfCharacters(Infinity);
    const text: Expression = { kind: 'regex', regex: textWithout(stops, regexes), weight };
    const tagged = [...tags].map(([tag, rules]): Expression => {
      const upTo: Expression = { kind: 'regex', regex: textUpTo([tag], stops, regexes), weight };
      return { kind: 'sequence', parts: [upTo, { kind: 'choice', parts: rules }] };
    });
    if (!isLoop) return { kind: 'choice', parts: [...tagged, text] };
    const loop: Expression = { kind: 'repeat', part: { kind: 'choice', parts: tagged }, least: 0, most: Infinity };
    return { kind: 'sequence', parts: [loop, text] };
  }

  #takePunctuation(mark: string): void {
    this.#space();
    if (!this.reader.take(mark)) throw this.reader.expected(JSON.stringify(mark));
    this.#space();
  }

  #name(): string {
    const name = this.reader.match(NAME);
    if (name === undefined) throw this.reader.expected('a name');
    return name;
  }

  #boolean(): boolean {
    const word = this.reader.match(/true|false/y);
    if (word === undefined) throw this.reader.expected('true or false');
    return word === 'true';
  }

  #texts(): string[] {
    const texts: string[] = [];
    for (this.#takePunctuation('('); !this.reader.take(')');) {
      texts.push(this.#quoted());
      this.#space();
      if (!this.reader.startsWith(')')) this.#takePunctuation(',');
    }
    return texts;
  }
}

/** Macros of XGrammar. */
const MACROS: ReadonlySet<string> = new Set([
  'TagDispatch',
  'Regex',
  'Substring',
  'Token',
  'ExcludeToken',
  'TokenTagDispatch',
]);

/** Whether only white space precedes `at` on its line. */
function isFirstOfLine(text: string, at: number): boolean {
  return text.slice(text.lastIndexOf('\n', at - 1) + 1, at).trim() === '';
}
