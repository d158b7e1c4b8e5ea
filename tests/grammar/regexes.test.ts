import { describe, expect, it } from 'vitest';
import { Fuel, GrammarError } from '../../src/grammar/limits.ts';
import { byteClasses, type Range, type Regex, Regexes } from '../../src/grammar/regex/regexes.ts';

const ENCODER = new TextEncoder();

function after(regexes: Regexes, regex: Regex, bytes: Iterable<number>): Regex {
  let rest = regex;
  for (const byte of bytes) rest = regexes.derivative(rest, byte);
  return rest;
}

const matches = (regexes: Regexes, regex: Regex, text: string): boolean =>
  regexes.isNullable(after(regexes, regex, ENCODER.encode(text)));

/** Random numbers below `n`, the same in each run. */
function randomNumbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
}

/** All texts over `letters` of length at most `longest`, shorter ones first. */
function textsOf(letters: string, longest: number): string[] {
  const texts = [''];
  for (const text of texts) if (text.length < longest) for (const letter of letters) texts.push(text + letter);
  return texts;
}

/** Every state reachable from `regex`, at most `most`. */
function statesOf(regexes: Regexes, regex: Regex, most = 5000): Set<Regex> {
  const { classOf, count } = byteClasses(regexes, [regex]);
  const bytes = Array.from({ length: count }, (_, ofClass) => classOf.indexOf(ofClass));
  const states = new Set([regex]);
  for (const state of states) {
    for (const byte of bytes) states.add(regexes.derivative(state, byte));
    if (states.size > most) break;
  }
  return states;
}

const letters = (regexes: Regexes, text: string): Regex =>
  regexes.bytes([...text].map((letter): Range => [letter.charCodeAt(0), letter.charCodeAt(0)]));

describe('characters', () => {
  it('are encoded as UTF-8 for any ranges', () => {
    const random = randomNumbers(1);
    const edges = [
      0, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x3ffff, 0x40000, 0x10ffff,
    ];
    for (let i = 0; i < 60; i++) {
      const regexes = new Regexes();
      const ranges = Array.from({ length: 1 + random(3) }, (): Range => {
        const [first, last] = [edges[random(edges.length)]! + random(3), edges[random(edges.length)]! + random(70)];
        return [Math.min(first, last), Math.min(Math.max(first, last), 0x10ffff)];
      });
      const regex = regexes.chars(ranges);
      const points = [...edges, ...ranges.flat()].flatMap((point) => [point - 1, point, point + 1]);
      for (const point of points) {
        if (point < 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) continue;
        const isIn = ranges.some(([first, last]) => first <= point && point <= last);
        expect(matches(regexes, regex, String.fromCodePoint(point)), `${point} of ${ranges.join()}`).toBe(isIn);
      }
    }
  });

  it('never match invalid UTF-8', () => {
    const regexes = new Regexes();
    const bad = [
      [0x80],
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xe0, 0x80, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0xff],
    ];
    for (const bytes of bad) expect(after(regexes, regexes.anyText, bytes)).toBe(regexes.nothing);
    expect(after(regexes, regexes.anyText, [0xc3])).not.toBe(regexes.nothing);
    expect(regexes.isNullable(after(regexes, regexes.anyText, [0xc3]))).toBe(false);
    expect(regexes.chars([[0xd800, 0xdfff]])).toBe(regexes.nothing);
  });

  it('that a class lists one by one become one set', () => {
    const regexes = new Regexes();
    const listed = regexes.chars([...'abcdef'].map((letter): Range => [letter.charCodeAt(0), letter.charCodeAt(0)]));
    expect(listed).toBe(regexes.bytes([[0x61, 0x66]]));
  });
});

