import { describe, expect, it } from 'vitest';
import { Fuel, GrammarError } from '../../src/grammar/limits.ts';
import { byteClasses, type Range, type Regex, Regexes } from '../../src/grammar/regex/regexes.ts';
import { type Dialect, lower, parsePattern } from '../../src/grammar/regex/syntax.ts';

const ENCODER = new TextEncoder();

/** Returns a function that reports whether a pattern matches a whole text. */
function matcher(source: string, dialect: Dialect = 'ecma', flags = ''): (text: string) => boolean {
  const regexes = new Regexes();
  const regex = lower(parsePattern(source, dialect, { flags }), regexes);
  return (text) => {
    let rest = regex;
    for (const byte of ENCODER.encode(text)) rest = regexes.derivative(rest, byte);
    return regexes.isNullable(rest);
  };
}

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof GrammarError) return error.message;
    throw error;
  }
  return 'taken';
}

function textsOf(letters: readonly string[], longest: number): string[] {
  const texts = [''];
  for (const text of texts)
    if (Array.from(text).length < longest) for (const letter of letters) texts.push(text + letter);
  return texts;
}

/** Random numbers below `n`, the same in each run. */
function randomNumbers(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
}

describe('ECMAScript, compared with the JavaScript engine of this test', () => {
  it.each([
    // Anchors.
    ['ab', ''],
    ['^ab', ''],
    ['ab$', ''],
    ['^(a|b-)*$', ''],
    ['^a|b$', ''],
    ['(^|-)a($|b)', ''],
    ['(^a|b)*$', ''],
    ['^(a|b$)+', ''],
    ['a^b|$^', ''],
    ['(?:^a|-$){2}', ''],
    // Word boundaries.
    ['\\ba', ''],
    ['a\\b-\\bb', ''],
    ['^(\\Ba|b\\B)', ''],
    ['\\b\\b', ''],
    ['^a?\\b', ''],
    // Look-around.
    ['^(?=.*a)(?=.*b).{2,3}$', ''],
    ['^(?!.*--)[ab-]+$', ''],
    ['^(?!a$)', ''],
    ['(?!^a)b', ''],
    ['(?=a)[ab]b', ''],
    ['(?<=a)b', ''],
    ['(?<!a)b(?!-)', ''],
    ['(?<=^|-)a(?=-|$)', ''],
    ['^(?:(?!ab).)*$', ''],
    ['^(?:(?!-)[^a])+b', ''],
    ['^[ab-]+(?<!-)$', ''],
    ['^(?!(?!a)).', ''],
    ['(?=a(?!b))a.', ''],
    ['^(?=(?:a|b)*$)(?!.*aa)', ''],
    // Quantifiers.
    ['^a{2}b{0,1}-{1,}$', ''],
    ['^a*?b+?-??$', ''],
    ['^(?:a|b){2,3}(-?){2}$', ''],
    ['^(a*)*b$', ''],
    ['^(?:a|aa)+$', ''],
    ['^()|a{0}$', ''],
    // Groups.
    ['^(?<name>a)(?:b)$', ''],
    ['^a||b$', ''],
    // Classes.
    ['^[^a]$', ''],
    ['^[a\\-b]+$', ''],
    ['^[]|[^]$', ''],
    ['^[-a]+$', ''],
    ['^.$', 's'],
  ] as const)('takes the same texts: %s', (source, flags) => {
    const expected = new RegExp(source, flags);
    const actual = matcher(source, 'ecma', flags);
    for (const text of textsOf(['a', 'b', '-', '\n'], 4))
      expect(actual(text), JSON.stringify(text)).toBe(expected.test(text));
  });

  it('random patterns match the same texts', () => {
    const random = randomNumbers(3);
    const letters = ['a', 'b', 'c', 'é', '😀', '-'];
    const oneOf = <T>(values: readonly T[]): T => values[random(values.length)]!;
    function pattern(depth: number): string {
      const part = (): string => pattern(depth - 1);
      const kind = random(depth <= 0 ? 4 : 15);
      if (kind < 3) return oneOf(letters);
      if (kind === 3) return oneOf(['[ab]', '[^a]', '.', '\\w', '[a-cé]', '\\W', '\\S']);
      if (kind < 8) return part() + part();
      if (kind < 10) return `(?:${part()}|${part()})`;
      if (kind < 12) return `(?:${part()})${oneOf(['*', '+', '?', '{2}', '{1,3}', '{0,2}', '{2,}', '*?'])}`;
      if (kind === 12) return oneOf(['^', '$', '\\b', '\\B']);
      return kind === 13 ? `(?${oneOf(['=', '!', '<=', '<!'])}${pattern(depth - 2)})` : part();
    }
    let taken = 0;
    for (let i = 0; i < 250; i++) {
      const source = pattern(5);
      const expected = new RegExp(source, 'u');
      let actual;
      try {
        actual = matcher(source);
      } catch (error) {
        expect(error).toBeInstanceOf(GrammarError);
        continue;
      }
      taken++;
      for (let j = 0; j < 8; j++) {
        const text = Array.from({ length: random(7) }, () => oneOf(letters)).join('');
        // V8 also tests assertions between the halves of a surrogate pair.
        if (text.includes('😀') && /\(\?[=!<]|\\B/.test(source)) continue;
        expect(actual(text), `${source} on ${JSON.stringify(text)}`).toBe(expected.test(text));
      }
    }
    expect(taken).toBeGreaterThan(200);
  });

  const CHARACTERS = Array.from({ length: 0x180 }, (_, point) => String.fromCodePoint(point)).concat([
    ...'ıſKΩΩẞßıİ٣\u2028\u2029\ufeff\u1680\u3000\u200b漢字😀𝒳\u{10ffff}\ud7ff\ue000',
  ]);

  it.each([
    ['\\d', ''],
    ['\\D', ''],
    ['\\w', ''],
    ['\\W', ''],
    ['\\s', ''],
    ['\\S', ''],
    ['.', ''],
    ['.', 's'],
    ['[\\s\\S]', ''],
    ['[^\\d\\w]', ''],
    ['[\\b\\-\\]\\\\/]', ''],
    ['\\t|\\n|\\v|\\f|\\r|\\0|\\cJ|\\x41|\\u00e9', ''],
    ['\\u{1F600}|\\ud83d\\ude00|[\\u{1d4b3}]', ''],
    ['[à-ÿ]', ''],
    ['\\p{L}', ''],
    ['\\P{Lu}', ''],
    ['[\\p{Script=Greek}\\p{Nd}]', ''],
    ['[^\\p{ASCII}]', ''],
    ['[a-z]', 'i'],
    ['[^k]', 'i'],
    ['s|ß|ω', 'i'],
    ['\\w', 'i'],
    ['\\.|\\/|\\^|\\$|\\{|\\}', ''],
  ])('matches the same characters: %s %s', (source, flags) => {
    const expected = new RegExp(`^(?:${source})$`, `u${flags}`);
    const actual = matcher(`^(?:${source})$`, 'ecma', flags);
    for (const char of CHARACTERS)
      expect(actual(char), `U+${char.codePointAt(0)!.toString(16)}`).toBe(expected.test(char));
  });

  it('accepts browser syntax outside of Unicode mode: identity escapes and literal braces', () => {
    expect(matcher('^\\_\\-\\:\\@$')('_-:@')).toBe(true);
    expect(matcher('^[\\w-.]+$')('a-.b')).toBe(true);
    expect(matcher('^[\\w-.]+$')('a,')).toBe(false);
    expect(matcher('^{a}{$')('{a}{')).toBe(true);
    expect(matcher('^]}$')(']}')).toBe(true);
    expect(matcher('(?i)ab')('xAbx')).toBe(true);
  });

  it.each([
    ['(a)\\1', '\\1, a reference to a group, which is not supported'],
    ['(?<n>a)\\k<n>', '\\k, a reference to a group'],
    ['(a', 'a group that is not closed'],
    ['a)', 'a ) without its ('],
    ['[a', 'a class that is not closed'],
    ['*a', 'a * with nothing before it'],
    ['a**', 'a quantifier after another'],
    ['a++', 'possessive quantifier'],
    ['a{3,2}', 'repeats from 3 to 2 times'],
    ['a{,2}', '{,2}, which is {0,2} in other dialects'],
    ['a\\', 'ends in \\'],
    ['[b-a]', 'a range that ends before it begins'],
    ['\\u12', 'without its 4 hexadecimal digits'],
    ['\\p{Nonsense}', '\\p{Nonsense} is no property of Unicode'],
    ['\\Aab\\Z', '\\A, which ECMAScript has not'],
    ['(?>a)', 'a kind of group that is not supported'],
    ['(?q)a', 'a flag "q"'],
    ['(?:\\ba\\b ?)+', 'repeats an assertion'],
    ['^(?:(?!ab).)*b', 'repeats a lookahead where something else may follow'],
    ['(?=.*ab.*(?<!aab))', 'depend on each other'],
    [`${'(^a|b$)'.repeat(10)}`, 'too many alternatives with assertions'],
    ['[\\p{L}]'.repeat(2000), 'lists too many characters'],
    [`${'('.repeat(600)}a${')'.repeat(600)}`, 'nests groups more than 500 deep'],
  ])('is refused by name: %s', (source, reason) => {
    expect(refusal(() => parsePattern(source, 'ecma', { at: 'properties.a' }))).toContain(reason);
    expect(refusal(() => parsePattern(source, 'ecma', { at: 'properties.a' }))).toMatch(
      /^properties\.a: the pattern "/,
    );
  });
});

describe('Rust', () => {
  it.each<[source: string, flags: string, taken: string[], refused: string[]]>([
    ['ab|c', '', ['ab', 'c'], ['xab', 'abx', '']],
    ['^a|b$', '', ['a', 'b'], ['ab', 'xa']],
    ['\\Aa\\z', '', ['a'], ['aa']],
    ['\\d+', '', ['12', '٣'], ['a']],
    ['\\w', '', ['é', '漢', '_'], ['-']],
    ['\\s', '', [' ', '\u00a0', '\u0085'], ['\ufeff']],
    ['(?-u:\\d\\w\\s)', '', ['1a '], ['٣a ', '1é ']],
    ['.', '', ['\r', 'é'], ['\n']],
    ['.', 's', ['\n'], []],
    ['(?s:.).', '', ['\na'], ['a\n']],
    ['ab', 'i', ['AB', 'aB'], ['a']],
    ['a(?i)b|c', '', ['aB', 'C'], ['Ab']],
    ['(?i:a)b', '', ['Ab'], ['AB']],
    ['a(?:(?i)b)c', '', ['aBc'], ['aBC']],
    ['(?i-s)a', '', ['A'], []],
    [' a b # comment\n c\\ ', 'x', ['abc '], ['a b c']],
    ['[a b]', 'x', ['a', 'b'], [' ']],
    ['a.b', 'm', [], ['a\nb']],
    ['(?m)a\n^b$', '', ['a\nb'], []],
    ['[[:alpha:][:^ascii:]]', '', ['a', 'é'], ['1']],
    ['[a-z&&[^aeiou]]', '', ['b'], ['a', 'A']],
    ['[a-z--aeiou]', '', ['b'], ['a', '-']],
    ['[a-c~~b-d]', '', ['a', 'd'], ['b']],
    ['[^a[b-d]]', '', ['e'], ['a', 'c']],
    ['[]a]+', '', [']a'], ['']],
    ['[a-]', '', ['-', 'a'], ['b']],
    ['\\pL\\p{Greek}\\p{^L}\\P{L}', '', ['aα1-'], ['1α1-']],
    ['\\p{script=greek}\\p{lowercase_letter}', '', ['αa'], ['aA']],
    ['\\x41\\x{1F600}\\u0041\\U00000041', '', ['A😀AA'], []],
    ['a{2}{2}', '', ['aaaa'], ['aa']],
    ['a**|b??', '', ['aaa', 'b', ''], []],
    ['(?P<n>a)(?<m>b)', '', ['ab'], []],
    ['(?U)a+', '', ['aa'], []],
    ['\\/\\-\\.\\a', '', ['/-.\u0007'], []],
  ])('reads %s %s', (source, flags, taken, refused) => {
    const matches = matcher(source, 'rust', flags);
    for (const text of taken) expect(matches(text), JSON.stringify(text)).toBe(true);
    for (const text of refused) expect(matches(text), JSON.stringify(text)).toBe(false);
  });

  it.each([
    '(?=a)',
    '(?<!a)',
    '\\1',
    '\\<a',
    '\\é',
    '\\q',
    '\\0',
    'a{',
    'a{x}',
    '[\\w-.]',
    '[]',
    '(?l)a',
    '\\Z',
    '\\b{start}a',
  ])('refuses %s', (source) => {
    expect(refusal(() => parsePattern(source, 'rust', { at: '3:7' }))).toMatch(/^3:7: the pattern /);
  });
});

describe('lowering', () => {
  /** A character as JSON might write it: " and \ with a backslash, a with or without one. */
  function quoted(regexes: Regexes): (ranges: readonly Range[]) => Regex {
    const plain: Range[] = [
      [0x20, 0x21],
      [0x23, 0x5b],
      [0x5d, 0x10ffff],
    ];
    const isIn = (ranges: readonly Range[], point: number): boolean =>
      ranges.some(([first, last]) => first <= point && point <= last);
    return (ranges) =>
      regexes.or(
        ...ranges.flatMap(([first, last]) =>
          plain.map(([from, to]) => regexes.chars([[Math.max(first, from), Math.min(last, to)]])),
        ),
        ...['"', '\\', 'a'].filter((char) => isIn(ranges, char.charCodeAt(0))).map((char) => regexes.text(`\\${char}`)),
      );
  }

  it('uses the given encoding of each character, in complements too', () => {
    const regexes = new Regexes();
    const matches = (source: string, text: string): boolean => {
      let regex = lower(parsePattern(source, 'ecma'), regexes, quoted(regexes));
      for (const byte of ENCODER.encode(text)) regex = regexes.derivative(regex, byte);
      return regexes.isNullable(regex);
    };
    expect(matches('^"a$', '\\"a')).toBe(true);
    expect(matches('^"a$', '\\"\\a')).toBe(true);
    expect(matches('^"a$', '"a')).toBe(false);
    expect(matches('^(?!.*a)', '\\"b')).toBe(true);
    expect(matches('^(?!.*a)', '\\a')).toBe(false);
    expect(matches('^(?!.*a)', 'ba')).toBe(false);
    // A complement holds only texts in that encoding.
    expect(matches('^(?!.*a)', '"')).toBe(false);
    expect(matches('^[^a]$', '\\\\')).toBe(true);
  });

  it('turns an empty class into nothing', () => {
    const regexes = new Regexes();
    expect(lower(parsePattern('a[]', 'ecma'), regexes)).toBe(regexes.nothing);
  });
});

describe('hostile patterns', () => {
  /** Each pattern is stepped through its text with little fuel. */
  it.each([
    [`^${'[a-z]?'.repeat(145)}$`, 'abc'.repeat(48)],
    [`^${'(a|b)?'.repeat(500)}$`, 'ab'.repeat(250)],
    [`^${'a?'.repeat(900)}${'a'.repeat(900)}$`, 'a'.repeat(1000)],
    [`^${'[a-m]?[g-z]?x?'.repeat(145)}$`, 'amx'.repeat(100)],
    ['^(a*)*b$', `${'a'.repeat(500)}b`],
    ['^.*.*.*.*x$', `${'a'.repeat(500)}x`],
    ['^(.*a){12}x$', `${'a'.repeat(500)}x`],
    ['^(x+x+)+y$', `${'x'.repeat(500)}y`],
    ['^(?:a|aa)+$', 'a'.repeat(500)],
    ['^[ab]*a[ab]{60}$', 'a'.repeat(100)],
    ['^.{0,1000}a.{0,1000}$', 'ab'.repeat(200)],
    ['^(a{1000}){1000}$|^a$', 'a'],
    [`^${'(?=.*[a-z])'.repeat(20)}.{3,}$`, 'abc'],
    [`${'('.repeat(300)}a${')*'.repeat(300)}`, 'a'],
    [`^${'(a|b'.repeat(490)}${')*'.repeat(490)}$`, 'abab'],
    [`^${'ab'.repeat(10_000)}$`, 'ab'.repeat(10_000)],
    [`^${'a?b?'.repeat(5000)}$`, 'abba'],
    [`^(${Array.from({ length: 500 }, (_, i) => `w${i}[a-z]*`).join('|')})$`, 'w499abc'],
    [`^${'(\\b|a)'.repeat(4)}`, 'aaa'],
    [Array.from({ length: 500 }, (_, i) => `^w${i}$`).join('|'), 'w499'],
  ])('take little work: %.40s', (source, text) => {
    const regexes = new Regexes(new Fuel(200_000, 'the pattern'));
    const { classOf } = byteClasses(regexes, [lower(parsePattern(source, 'ecma'), regexes)]);
    expect(classOf).toHaveLength(256);
    let regex = lower(parsePattern(source, 'ecma'), regexes);
    for (const byte of ENCODER.encode(text)) regex = regexes.derivative(regex, byte);
    expect(regexes.isNullable(regex)).toBe(true);
  });

  it('are charged for parsing, and each is bounded by itself', () => {
    const source = '\\b\\w*'.repeat(4);
    const fuel = new Fuel(100_000, 'the schema');
    parsePattern(source, 'ecma', { at: 'a', fuel });
    expect(fuel.left).toBeLessThan(99_000);
    const read = (): void => {
      for (;;) parsePattern(source, 'ecma', { at: 'a', fuel });
    };
    expect(read).toThrow(new GrammarError('the schema is too large: it takes more work than is allowed'));
    expect(refusal(() => parsePattern('(?<!a)b*(?!c)d*'.repeat(15), 'ecma'))).toContain('too many alternatives');
  });
});
