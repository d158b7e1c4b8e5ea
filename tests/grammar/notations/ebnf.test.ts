import { describe, expect, it, test } from 'vitest';
import type { Grammar } from '../../../src/grammar/grammar.ts';
import { ebnfGrammar } from '../../../src/grammar/notations/ebnf.ts';
import { control, grammarOf, refusalOf, verdict, wholeOf } from './answers.ts';

const grammar = (text: string): Grammar => grammarOf((builder) => ebnfGrammar(text, builder, control));

const TAKEN: [what: string, text: string, whole: string[], others: string[]][] = [
  ['sequences and repetitions', 'root ::= "a" [0-9]+ ("," [0-9]+)*', ['a1', 'a12,3'], ['a', 'a,', 'a1,']],
  [
    'recursion',
    'root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= num | "(" expr ")"\nnum ::= [0-9]+',
    ['1+2', '(3*4)-5'],
    ['((1)', '2)', '1+'],
  ],
  [
    'a rule over lines, with comments',
    '# one\nroot ::= "a" | # two\n  "b" |\n\n  "c" # three',
    ['a', 'b', 'c'],
    ['ab'],
  ],
  ['alternatives that are empty', 'root ::= ws "x" ws\nws ::= | " "', ['x', ' x', 'x ', ' x '], ['  x']],
  ['an empty group', 'root ::= "a" ()', ['a'], ['']],
  ['classes beyond ASCII', 'root ::= [α-ω😀]+ [^a-zé]', ['αβ1', '😀Z'], ['αa', 'αé', '1']],
  ['any character', 'root ::= . [^]', ['\né'], ['a']],
  ['dashes in classes', String.raw`root ::= [a-] [-b] [+--] [\-]`, ['a---', '-b,-', '--+-'], ['b---', 'a-.-']],
  ['escapes', String.raw`root ::= "\n\t\"\\\x41\u00e9\U0001F600\ud83d\ude00" [\]\^\x2f]`, ['\n\t"\\Aé😀😀]'], []],
  ['\\x of as many digits as there are', String.raw`root ::= "\x41B"`, ['Л'], ['AB']],
  ['a lookahead assertion, which holds nothing', 'root ::= a "b"\na ::= "x" (= "c")', ['xb'], ['xc']],
  ['names with dots and digits', 'root ::= a.b-1_c\na.b-1_c ::= "x"', ['x'], []],
  ['left recursion', 'root ::= root "a" | "b"', ['b', 'baa'], ['a']],
  ['rules in a circle', 'root ::= a\na ::= b\nb ::= a | "x"', ['x'], ['']],
  ['right recursion of an optional rule', 'root ::= "a" root? | "b"', ['a', 'aab'], ['', 'ba']],
  ['recursion at both ends', 'root ::= "a" root "b" | ""', ['', 'aabb'], ['aab']],
  [
    'control tokens',
    'root ::= <think> t <[258]> .*\nt ::= !</think>*',
    ['«<think>»hm«</think>»bye'],
    ['<think>«</think>»'],
  ],
  ['text without a token', 'root ::= !</think>+', ['a</think'], ['', 'a</think>', '«<think>»']],
  [
    'tags in free text',
    'root ::= TagDispatch(("<t>", b), ("<u>", c), excludes=("</a>",)) "</a>"\nb ::= "x"\nc ::= "y"',
    ['</a>', 'hi<t>x<u>y</a>'],
    ['hi', 'hi<t>y', '</a></a>'],
  ],
  ['one tag', 'root ::= TagDispatch(("<t>", b), loop_after_dispatch=false)\nb ::= "x"', ['a', 'a<t>x'], ['a<t>xa']],
];

test.each(TAKEN)('%s', (_, text, whole, others) => {
  expect(wholeOf(grammar(text), [...whole, ...others])).toEqual(whole);
});

describe('repetition', () => {
  const counts = [0, 1, 2, 3, 4, 5, 7, 8, 13];
  it.each(['x ::= "a"', 'x ::= "a" | "(" x ")"'])('follows its bounds: %s', (rule) => {
    for (const least of counts) {
      for (const most of [...counts.filter((count) => count >= least), Infinity]) {
        const range = most === Infinity ? `{${least},}` : most === least ? `{${least}}` : `{${least}, ${most}}`;
        const repeated = grammar(`root ::= x${range} "."\n${rule}`);
        const found = Array.from({ length: 17 }, (_, count) => count).filter(
          (count) => verdict(repeated, `${'a'.repeat(count)}.`) === 'whole',
        );
        const last = Math.min(most, 16);
        expect(found, range).toEqual(Array.from({ length: last - least + 1 }, (_, i) => least + i));
      }
    }
  });

  it('with large bounds needs few symbols', () => {
    const { rules } = grammar('root ::= x{0,1000000}\nx ::= "(" x ")" | "a"');
    expect(rules.length).toBeLessThan(120);
  });
});