describe('concatenation, union, intersection, complement and repetition', () => {
  type Test = (text: string) => boolean;
  interface Expression {
    regex: Regex;
    test: Test;
    source: string;
  }
  const COUNTS: readonly [number, number][] = [
    [0, Infinity],
    [1, Infinity],
    [0, 1],
    [2, 3],
    [0, 3],
    [2, 2],
    [1, 4],
    [2, Infinity],
  ];

  const known = (test: Test): Test => {
    const results = new Map<string, boolean>();
    return (text) => {
      let result = results.get(text);
      if (result === undefined) results.set(text, (result = test(text)));
      return result;
    };
  };
  const inTwo = (a: Test, b: Test): Test =>
    known((text) => {
      for (let i = 0; i <= text.length; i++) if (a(text.slice(0, i)) && b(text.slice(i))) return true;
      return false;
    });
  /** By definition: one round, then the remaining rounds. */
  function repeated(once: Test, least: number, most: number): Test {
    let test: Test = (text) => text === '';
    const rounds = Math.min(most, least + 5);
    let all: Test[] = least === 0 ? [test] : [];
    for (let round = 1; round <= rounds; round++) {
      test = inTwo(once, test);
      if (round >= least) all = [...all, test];
    }
    return known((text) => all.some((each) => each(text)));
  }

  function randomExpression(regexes: Regexes, random: (n: number) => number, depth: number): Expression {
    const part = (): Expression => randomExpression(regexes, random, depth - 1);
    const kind = random(depth <= 0 ? 3 : 12);
    if (kind < 2) {
      const set = ['a', 'b', 'c', 'ab', 'bc', 'abc'][random(6)]!;
      return {
        regex: letters(regexes, set),
        test: (text) => text.length === 1 && set.includes(text),
        source: `[${set}]`,
      };
    }
    if (kind === 2) {
      const literal = ['', 'ab', 'a', 'bca', 'aa'][random(5)]!;
      return { regex: regexes.text(literal), test: (text) => text === literal, source: `'${literal}'` };
    }
    if (kind < 5) {
      const [a, b] = [part(), part()];
      return {
        regex: regexes.concat(a.regex, b.regex),
        test: inTwo(a.test, b.test),
        source: `(${a.source} ${b.source})`,
      };
    }
    if (kind < 7) {
      const parts = Array.from({ length: 2 + random(3) }, part);
      return {
        regex: regexes.or(...parts.map(({ regex }) => regex)),
        test: known((text) => parts.some(({ test }) => test(text))),
        source: `(${parts.map(({ source }) => source).join('|')})`,
      };
    }
    if (kind === 7) {
      const [a, b] = [part(), part()];
      return {
        regex: regexes.and(a.regex, b.regex),
        test: known((text) => a.test(text) && b.test(text)),
        source: `(${a.source}&${b.source})`,
      };
    }
    const a = part();
    if (kind === 8) return { regex: regexes.not(a.regex), test: (text) => !a.test(text), source: `~${a.source}` };
    const [least, most] = COUNTS[random(COUNTS.length)]!;
    return {
      regex: regexes.repeat(a.regex, least, most),
      test: repeated(a.test, least, most),
      source: `${a.source}{${least},${most}}`,
    };
  }

  it('match their definitions, and emptiness is exact', () => {
    const random = randomNumbers(2);
    const texts = textsOf('abc', 4);
    let emptyOnes = 0;
    for (let i = 0; i < 150; i++) {
      const regexes = new Regexes();
      const { regex, test, source } = randomExpression(regexes, random, 4);
      const states = new Map<string, Regex>();
      for (const text of texts) {
        const state =
          text === '' ? regex : regexes.derivative(states.get(text.slice(0, -1))!, text.charCodeAt(text.length - 1));
        states.set(text, state);
        if (regexes.isNullable(state) !== test(text)) expect.fail(`${source} on ${text}`);
        if (regexes.isNullable(regexes.withoutEmpty(state)))
          expect.fail(`${source} after ${text} keeps the empty string`);
      }
      const shortest = texts.find(test);
      if (shortest !== undefined) expect(regexes.shortest(regex), source).toBeLessThanOrEqual(shortest.length);

      const ofLetters = regexes.and(regex, regexes.repeat(letters(regexes, 'abc'), 0, Infinity));
      const isEmpty = ![...statesOf(regexes, ofLetters)].some((state) => regexes.isNullable(state));
      expect(regexes.isEmptyLanguage(ofLetters), source).toBe(isEmpty);
      if (isEmpty) emptyOnes++;
    }
    expect(emptyOnes).toBeGreaterThan(8);
  });

  it('the complement of text contains no text', () => {
    const regexes = new Regexes();
    expect(regexes.isEmptyLanguage(regexes.and(regexes.anyText, regexes.not(regexes.anyText)))).toBe(true);
    expect(regexes.isEmptyLanguage(regexes.not(regexes.anyText))).toBe(false);
    expect(regexes.isEmptyLanguage(regexes.not(regexes.anyBytes))).toBe(true);
  });
});

