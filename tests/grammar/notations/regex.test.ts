import { expect, test } from 'vitest';
import { choiceGrammar, regexGrammar } from '../../../src/grammar/notations/regex.ts';
import { grammarOf, refusalOf, wholeOf } from './answers.ts';

test('an expression must match the whole answer', () => {
  const of = (pattern: string, answers: string[]): string[] =>
    wholeOf(
      grammarOf((builder) => regexGrammar(pattern, builder)),
      answers,
    );
  expect(of('a|b', ['a', 'b', 'ab', 'xa'])).toEqual(['a', 'b']);
  expect(of(String.raw`^\d{2}$|é+`, ['12', 'éé', '1', '123'])).toEqual(['12', 'éé']);
});

test('an invalid expression is refused, also one that would close an enclosing group', () => {
  expect(refusalOf((builder) => regexGrammar('a)|(b', builder))).toContain('the pattern "a)|(b" ');
  expect(refusalOf((builder) => regexGrammar('a{0}', builder))).toBe('taken');
});

test('an answer is one of the choices', () => {
  const choices = ['yes', 'no', 'not', 'a.b', ''];
  const grammar = grammarOf((builder) => choiceGrammar(choices, builder));
  expect(wholeOf(grammar, [...choices, 'ye', 'axb', 'nono'])).toEqual(choices);
  expect(refusalOf((builder) => choiceGrammar([], builder))).toBe('has no choices');
});