test.each([
  ['a chain of rules', 'root ::= a ":" b\na ::= [a-z]+\nb ::= c | "-"\nc ::= [0-9]{2}'],
  ['recursion at the right end', 'root ::= "\\"" s\ns ::= "\\"" | [^"\\\\] s | "\\\\" ["\\\\n] s'],
  ['recursion at the left end', 'root ::= "a" | root "," [a-z]'],
])('a regular grammar becomes one terminal: %s', (_, text) => {
  const { rules, terminals } = grammar(text);
  expect([rules.length, terminals.length]).toEqual([1, 1]);
});

test('equal parts of long sequences share one terminal and its masks', () => {
  const { terminals } = grammar(`root ::= ${'s "," '.repeat(20)}"."\ns ::= "'" [^']* "'"`);
  expect(terminals.length).toBeLessThan(5);
});

test.each([
  ['1:1: the rule "root" is missing', 'x ::= "a"'],
  ['2:7: "b" is not defined', 'root ::= a\na ::= b'],
  ['2:1: the rule "root" is defined twice', 'root ::= "a"\nroot ::= "b"'],
  ['1:14: a rule must begin on a line of its own', 'root ::= "a" b ::= "c"'],
  ['1:10: the text is not closed on its line', 'root ::= "a\n"'],
  ['2:7: the class is not closed on its line', 'root ::= b\nb ::= [a'],
  ['1:12: ")" is expected, but the text ends', 'root ::= (a'],
  ['1:14: the name of a rule is expected, but ")" comes', 'root ::= "a" )'],
  ['1:6: "::=" is expected, but "=" comes', 'root = "a"'],
  ['1:10: a text, a class, a group or the name of a rule is expected, but "\'" comes', "root ::= 'a'"],
  ['1:13: cannot be repeated 3 times at least and 2 at most', 'root ::= "a"{3,2}'],
  ['1:14: a number is expected, but "," comes', 'root ::= "a"{,2}'],
  ['1:14: is repeated more than 1000000 times', 'root ::= "a"{1000001}'],
  ['1:14: what is repeated twice must be in parentheses', 'root ::= "a"+*'],
  ['1:11: the range ends before it begins', 'root ::= [z-a]'],
  ['1:11: \\q stands for no character', 'root ::= "\\q"'],
  ['1:13: no character has the number d83d', 'root ::= "\\ud83d"'],
  ['1:11: classes have no \\d, \\s and \\w: write the characters, as in [0-9]', 'root ::= [\\d]'],
  ['1:10: the model has no control token <nope>', 'root ::= <nope>'],
  ['1:18: a token that is not another must be repeated: !<name>* or !<name>+', 'root ::= !<think>'],
  ['1:10: the macro Regex is not supported', 'root ::= Regex("a")'],
  ['no answer can match this grammar', 'root ::= "a" root'],
  ['no answer can match this grammar', 'root ::= []'],
])('is refused: %s', (reason, text) => {
  expect(refusalOf((builder) => ebnfGrammar(text, builder, control))).toBe(reason);
});

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

test.each([
  [
    '60 rules, each twice in the one before',
    ['root ::= r0', ...numbers(60).map((i) => `r${i} ::= r${i + 1} r${i + 1} | "a"`), 'r60 ::= "x"'],
    'taken',
  ],
  [
    '60 rules in parentheses of each other',
    ['root ::= r0', ...numbers(60).map((i) => `r${i} ::= r${i + 1} | "(" r${i + 1} ")"`), 'r60 ::= "x"'],
    'taken',
  ],
  [
    'a chain of 4,000 rules',
    ['root ::= r0', ...numbers(4000).map((i) => `r${i} ::= r${i + 1}`), 'r4000 ::= "x"'],
    'taken',
  ],
  [
    '4,000 alternatives',
    [
      `root ::= ${numbers(4000)
        .map((i) => `"w${i}"`)
        .join('|')}`,
    ],
    'taken',
  ],
  ['900 that are optional, and 900', [`root ::= ${'"a"? '.repeat(900)}${'"a" '.repeat(900)}`], 'taken'],
  ['groups in groups', [`root ::= ${'('.repeat(100_000)}`], '1:210: groups are nested more than 200 deep'],
  ['a text without an end', [`root ::= "${'a'.repeat(200_000)}`], '1:10: the text is not closed on its line'],
  ['more than is read', ['a'.repeat(300_000)], 'has 300000 characters, but at most 262144 are supported'],
])('is accepted or refused without hanging: %s', (_, lines, outcome) => {
  expect(refusalOf((builder) => ebnfGrammar(lines.join('\n'), builder))).toBe(outcome);
});
