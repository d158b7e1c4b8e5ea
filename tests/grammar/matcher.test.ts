import { describe, expect, test } from 'vitest';
import { type Grammar, GrammarBuilder, type Sym } from '../../src/grammar/grammar.ts';
import { GrammarError } from '../../src/grammar/limits.ts';
import { Matcher } from '../../src/grammar/parser/matcher.ts';
import { controlBytes, TokenTrie } from '../../src/grammar/parser/token-trie.ts';
import type { Regex } from '../../src/grammar/regex/regexes.ts';
import { Random } from '../support/random.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A vocabulary of these tokens, the end token `<end>`, and another control token. */
function trieOf(tokens: readonly (string | Uint8Array)[]): TokenTrie {
  const texts = [
    ...tokens.map((token) => (typeof token === 'string' ? bytesOf(token) : token)),
    bytesOf(''),
    bytesOf(''),
  ];
  const offsets = new Uint32Array(texts.length + 1);
  texts.forEach(({ length }, i) => (offsets[i + 1] = offsets[i]! + length));
  const bytes = new Uint8Array(offsets.at(-1)!);
  texts.forEach((text, i) => bytes.set(text, offsets[i]));
  const end = tokens.length;
  const controlTokens = new Map([
    ['<end>', end],
    ['<call>', end + 1],
  ]);
  return new TokenTrie({ vocabSize: texts.length + 3, bytes, offsets, eosIds: [end], controlTokens });
}

const allowed = (mask: Uint32Array): number[] =>
  Array.from({ length: mask.length * 32 }, (_, id) => id).filter((id) => (mask[id >> 5]! >>> (id & 31)) & 1);

/** The texts of the allowed tokens, joined; `$` for the end. */
const listed = (matcher: Matcher, tokens: readonly string[]): string =>
  allowed(matcher.mask())
    .map((id) => tokens[id] ?? '$')
    .join(' ');

/** A grammar from named rules: `|` separates alternatives, spaces separate symbols, 'abc' is text, [abc]+ a terminal. */
function grammarOf(rules: Record<string, string>): Grammar {
  const builder = new GrammarBuilder();
  const { regexes } = builder;
  const names = new Map(Object.keys(rules).map((name) => [name, builder.rule(name)]));
  const symbol = (word: string): Sym => {
    if (word.startsWith("'")) return builder.terminal(regexes.text(word.slice(1, -1)));
    if (!word.startsWith('[')) return names.get(word)!;
    const set = regexes.or(...[...word.slice(1, word.indexOf(']'))].map((character) => regexes.text(character)));
    return builder.terminal(word.endsWith('+') ? regexes.repeat(set, 1, Infinity) : set);
  };
  for (const [name, text] of Object.entries(rules)) {
    const alternatives = text.split('|').map((words) => words.trim().split(/ +/u));
    builder.define(
      names.get(name)!,
      alternatives.map((words) => words.filter((word) => word !== '').map(symbol)),
    );
  }
  return builder.build(names.get('root')!);
}

/** A regular expression, for the engine and for the reference recognizer. */
type Pattern = { text: string } | { either: Pattern[] } | { all: Pattern[] } | { some: Pattern };

/** A grammar over characters, whose terminals are `Pattern`s. */
interface Plain {
  rules: (number | Pattern)[][][];
}

const ALPHABET = 'abc';

function randomPattern(random: Random, depth: number): Pattern {
  const parts = (): Pattern[] => Array.from({ length: 2 }, () => randomPattern(random, depth - 1));
  switch (depth === 0 ? 0 : random.below(5)) {
    case 1:
      return { either: parts() };
    case 2:
      return { all: parts() };
    case 3:
      return { some: randomPattern(random, depth - 1) };
    default:
      return { text: Array.from({ length: 1 + random.below(2) }, () => ALPHABET[random.below(3)]!).join('') };
  }
}

