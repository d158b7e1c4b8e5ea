import { describe, expect, it, test } from 'vitest';
import type { Grammar } from '../../../src/grammar/grammar.ts';
import { larkGrammar } from '../../../src/grammar/notations/lark.ts';
import { control, grammarOf, refusalOf, verdict, wholeOf } from './answers.ts';

const grammar = (text: string): Grammar => grammarOf((builder) => larkGrammar(text, builder, control));
const raw = String.raw;

const TAKEN: [what: string, text: string, whole: string[], others: string[]][] = [
  ['rules and terminals', 'start: a B*\na: "x" | "(" a ")"\nB: C C\nC: "y"', ['x', '((x))yyyy'], ['xy', '((x)']],
  [
    'bars and comments over lines',
    'start: "a" // one\n  | "b" # two\n# three\n\n  | ["c" "d"]',
    ['a', 'b', 'cd', ''],
    ['c'],
  ],
  ['groups over lines', 'start: ("a"\n  "b")+', ['ab', 'abab'], ['a']],
  [
    'how often',
    'start: "a"~2 "b"~1..2 "c"{2} "d"{,2} "e"{1,} A\nA: "f"{2,3}',
    ['aabcceff', 'aabbccdefff'],
    ['abcceff'],
  ],
  ['priorities, aliases and marks of trees', '?start.2: a -> b | C\n!a: "a"\nC.1: "c"', ['a', 'c'], ['ac']],
  ['ranges and case', 'start: "a".."c" "xY"i "α".."γ"', ['aXyβ', 'cxyα'], ['dxyα', 'axyδ']],
  ['escapes', raw`start: "\"\\\n\u00e9\x41\ud83d\ude00"`, ['"\\\néA😀'], []],
  ['patterns and their flags', raw`start: /a.b/ /c.d/s /e/i /\/[^\/]/`, ['axbc\ndE/x'], ['a\nbc\ndE/x', 'axbc\ndE//']],
  ['and, not', 'start: X "."\nX: /[a-z]*/ & ~/.*bad.*/', ['.', 'ba.', 'dab.'], ['bad.', 'xbady.']],
  [
    'names of common',
    '%import common.INT\n%import common.CNAME -> ID\n%import common (WS_INLINE, SIGNED_FLOAT)\nstart: ID WS_INLINE INT ";" SIGNED_FLOAT',
    ['a1 \t12;-1.5e3'],
    ['1a 12;1.5', 'a 1;1'],
  ],
  ['a terminal that ends before it must', 'start: /a+/ "a"', ['aa', 'aaa'], ['a']],
  [
    'JSON Schema',
    'start: "v=" %json {\n  "type": "object", "properties": {"a": {"enum": ["}", 1]}}, "required": ["a"], "additionalProperties": false\n} ";"',
    ['v={"a": "}"};', 'v={"a":1};'],
    ['v={"a":2};', 'v={};'],
  ],
  [
    'a grammar within',
    'start: "<" inner ">"\ninner: %lark {\n  start: A | "(" start ")"\n  A: "a"\n}',
    ['<a>', '<((a))>'],
    ['<(a>'],
  ],
  [
    'runs of words',
    'start: "[" %regex {"substring_words": "foo bar, baz"} "]"',
    ['[]', '[foo]', '[ bar,]', '[bar, baz]'],
    ['[fo]', '[foo baz]'],
  ],
  [
    'runs of chunks',
    'start: A\nA: %regex {"substring_chunks": ["ab", "c", "ab"]} "!"',
    ['!', 'abc!', 'cab!'],
    ['a!', 'abab!'],
  ],
  [
    'control tokens',
    raw`start: <think> "\n" /(.|\n)*/ <[258,260]> "x"`,
    ['«<think>»\nhm«</think>»x'],
    ['<think>\n«</think>»x'],
  ],
  [
    'text without the names of control tokens',
    raw`start: /(.|\n)*/ </think> "x"`,
    ['a«</think>»x'],
    ['a</think>«</think>»x'],
  ],
];

test.each(TAKEN)('%s', (_, text, whole, others) => {
  expect(wholeOf(grammar(text), [...whole, ...others])).toEqual(whole);
});

describe('%ignore', () => {
  const rules = 'start: "a" n+ "."\nn: /[0-9]/';

  it('applies between terminals, not before the first or after the last', () => {
    const spaced = grammar(`%ignore / +/\n%ignore "_"\n${rules}`);
    const whole = ['a1.', 'a 1  2_3 .'];
    expect(wholeOf(spaced, [...whole, ' a1.', 'a1. '])).toEqual(whole);
  });

  it('applies after a terminal that may be the last if another may follow', () => {
    expect(verdict(grammar('%ignore " "\nstart: "a"+'), 'a  a ')).toBe('whole');
  });

  it('does not apply within terminals', () => {
    expect(wholeOf(grammar('%ignore " "\nstart: A "."\nA: "a" "b"'), ['ab .', 'a b.'])).toEqual(['ab .']);
  });

  it('applies after a schema, not before it', () => {
    const schema = grammar('%ignore " "\nstart: "v" %json {"type": "integer"} ";"');
    expect(wholeOf(schema, ['v1 ;', 'v 1;'])).toEqual(['v1 ;']);
  });

  it('applies at the beginning, or only once, if the options say so', () => {
    const options = '%llguidance {"allow_initial_skip": true, "ignore_once": true}\n%ignore " "\n';
    expect(wholeOf(grammar(options + rules), [' a1 .', '  a1.', 'a  1.'])).toEqual([' a1 .']);
  });
});