describe('byte classes', () => {
  it('distinguish bytes that any later derivative distinguishes', () => {
    const regexes = new Regexes();
    const regex = regexes.or(
      regexes.concat(regexes.text('né'), regexes.repeat(regexes.chars([[0x41, 0x5a]]), 2, 5), regexes.bytes([[0, 9]])),
      regexes.and(regexes.anyText, regexes.not(regexes.text('nobody'))),
    );
    const { classOf, count } = byteClasses(regexes, [regex]);
    expect(count).toBeLessThan(40);
    for (const state of statesOf(regexes, regex)) {
      const next = regexes.nextClasses(state);
      for (let byte = 0; byte < 256; byte++) {
        const derivative = regexes.derivative(state, byte);
        expect(derivative).toBe(regexes.derivative(state, classOf.indexOf(classOf[byte]!)));
        expect(derivative).toBe(regexes.derivative(state, next.classOf.indexOf(next.classOf[byte]!)));
      }
    }
  });
});

describe('an expression with several spellings', () => {
  const regexes = new Regexes();
  const [a, b, ab] = ['a', 'b', 'ab'].map((set) => letters(regexes, set)) as [Regex, Regex, Regex];
  const word = regexes.or(regexes.text('xyz'), regexes.text('zyx'));
  const maybe = (regex: Regex): Regex => regexes.repeat(regex, 0, 1);
  const any = (regex: Regex): Regex => regexes.repeat(regex, 0, Infinity);

  it.each([
    ['a? a? a?', regexes.concat(maybe(a), maybe(a), maybe(a)), regexes.repeat(a, 0, 3)],
    ['a{1,2} a{3}', regexes.concat(regexes.repeat(a, 1, 2), regexes.repeat(a, 3, 3)), regexes.repeat(a, 4, 5)],
    ['a* a*', regexes.concat(any(a), any(a)), any(a)],
    ['a? (a|b)*', regexes.concat(maybe(a), any(ab)), any(ab)],
    ['(a|b)* b*', regexes.concat(any(ab), any(b)), any(ab)],
    ['a | b', regexes.or(a, b), ab],
    ['(a* b*)*', any(regexes.concat(any(a), any(b))), any(ab)],
    ['(a?|b*)+', regexes.repeat(regexes.or(maybe(a), any(b)), 1, Infinity), any(ab)],
    ['(a{2}){3}', regexes.repeat(regexes.repeat(a, 2, 2), 3, 3), regexes.repeat(a, 6, 6)],
    ['(a{0,3}){0,4}', regexes.repeat(regexes.repeat(a, 0, 3), 0, 4), regexes.repeat(a, 0, 12)],
    ['a{0,3} | a{2,5}', regexes.or(regexes.repeat(a, 0, 3), regexes.repeat(a, 2, 5)), regexes.repeat(a, 0, 5)],
    ['a xyz | b xyz', regexes.or(regexes.concat(a, word), regexes.concat(b, word)), regexes.concat(ab, word)],
    ['(a xyz)* | anything', regexes.or(any(regexes.concat(a, word)), regexes.anyText), regexes.anyText],
    ['(a|b)* | a{2,} b', regexes.or(any(ab), regexes.concat(regexes.repeat(a, 2, Infinity), b)), any(ab)],
    ['x? y | y', regexes.or(regexes.concat(maybe(word), b), b), regexes.concat(maybe(word), b)],
    ['not not', regexes.not(regexes.not(word)), word],
    ['x & not x', regexes.and(word, regexes.not(word)), regexes.nothing],
    ['text & word', regexes.and(regexes.anyText, word), word],
  ])('has one normal form: %s', (_, written, short) => {
    expect(written).toBe(short);
  });

  it('keeps counts that a shorter form would lose', () => {
    const even = regexes.repeat(regexes.repeat(a, 2, 2), 0, Infinity);
    expect(['', 'a', 'aa', 'aaa', 'aaaa'].map((text) => matches(regexes, even, text))).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
    const twoOrFour = regexes.or(regexes.repeat(a, 2, 2), regexes.repeat(a, 4, 4));
    expect(matches(regexes, twoOrFour, 'aaa')).toBe(false);
  });
});