function randomGrammar(random: Random): Plain {
  const terminals = Array.from({ length: 4 }, () => randomPattern(random, 2));
  const count = 2 + random.below(3);
  const symbol = (): number | Pattern =>
    random.next() < 0.5 ? random.below(count) : terminals[random.below(terminals.length)]!;
  return {
    rules: Array.from({ length: count }, () =>
      Array.from({ length: 1 + random.below(3) }, () => Array.from({ length: random.below(4) }, symbol)),
    ),
  };
}

/** The grammar built for the engine; undefined if nothing matches. */
function built(plain: Plain): Grammar | undefined {
  const builder = new GrammarBuilder();
  const { regexes } = builder;
  const regexOf = (pattern: Pattern): Regex => {
    if ('text' in pattern) return regexes.text(pattern.text);
    if ('either' in pattern) return regexes.or(...pattern.either.map(regexOf));
    if ('all' in pattern) return regexes.concat(...pattern.all.map(regexOf));
    return regexes.repeat(regexOf(pattern.some), 1, Infinity);
  };
  const rules = plain.rules.map(() => builder.rule());
  plain.rules.forEach((alternatives, rule) =>
    builder.define(
      rules[rule]!,
      alternatives.map((symbols) =>
        symbols.map((symbol) => (typeof symbol === 'number' ? rules[symbol]! : builder.terminal(regexOf(symbol)))),
      ),
    ),
  );
  try {
    return builder.build(rules[0]!);
  } catch (error) {
    if (error instanceof GrammarError) return undefined;
    throw error;
  }
}

/**
 * The reference for the engine: a textbook Earley recognizer over characters, in which patterns are rules too, and which
 * repeats each step until a fixed point.
 */
class Judge {
  readonly #rules: (number | string)[][][] = [];
  readonly #charts = new Map<string, string[][]>();