describe('lazy rules', () => {
  it('end at the first match', () => {
    const lazy = grammar('start: a b\na[lazy]: /[a-z]+;/\nb: /[a-z;]*/');
    expect(wholeOf(lazy, ['ab;cd;e', 'ab'])).toEqual(['ab;cd;e']);
    const whole = ['foo<e>', 'foo<e'];
    expect(wholeOf(grammar('start: s ["x"]\ns[suffix="<e>"]: /.*/'), [...whole, 'foo<e>bar<e>'])).toEqual(['foo<e>']);
    expect(wholeOf(grammar('start: s\ns[lazy]: /[0-9]+/'), ['1', '12'])).toEqual(['1']);
  });

  it('discard longer readings', () => {
    const calls = grammar(raw`start: ( f_foo | f_bar )* f_end
f_end: TEXT
TEXT: /(.|\n)*/
f_foo_hd[lazy]: TEXT "<function"
f_foo: f_foo_hd "=foo>" /[a-z]/ "</function>"
f_bar_hd[lazy]: TEXT "<function"
f_bar: f_bar_hd "=bar>" /[0-9]+/ "</function>"`);
    const whole = ['', 'hi <func', 'a<function=bar>12</function> or <function=foo>x</function>!'];
    expect(wholeOf(calls, [...whole, 'a<function', 'a<function=baz', 'a<function=bar>x</function>'])).toEqual(whole);
  });

  it('do not affect rules at other positions', () => {
    const other = grammar(raw`start: hd "(" /.*/ ")" | "x"
hd[lazy]: /.*/ "<"`);
    expect(verdict(other, 'a<(b<c)')).toBe('whole');
  });

  it('with stop match text without the stop string', () => {
    const stopped = grammar('start: s "<end>"\ns[capture, stop="<end>"]: /.*/');
    expect(wholeOf(stopped, ['foo<end>', 'foo<end>bar<end>'])).toEqual(['foo<end>']);
  });
});

test.each([
  ['1:1: the rule "start" is missing', 'root: "a"'],
  ['2:4: "b" is not defined', 'start: a\na: b'],
  ['1:8: "B" is not defined', 'start: B'],
  ['2:7: "b" is a rule: a terminal has no rules in it', 'start: A b\nA: "x" b\nb: "b"'.replace('A: "x" b', 'A: "" b')],
  ['2:1: the terminal A refers to itself', 'start: A\nA: "a" B\nB: "b" A | "c"'],
  ['2:1: "start" is defined twice', 'start: "a"\nstart: "b"'],
  ['1:8: the text is not closed on its line', 'start: "a'],
  ['1:8: the regular expression is not closed on its line', 'start: /a'],
  ['1:12: ")" is expected, but the text ends', 'start: ("a"'],
  ['1:8: "fooBar" is neither a rule, which is in small letters, nor a terminal, which is in capitals', 'start: fooBar'],
  ['1:11: cannot be repeated 7 times at least and 6 at most', 'start: "a"{7,6}'],
  ['1:8: the range ends before it begins', 'start: "b".."a"'],
  ['1:8: only terminals may have an &: name the rule in capitals', 'start: "a" & "b"'],
  ['2:4: the control token <think> cannot be in a terminal', 'start: A\nA: <think>'],
  ['1:8: the model has no control token <nope>', 'start: <nope>'],
  ['1:8: <[*]> is no list of tokens: all but a few cannot be asked for', 'start: <[*]>'],
  ['1:14: the object of JSON is not closed', 'start: %json {'],
  [
    '1:8: type must be one of null, boolean, number, integer, string, array, object, or a list of them',
    'start: %json {"type": "x"}',
  ],
  ['1:8: %regex has one of substring_chunks, substring_words and substring_chars', 'start: %regex {}'],
  ['1:8: there is no "common.NOPE" to be imported', '%import common.NOPE\nstart: "a"'],
  ['1:1: %declare is not supported', '%declare A\nstart: A'],
  ['1:6: templates are not supported', 'start{x}: "a"'],
  ['1:7: max_tokens is not supported', 'start[max_tokens=5]: /a/'],
  ['1:7: "nope" is no attribute that is known', 'start[nope]: /a/'],
  ['1:8: other grammars cannot be referred to', 'start: @other'],
  ['1:1: %llguidance has no "nope" here, or it is not true or false', '%llguidance {"nope": true}\nstart: "a"'],
  ['no answer can match this grammar', 'start: "a" start'],
])('is refused: %s', (reason, text) => {
  expect(refusalOf((builder) => larkGrammar(text, builder, control))).toBe(reason);
});

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test.each([
  ['a chain of terminals', ['start: T0', ...numbers(1000).map((i) => `T${i}: T${i + 1}`), 'T1000: "x"'], /^taken$/],
  ['a ring of rules', ['start: r0', ...numbers(1000).map((i) => `r${i}: "a" r${(i + 1) % 1000}`)], /no answer/],
  [
    'many lazy rules',
    [
      'start: (r0 | r1)*',
      ...numbers(100).map((i) => `r${i}: h${i} "x"`),
      ...numbers(100).map((i) => `h${i}[lazy]: /.*/ "<${i}>"`),
    ],
    /^taken$/,
  ],
  ['1,000 that are ignored', ['start: "a" "b"', ...numbers(1000).map((i) => `%ignore /w${i}/`)], /^taken$/],
  ['groups in groups', [`start: ${'('.repeat(100_000)}`], /^1:208: groups are nested/],
  ['grammars in grammars', [`start: ${'%lark { start: '.repeat(3000)}`], /groups are nested/],
])('is accepted or refused without hanging: %s', (_, lines, outcome) => {
  expect(refusalOf((builder) => larkGrammar(lines.join('\n'), builder))).toMatch(outcome);
});
