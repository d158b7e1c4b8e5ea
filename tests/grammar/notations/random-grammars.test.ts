import { expect, test } from 'vitest';
import { ebnfGrammar } from '../../../src/grammar/notations/ebnf.ts';
import { Random } from '../../support/random.ts';
import { grammarOf, refusalOf, wholeOf } from './answers.ts';

/** An EBNF expression: its text, and the short words that it matches. */
interface Part {
  text: string;
  words(rules: readonly Set<string>[]): Set<string>;
}

const LONGEST = 5;
const RULES = ['root', 'r1', 'r2', 'r3'];

const joined = (before: Set<string>, after: Set<string>): Set<string> =>
  new Set([...before].flatMap((a) => [...after].map((b) => a + b)).filter((word) => word.length <= LONGEST));

function repeated(words: Set<string>, least: number, most: number): Set<string> {
  const all = new Set<string>();
  let power = new Set(['']);
  // Words have at most `LONGEST` letters, so that more rounds add nothing.
  for (let count = 0; count <= Math.min(most, least + LONGEST); count++) {
    if (count >= least) for (const word of power) all.add(word);
    power = joined(power, words);
  }
  return all;
}

function randomPart(random: Random, depth: number): Part {
  const kind = random.below(depth === 0 ? 4 : 9);
  const parts = (): Part[] => Array.from({ length: 1 + random.below(3) }, () => randomPart(random, depth - 1));
  if (kind < 2) {
    const text = ['a', 'b', '', 'ab'][random.below(4)]!;
    return { text: `"${text}"`, words: () => new Set([text]) };
  }
  if (kind === 2) {
    const chars = ['ab', 'a', 'b'][random.below(3)]!;
    return { text: `[${chars}]`, words: () => new Set(chars) };
  }
  if (kind === 3) {
    const rule = random.below(RULES.length);
    return { text: RULES[rule]!, words: (rules) => rules[rule]! };
  }
  if (kind < 6) {
    const all = parts();
    const text = `(${all.map((part) => part.text).join(' ')})`;
    return { text, words: (rules) => all.map((part) => part.words(rules)).reduce(joined, new Set([''])) };
  }
  if (kind < 8) {
    const all = parts();
    const text = `(${all.map((part) => part.text).join(' | ')})`;
    return { text, words: (rules) => new Set(all.flatMap((part) => [...part.words(rules)])) };
  }
  const part = randomPart(random, depth - 1);
  const least = random.below(3);
  const most = [Infinity, least, least + random.below(3)][random.below(3)]!;
  const text = `(${part.text}){${least},${most === Infinity ? '' : most}}`;
  return { text, words: (rules) => repeated(part.words(rules), least, most) };
}

/** The short words of each rule, as a least fixed point. */
function wordsOf(bodies: readonly Part[]): Set<string>[] {
  let rules = bodies.map(() => new Set<string>());
  for (;;) {
    const next = bodies.map((body) => body.words(rules));
    if (next.every((words, i) => words.size === rules[i]!.size)) return next;
    rules = next;
  }
}

test('random grammars, recursive and folded ones too, match their words', () => {
  const all = [''];
  for (const word of all) if (word.length < LONGEST) all.push(`${word}a`, `${word}b`);
  const random = new Random(17);
  for (let i = 0; i < 150; i++) {
    const bodies = RULES.map(() => randomPart(random, 3));
    const text = bodies.map((body, rule) => `${RULES[rule]} ::= ${body.text}`).join('\n');
    const [words = new Set<string>()] = wordsOf(bodies);
    const refusal = refusalOf((builder) => ebnfGrammar(text, builder));
    if (words.size === 0) {
      // All its words may be longer.
      expect(refusal, text).toMatch(/^(taken|no answer can match this grammar)$/);
      continue;
    }
    const grammar = grammarOf((builder) => ebnfGrammar(text, builder));
    expect(new Set(wholeOf(grammar, all)), text).toEqual(words);
  }
});