  constructor(plain: Plain) {
    plain.rules.forEach(() => this.#rules.push([]));
    plain.rules.forEach((alternatives, rule) => {
      this.#rules[rule] = alternatives.map((symbols) =>
        symbols.flatMap((symbol) => (typeof symbol === 'number' ? [symbol] : this.#symbols(symbol))),
      );
    });
    // Without unproductive rules, a text can continue whenever an item is left.
    const productive = new Set<number>();
    const isProductive = (symbols: (number | string)[]): boolean =>
      symbols.every((symbol) => typeof symbol === 'string' || productive.has(symbol));
    for (let before = -1; before < productive.size;) {
      before = productive.size;
      this.#rules.forEach((alternatives, rule) => alternatives.some(isProductive) && productive.add(rule));
    }
    this.#rules = this.#rules.map((alternatives) => alternatives.filter(isProductive));
    this.#charts.set('', [this.#closed([], [], 0)]);
  }

  #symbols(pattern: Pattern): (number | string)[] {
    if ('text' in pattern) return [...pattern.text];
    if ('all' in pattern) return pattern.all.flatMap((part) => this.#symbols(part));
    const rule = this.#rules.push([]) - 1;
    if ('either' in pattern) this.#rules[rule] = pattern.either.map((part) => this.#symbols(part));
    else {
      const once = this.#symbols(pattern.some);
      this.#rules[rule] = [once, [rule, ...once]];
    }
    return [rule];
  }

  /** Whether the text is a prefix of some answer. */
  mayBegin(text: string): boolean {
    return this.#chart(text).at(-1)!.length > 0;
  }

  isAnswer(text: string): boolean {
    return this.#chart(text)
      .at(-1)!
      .some((item) => {
        const [rule, alternative, dot, origin] = item.split('.').map(Number) as [number, number, number, number];
        return rule === 0 && origin === 0 && dot === this.#rules[0]![alternative]!.length;
      });
  }

  #chart(text: string): string[][] {
    const known = this.#charts.get(text);
    if (known) return known;
    const before = this.#chart(text.slice(0, -1));
    const moved = before.at(-1)!.flatMap((item) => (this.#next(item) === text.at(-1) ? [advanced(item)] : []));
    const chart = [...before, this.#closed(before, moved, before.length)];
    this.#charts.set(text, chart);
    return chart;
  }

  #next(item: string): number | string | undefined {
    const [rule, alternative, dot] = item.split('.').map(Number) as [number, number, number];
    return this.#rules[rule]![alternative]![dot];
  }

  /** The closure of items `rule.alternative.dot.origin`. */
  #closed(chart: string[][], kernel: string[], at: number): string[] {
    const items = new Set(kernel);
    if (at === 0) this.#rules[0]!.forEach((_, alternative) => items.add(`0.${alternative}.0.0`));
    for (let before = -1; before < items.size;) {
      before = items.size;
      for (const item of items) {
        const next = this.#next(item);
        if (typeof next === 'number') this.#rules[next]!.forEach((_, i) => items.add(`${next}.${i}.0.${at}`));
        if (next !== undefined) continue;
        const [rule, , , origin] = item.split('.').map(Number) as [number, number, number, number];
        for (const waiting of origin === at ? [...items] : chart[origin]!) {
          if (this.#next(waiting) === rule) items.add(advanced(waiting));
        }
      }
    }
    return [...items];
  }
}

function advanced(item: string): string {
  const [rule, alternative, dot, origin] = item.split('.');
  return `${rule}.${alternative}.${Number(dot) + 1}.${origin}`;
}

const TOKENS = (() => {
  const random = new Random(1);
  const texts = new Set<string>(ALPHABET);
  for (const a of ALPHABET) for (const b of ALPHABET) texts.add(a + b);
  while (texts.size < 150) {
    texts.add(Array.from({ length: 3 + random.below(4) }, () => ALPHABET[random.below(3)]!).join(''));
  }
  return [...texts];
})();
const END = TOKENS.length;
const TRIE = trieOf(TOKENS);

/** Samples an answer token by token and compares each step with the reference recognizer. */
function follow(grammar: Grammar, judge: Judge, random: Random): void {
  const matcher = new Matcher(grammar, TRIE);
  let text = '';
  for (let step = 0; step < 5; step++) {
    const want = TOKENS.flatMap((token, id) => (judge.mayBegin(text + token) ? [id] : []));
    if (judge.isAnswer(text)) want.push(END);
    expect(allowed(matcher.mask()), text).toEqual(want);
    expect(matcher.canEnd).toBe(judge.isAnswer(text));
    expect(matcher.mustEnd).toBe(want.every((id) => id === END));
    const only = [...ALPHABET].filter((character) => judge.mayBegin(text + character));
    const forced = new TextDecoder().decode(matcher.forcedBytes());
    expect(forced.slice(0, 1)).toBe(only.length === 1 && !judge.isAnswer(text) ? only[0] : '');
    const tokens = want.filter((id) => id !== END);
    if (tokens.length === 0) break;
    // The longer of two samples gets further.
    const drawn = [0, 1].map(() => tokens[random.below(tokens.length)]!);
    const token = drawn.reduce((a, b) => (TOKENS[a]!.length > TOKENS[b]!.length ? a : b));
    expect(matcher.accept(token)).toBe(true);
    text += TOKENS[token];
  }
}

describe('masks match a naive recognizer', () => {
  const count = Number(process.env['GRAMMARS'] ?? 30);
  const first = Number(process.env['SEED'] ?? 200);
  test.each(Array.from({ length: count }, (_, i) => first + i))('in random grammar %d', (seed) => {
    const random = new Random(seed);
    const plain = randomGrammar(random);
    const grammar = built(plain);
    const judge = new Judge(plain);
    if (!grammar) expect(judge.mayBegin('')).toBe(false);
    else for (let i = 0; i < 3; i++) follow(grammar, judge, random);
  });
});

/** A trie of the 256 single bytes. */
const BYTES = trieOf(Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)));
const BYTES_END = 256;

/** Number of leading bytes of the text that the matcher accepts. */
function take(matcher: Matcher, text: string): number {
  const bytes = bytesOf(text);
  const refused = bytes.findIndex((byte) => !matcher.accept(byte));
  return refused === -1 ? bytes.length : refused;
}

const matches = (grammar: Grammar, text: string): boolean => {
  const matcher = new Matcher(grammar, BYTES);
  return take(matcher, text) === bytesOf(text).length && matcher.canEnd;
};

describe('grammars', () => {
  test.each([
    ['terminals that end at every place', { root: "[ab]+ [ab]+ 'a'" }, ['aaa', 'abba'], ['aa', 'aab']],
    ['left recursion', { root: "root 'x' | 'y'" }, ['y', 'yxxx'], ['', 'xy']],
    ['right recursion', { root: "'x' root | 'y'" }, ['y', 'xxxy'], ['x', 'yx']],
    [
      'hidden left recursion',
      { root: "empty root 'x' | 'y'", empty: "| 'e'" },
      ['y', 'eyx', 'eeyxx', 'yx'],
      ['e', 'ex'],
    ],
    ['rules that are themselves', { root: 'a', a: "b | 'x'", b: "a | '(' a ')'" }, ['x', '((x))'], ['(x', '()']],
    ['rules that are empty', { root: "a a a 'x' a", a: "| 'y' | b", b: '' }, ['x', 'yyyxy', 'yx'], ['yyyyx', 'xyy']],
    ['ambiguity', { root: "root root | 'a' | 'aa'" }, ['a', 'aaaaaaa'], ['', 'ab']],
    ['nesting', { root: "'[' list ']' | '1'", list: "| root | root ',' list" }, ['[[],[1,1,[]],]', '1'], ['[1', '[,]']],
  ])('with %s', (_, rules: Record<string, string>, answers, others) => {
    const grammar = grammarOf(rules);
    expect(answers.filter((text) => !matches(grammar, text))).toEqual([]);
    expect(others.filter((text) => matches(grammar, text))).toEqual([]);
  });

  test.each([
    ['itself', { root: "'[' list ']'", list: "'x' list | 'y'" }],
    ['others', { root: "'[' list ']'", list: 'pair | end', pair: "'x' rest", rest: 'list', end: "'y'" }],
  ])('many rules that end at once with %s are completed in one step', (_, rules) => {
    const tokens = ['[', 'x'.repeat(20), 'y', ']'];
    const matcher = new Matcher(grammarOf(rules), trieOf(tokens));
    matcher.accept(0);
    // Completing each of 200,000 rules separately would exceed the work limit.
    for (let i = 0; i < 10_000; i++) if (!matcher.accept(1)) throw new Error(`refused after ${i}`);
    expect(listed(matcher, tokens)).toBe(`${tokens[1]} y`);
    expect([matcher.accept(2), matcher.accept(3), matcher.mustEnd]).toEqual([true, true, true]);
  });

  test('with many terminals at one position', () => {
    const grammar = grammarOf({ root: "'xa' | 'xb' | 'xc' | 'ya' | 'yb' | 'yc' | [xy]+ | 'z' root" });
    expect(['xa', 'yc', 'xyx', 'zzya', 'x'].filter((text) => !matches(grammar, text))).toEqual([]);
    expect(['xd', 'xya', 'z', ''].filter((text) => matches(grammar, text))).toEqual([]);
  });
});

describe('a matcher', () => {
  const tokens = ['a', 'ab', 'b', 'ba', '(', ')', '((', 'x'];
  const rules = { root: "'(' root ')' | [ab]+ | 'x'" };

  test('that rolls back equals one that never advanced', () => {
    const random = new Random(3);
    const grammar = grammarOf(rules);
    const trie = trieOf(tokens);
    const matcher = new Matcher(grammar, trie);
    const taken: number[] = [];
    for (let step = 0; step < 300; step++) {
      const back = random.below(Math.min(4, taken.length + 1));
      matcher.rollback(back);
      taken.length -= back;
      const ids = allowed(matcher.mask());
      const token = ids[random.below(ids.length)]!;
      if (matcher.accept(token)) taken.push(token);
    }
    const fresh = new Matcher(grammarOf(rules), trie);
    expect(taken.map((token) => fresh.accept(token))).toEqual(taken.map(() => true));
    expect(matcher.mask()).toEqual(fresh.mask());
    expect(() => matcher.rollback(taken.length + 1)).toThrow(RangeError);
  });

  test('accepts exactly the tokens of its mask, and nothing after the end', () => {
    const matcher = new Matcher(grammarOf(rules), trieOf(tokens));
    expect(listed(matcher, tokens)).toBe('a ab b ba ( (( x');
    expect([matcher.accept(5), matcher.accept(tokens.length), matcher.accept(99_999)]).toEqual([false, false, false]);
    expect(matcher.accept(6)).toBe(true);
    expect(matcher.accept(7)).toBe(true);
    expect([listed(matcher, tokens), matcher.canEnd, matcher.mustEnd]).toEqual([')', false, false]);
    matcher.accept(5);
    matcher.accept(5);
    expect([listed(matcher, tokens), matcher.canEnd, matcher.mustEnd]).toEqual(['$', true, true]);
    expect(matcher.accept(tokens.length)).toBe(true);
    expect([listed(matcher, tokens), matcher.canEnd, matcher.mustEnd]).toEqual(['', true, true]);
    expect(matcher.accept(0)).toBe(false);
    matcher.rollback(3);
    expect(listed(matcher, tokens)).toBe(')');
  });

  test('allows all tokens with equal bytes', () => {
    const same = ['a', 'b', 'a', 'ab', 'a'];
    expect(allowed(new Matcher(grammarOf({ root: "'ab'" }), trieOf(same)).mask())).toEqual([0, 2, 3, 4]);
  });

  test('reports the forced text up to a choice or an end', () => {
    const forced = (rule: string, after: string): string => {
      const matcher = new Matcher(grammarOf({ root: rule }), BYTES);
      take(matcher, after);
      return new TextDecoder().decode(matcher.forcedBytes());
    };
    expect(forced("'{\"name\":' [ab]+ '}'", '')).toBe('{"name":');
    expect(forced("'{\"name\":' [ab]+ '}'", '{"na')).toBe('me":');
    expect(forced("'true' | 'tru'", 't')).toBe('ru');
    expect(forced("'true' | 'tru'", 'tru')).toBe('');
    expect(forced("'x' [yz] 'w'", '')).toBe('x');
    expect(forced("'é' | 'è'", '')).toBe('\ufffd'); // the first byte of both
    expect(forced("'abc'", 'abc')).toBe('');
  });

  test('accepts a control token if the grammar names it, and not as text', () => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    const words = ['a', '<call>', '<'];
    const call = words.length + 1;
    const named = builder.terminal(regexes.literalBytes(controlBytes(call)));
    const root = builder.rule();
    builder.define(root, [
      [builder.terminal(regexes.repeat(regexes.anyChar, 1, Infinity))],
      [named, builder.terminal(regexes.text('a'))],
    ]);
    const matcher = new Matcher(builder.build(root), trieOf(words));
    expect(allowed(matcher.mask())).toEqual([0, 1, 2, call]);
    expect(matcher.accept(call)).toBe(true);
    expect(allowed(matcher.mask())).toEqual([0]);
    expect(new TextDecoder().decode(matcher.forcedBytes())).toBe('a');
  });
});