describe('a large expression', () => {
  const names = Array.from({ length: 1000 }, (_, i) => `name${((i * 7919) % 100003).toString(36)}${'x'.repeat(i % 7)}`);

  it('is cheap: a thousand names, and everything but them', () => {
    const regexes = new Regexes();
    const all = regexes.or(...names.map((name) => regexes.text(name)));
    const others = regexes.and(regexes.anyText, regexes.not(all));
    const before = regexes.size;
    for (const name of names.slice(0, 50)) {
      expect(matches(regexes, all, name)).toBe(true);
      expect(matches(regexes, others, name)).toBe(false);
      expect(matches(regexes, others, `${name}?`)).toBe(true);
    }
    // One state for each shared prefix, and a few for each step.
    expect(regexes.size - before).toBeLessThan(1500);
    expect(regexes.isEmptyLanguage(others)).toBe(false);
    const but = regexes.or(...names.slice(1).map((name) => regexes.text(name)));
    const first = regexes.and(all, regexes.not(but));
    expect(regexes.isEmptyLanguage(first)).toBe(false);
    expect(regexes.isEmptyLanguage(regexes.and(first, regexes.not(regexes.text(names[0]!))))).toBe(true);
  });

  it('is cheap: counts', () => {
    const regexes = new Regexes();
    const before = regexes.size;
    const many = regexes.repeat(regexes.anyChar, 0, 4000);
    expect(regexes.size).toBe(before + 1);
    expect(matches(regexes, many, 'é'.repeat(4000))).toBe(true);
    expect(matches(regexes, many, 'é'.repeat(4001))).toBe(false);
    expect(regexes.size - before).toBeLessThan(30_000);
    const optional = regexes.concat(...Array.from({ length: 900 }, () => regexes.repeat(letters(regexes, 'a'), 0, 1)));
    expect(regexes.concat(optional, regexes.text('a'.repeat(900)))).toBe(
      regexes.repeat(letters(regexes, 'a'), 900, 1800),
    );
  });

  it.each([
    ['(a|aa)+', 5, (r: Regexes) => r.repeat(r.or(r.text('a'), r.text('aa')), 1, Infinity)],
    ['(a|aa){0,50}', 120, (r: Regexes) => r.repeat(r.or(r.text('a'), r.text('aa')), 0, 50)],
    [
      '(a|aa|aaa){5,50} b',
      200,
      (r: Regexes) => r.concat(r.repeat(r.or(r.text('a'), r.text('aa'), r.text('aaa')), 5, 50), r.text('b')),
    ],
    ['(a* )*b', 5, (r: Regexes) => r.concat(r.repeat(r.repeat(r.text('a'), 0, Infinity), 0, Infinity), r.text('b'))],
    [
      '([a-m]? [g-z]? x?) 145 times',
      700,
      (r: Regexes) =>
        r.concat(
          ...Array.from({ length: 145 }, () =>
            [r.bytes([[0x61, 0x6d]]), r.bytes([[0x67, 0x7a]]), r.text('x')].map((each) => r.repeat(each, 0, 1)),
          ).flat(),
        ),
    ],
    ['.* foo .*', 25, (r: Regexes) => r.concat(r.anyText, r.text('foo'), r.anyText)],
  ] as const)('has few states: %s', (_, most, build) => {
    const regexes = new Regexes();
    expect(statesOf(regexes, build(regexes)).size).toBeLessThan(most);
  });

  it('is refused by name if it takes too much work', () => {
    const regexes = new Regexes(new Fuel(20_000, 'the test'));
    const [a, b, ab] = ['a', 'b', 'ab'].map((set) => letters(regexes, set)) as [Regex, Regex, Regex];
    const with60th = (letter: Regex): Regex =>
      regexes.concat(regexes.repeat(ab, 0, Infinity), letter, regexes.repeat(ab, 60, 60));
    const both = regexes.and(with60th(a), with60th(b));
    expect(() => regexes.isEmptyLanguage(both)).toThrow(GrammarError);
    expect(() => regexes.isEmptyLanguage(both)).toThrow('the test is too large');
    regexes.fuel = new Fuel(1000, 'the test');
    // A single step is still cheap.
    expect(regexes.derivative(with60th(a), 0x61)).not.toBe(regexes.nothing);
  });

  it('needs no deep recursion: long chains, nested parts', () => {
    const regexes = new Regexes();
    const optionals = regexes.concat(
      ...Array.from({ length: 10_000 }, (_, i) => regexes.repeat(regexes.text('ab'[i % 2]!), 0, 1)),
    );
    expect(matches(regexes, optionals, 'abba')).toBe(true);
    expect(matches(regexes, optionals, 'abc')).toBe(false);
    const half = regexes.and(regexes.anyText, regexes.not(regexes.text('no')));
    let nested = regexes.text('x');
    for (let i = 0; i < 10_000; i++) nested = regexes.and(regexes.or(regexes.text('a'), nested), half);
    let optional = regexes.text('y');
    for (let i = 0; i < 10_000; i++)
      optional = regexes.repeat(regexes.or(regexes.concat(regexes.text('z'), optional), regexes.text('ab')), 0, 1);
    for (const text of ['x', 'a']) expect(matches(regexes, nested, text)).toBe(true);
    for (const text of ['ab', 'zzzab', '']) expect(matches(regexes, optional, text)).toBe(true);
    expect(matches(regexes, optional, 'zzy')).toBe(false);
  });
});
