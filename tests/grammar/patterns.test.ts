import { describe, expect, it } from 'vitest';
import { Random } from '../support/random.ts';
import { allows, byteGrammars } from '../support/grammars/random-answer.ts';

const grammars = byteGrammars();

/** Of é and è the first bytes are alike. */
const CHARACTERS = ['a', 'b', 'é', 'è'];
const ATOMS = [...CHARACTERS, '[ab]', '[bé]', '[éè]', '[^a]', '\\w', 'ab'];
const REPEATED = ['*', '+', '?', '{1,2}', '{2}'];

/** All texts of at most so many characters. */
const texts = (length: number): string[] =>
  length === 0 ? [''] : ['', ...CHARACTERS.flatMap((first) => texts(length - 1).map((rest) => first + rest))];

/** What of them a schema's pattern takes, and what the regular expression does. */
async function taken(pattern: string, length: number): Promise<{ taken: string[]; matched: string[] }> {
  const all = texts(length);
  const whole = new RegExp(`^(?:${pattern})$`, 'u');
  const isTaken = await Promise.all(all.map((text) => allows(grammars, { type: 'json_schema', schema: { type: 'string', pattern } }, `"${text}"`)));
  return { taken: all.filter((_, i) => isTaken[i]), matched: all.filter((text) => whole.test(text)) };
}

function randomPattern(random: Random, depth: number): string {
  const pick = (from: readonly string[]): string => from[random.below(from.length)] ?? '';
  const inner = (): string => randomPattern(random, depth - 1);
  const kind = depth === 0 ? 0 : random.below(5);
  if (kind === 0) return Array.from({ length: 1 + random.below(3) }, () => pick(ATOMS)).join('');
  if (kind === 1) return inner() + inner();
  if (kind === 2) return `(${inner()})${pick(REPEATED)}`;
  return `(${Array.from({ length: 2 + random.below(3) }, inner).join('|')})`;
}

describe('a pattern takes what the regular expression matches, and nothing else', () => {
  // As they stand, the library's automata of these take aaa, bbb, baèa and èé too.
  it.each([
    '(a|b[ab]|b[ab][ab])c?',
    '((é[^a][^a]|é[bé])|(èa|[bé]b)|(è[éè]|è))',
    '(([bé][bé]|[éè]è)|(é\\w|é[ab]è|b|[ab]bab)|([éè][ab]|b|èb[bé]))(éé[éè]|è[ab])',
    '(([^a]|é[éè]|bè|[ab])|((abab|b)){1,2}|([^a]\\w|[ab][^a]|[bé]\\w|\\w))',
  ])('%s', async (pattern) => {
    const found = await taken(pattern, 4);
    expect(found.taken).toEqual(found.matched);
    expect(found.taken).not.toEqual([]);
  });

  it.each(Array.from({ length: 16 }, (_, seed) => randomPattern(new Random(seed), 3)))('%s', async (pattern) => {
    const found = await taken(pattern, 3);
    expect(found.taken).toEqual(found.matched);
  });
});

it('a pattern whose automaton is large is kept to as it stands', async () => {
  const schema = { type: 'string', pattern: '^.{0,100}stop.{0,100}[.!?]$' };
  for (const [text, isTaken] of [['Do stop here!', true], ['Do not!', false], ['stop here', false]] as const) {
    expect(await allows(grammars, { type: 'json_schema', schema }, `"${text}"`), text).toBe(isTaken);
  }
});