describe('JSON strings', () => {
  const { regexes, of } = (() => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    const of = (regex: Regex): Grammar =>
      builder.build(builder.terminal(regexes.concat(regexes.text('"'), regex, regexes.text('"'), regexes.text(','))));
    return { regexes, of };
  })();
  const escape = regexes.concat(regexes.text('\\'), regexes.or(...[...'"\\n'].map((text) => regexes.text(text))));
  const plain = regexes.chars([
    [0x20, 0x21],
    [0x23, 0x5b],
    [0x5d, 0x10ffff],
  ]);
  const character = regexes.or(plain, escape);
  // The `.` of ECMAScript patterns.
  const dot = regexes.or(
    regexes.chars([
      [0x20, 0x21],
      [0x23, 0x5b],
      [0x5d, 0x2027],
      [0x202a, 0x10ffff],
    ]),
    escape,
  );
  const any = regexes.repeat(character, 0, Infinity);
  const with_ = (text: string): Regex => regexes.concat(regexes.repeat(dot, 0, Infinity), regexes.text(text), any);
  const names = regexes.or(...['name', 'names', 'a', 'value'].map((name) => regexes.text(name)));

  /** Words, some longer than 10 and 30 characters, with quotes, escapes and truncated characters. */
  const words = (() => {
    const random = new Random(5);
    const parts = [
      'a',
      'n',
      'name',
      'value',
      ' ',
      'é',
      '語',
      '\u2028',
      '🙂',
      '"',
      '",',
      '\\',
      '\\n',
      '\n',
      '\x7f',
      'x'.repeat(9),
    ];
    const texts = new Set(parts);
    while (texts.size < 400) {
      texts.add(Array.from({ length: 1 + random.below(6) }, () => parts[random.below(parts.length)]!).join(''));
    }
    const whole = [...texts].map(bytesOf);
    return [
      ...whole,
      ...whole.slice(0, 150).map((bytes) => bytes.slice(0, -1)),
      ...whole.slice(0, 60).map((bytes) => bytes.slice(1)),
      // After q every token is plain, except for characters that another one truncates.
      ...['q', 'qa', 'qé'].map(bytesOf),
      Uint8Array.of(...bytesOf('qé').slice(0, -1), 0x61),
    ];
  })();
  const trie = trieOf(words);

  test.each([
    ['any', any],
    ['of at most 12 characters', regexes.repeat(character, 0, 12)],
    ['of 3 to 40 characters', regexes.repeat(character, 3, 40)],
    ['of characters that `.` takes', regexes.repeat(dot, 0, Infinity)],
    ['but some names', regexes.and(any, regexes.not(names))],
    ['but names of at most 8 characters', regexes.and(regexes.repeat(character, 0, 8), regexes.not(names))],
    ['with parts in any order', regexes.and(with_('a'), with_('é'), with_('name'))],
    ['with parts, of at most 15 characters', regexes.and(with_('a'), with_('x'), regexes.repeat(dot, 4, 15))],
    ['names or few characters', regexes.or(names, regexes.repeat(character, 2, 5))],
    ['of at most 4 pieces', regexes.repeat(regexes.or(character, regexes.text('name')), 0, 4)],
    ['but what begins so', regexes.and(any, regexes.not(regexes.concat(regexes.text('na'), any)))],
    ['of few characters, then an ending', regexes.concat(regexes.repeat(character, 0, 5), regexes.text('name'))],
    ['with an ending', regexes.concat(any, regexes.text('name'))],
  ])('%s: masks hold exactly the accepted tokens', (_, regex) => {
    const grammar = of(regex);
    const random = new Random(11);
    for (let answer = 0; answer < 3; answer++) {
      const matcher = new Matcher(grammar, trie);
      for (let step = 0; step < 6; step++) {
        const taken = words.flatMap((_, id) => {
          if (!matcher.accept(id)) return [];
          matcher.rollback(1);
          return [id];
        });
        expect(allowed(matcher.mask()).filter((id) => id < words.length)).toEqual(taken);
        if (taken.length === 0) break;
        matcher.accept(
          step === 0
            ? words.findIndex((word) => word.length === 1 && word[0] === 0x22)
            : taken[random.below(taken.length)]!,
        );
      }
    }
  });

  test('text that may end anywhere, followed by more text', () => {
    const builder = new GrammarBuilder();
    const few = builder.regexes.chars([
      [0x20, 0x21],
      [0x23, 0x10ffff],
    ]);
    const root = builder.rule();
    const words = [builder.terminal(builder.regexes.repeat(few, 1, 3)), builder.terminal(builder.regexes.text('xyz'))];
    builder.define(root, [words]);
    const tokens = ['a', 'ab', 'abc', 'abcx', 'abcxyz', 'axyz', 'abcd', 'xyzxyz', 'xyzxyzx', 'xyzx'];
    expect(listed(new Matcher(builder.build(root), trieOf(tokens)), tokens)).toBe(
      'a ab abc abcx abcxyz axyz xyzxyz xyzx',
    );
  });

  test('every accepted prefix can be completed', () => {
    // Three letters in order within 6 characters: no b is allowed if it leaves no room for the rest.
    const grammar = of(regexes.and(with_('abc'), regexes.repeat(character, 0, 6)));
    const end = (text: string): boolean => take(new Matcher(grammar, BYTES), `"${text}`) === text.length + 1;
    expect(['abc', 'xxxabc', 'xxxx', 'xxxabcx'].map(end)).toEqual([true, true, false, false]);
    expect(matches(grammar, '"xabcxx",')).toBe(true);
  });
});

