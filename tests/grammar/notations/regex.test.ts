import { expect, test } from 'vitest';
import { choiceGrammar, regexGrammar } from '../../../src/grammar/notations/regex.ts';
import { grammarOf, refusalOf, wholeOf } from './answers.ts';

test('an answer matches an expression as a whole', () => {
  const of = (pattern: string, answers: string[]): string[] =>
    wholeOf(
      grammarOf((builder) => regexGrammar(pattern, builder)),
      answers,
    );
  expect(of('a|b', ['a', 'b', 'ab', 'xa'])).toEqual(['a', 'b']);
  expect(of(String.raw`^\d{2}$|é+`, ['12', 'éé', '1', '123'])).toEqual(['12', 'éé']);
});

test('an expression that is none is refused, and so is one that would close what it stands in', () => {
  expect(refusalOf((builder) => regexGrammar('a)|(b', builder))).toContain('the pattern "a)|(b" ');
  expect(refusalOf((builder) => regexGrammar('a{0}', builder))).toBe('taken');
});

test('an answer is one of the choices', () => {
  const choices = ['yes', 'no', 'not', 'a.b', ''];
  const grammar = grammarOf((builder) => choiceGrammar(choices, builder));
  expect(wholeOf(grammar, [...choices, 'ye', 'axb', 'nono'])).toEqual(choices);
  expect(refusalOf((builder) => choiceGrammar([], builder))).toBe('has no choices');
});
