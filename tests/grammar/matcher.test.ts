import { describe, expect, test } from 'vitest';
import { type Grammar, GrammarBuilder, type Sym } from '../../src/grammar/grammar.ts';
import { GrammarError } from '../../src/grammar/limits.ts';
import { Matcher } from '../../src/grammar/parser/matcher.ts';
import { controlBytes, TokenTrie } from '../../src/grammar/parser/token-trie.ts';
import type { Regex } from '../../src/grammar/regex/regexes.ts';
import { Random } from '../support/random.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The vocabulary of these tokens, a control token `<end>` that ends an answer, and another. */
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

/** The allowed tokens' texts, joined; `$` for the end. */
const listed = (matcher: Matcher, tokens: readonly string[]): string =>
  allowed(matcher.mask())
    .map((id) => tokens[id] ?? '$')
    .join(' ');

/** A grammar from rules by name: `|` and spaces divide, 'abc' is text, and [abc]+ a terminal that may be long. */
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

/** Ways to write a regular expression, for the engine and for the judge. */
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

/** The grammar as the engine takes it; undefined where nothing matches. */
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
 * What the engine is held against: a textbook Earley recognizer over characters, in which patterns are rules too, and
 * which repeats each step until nothing is new.
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
    // Without rules that match nothing, a text may go on wherever an item is left.
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

  /** Whether some answer begins with the text. */
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

  /** Items `rule.alternative.dot.origin`, with all that follow from them. */
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

/** Holds an answer, drawn token by token, against the judge. */
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
    // The longest that is drawn: it goes further.
    const drawn = [0, 1].map(() => tokens[random.below(tokens.length)]!);
    const token = drawn.reduce((a, b) => (TOKENS[a]!.length > TOKENS[b]!.length ? a : b));
    expect(matcher.accept(token)).toBe(true);
    text += TOKENS[token];
  }
}

describe('what may come is what a naive recognizer takes', () => {
  const count = Number(process.env['GRAMMARS'] ?? 40);
  const first = Number(process.env['SEED'] ?? 0);
  test.each(Array.from({ length: count }, (_, i) => first + i))('in random grammar %d', (seed) => {
    const random = new Random(seed);
    const plain = randomGrammar(random);
    const grammar = built(plain);
    const judge = new Judge(plain);
    if (!grammar) expect(judge.mayBegin('')).toBe(false);
    else for (let i = 0; i < 3; i++) follow(grammar, judge, random);
  });
});