describe('bounds', () => {
  test('evicted states are computed again', () => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    const word = builder.terminal(regexes.repeat(regexes.bytes([[0x61, 0x62]]), 0, 30_000));
    // This terminal distinguishes all bytes, so that states take more memory.
    const all = builder.terminal(regexes.literalBytes(Uint8Array.from({ length: 256 }, (_, i) => 255 - i)));
    const nested = builder.rule();
    const [open, close] = ['(', ')'].map((text) => builder.terminal(regexes.text(text)));
    builder.define(nested, [[word], [all], [open!, nested, close!]]);
    const grammar = builder.build(nested);
    const matcher = new Matcher(grammar, BYTES);
    const takeMany = (byte: number, count: number): void => {
      for (let i = 0; i < count; i++) if (!matcher.accept(byte)) throw new Error(`refused after ${i}`);
    };
    takeMany(0x28, 8500);
    takeMany(0x61, 3000);
    expect(allowed(matcher.mask())).toEqual([0x29, 0x61, 0x62]);
    takeMany(0x29, 8500);
    expect(allowed(matcher.mask())).toEqual([BYTES_END]);
    expect(allowed(new Matcher(grammar, BYTES).mask())).toEqual([0x28, 0x61, 0x62, 0xff, BYTES_END]);
  });

  test('a token that takes too much work to decide is masked', () => {
    const builder = new GrammarBuilder();
    const { regexes } = builder;
    // The number of a's must leave these remainders: 510,509, plus any multiple of 510,510.
    const a = regexes.text('a');
    const counts = [2, 3, 5, 7, 11, 13, 17].map((count) =>
      regexes.concat(
        regexes.repeat(a, count - 1, count - 1),
        regexes.repeat(regexes.repeat(a, count, count), 0, Infinity),
      ),
    );
    const hard = regexes.concat(regexes.text('x'), regexes.and(...counts));
    const matcher = new Matcher(builder.build(builder.terminal(regexes.or(hard, regexes.text('yz')))), BYTES);
    expect(allowed(matcher.mask())).toEqual([0x79]);
    expect([matcher.accept(0x78), matcher.forcedBytes().length, matcher.accept(0x79)]).toEqual([false, 0, true]);
    expect(new TextDecoder().decode(matcher.forcedBytes())).toBe('z');
  });
});
