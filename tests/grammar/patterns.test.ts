import { describe, expect, it } from 'vitest';
import { schemaGrammar } from '../../src/grammar/json-schema.ts';
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
  const isTaken = await Promise.all(
    all.map((text) => allows(grammars, { type: 'json_schema', schema: { type: 'string', pattern } }, `"${text}"`)),
  );
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
  for (const [text, isTaken] of [
    ['Do stop here!', true],
    ['Do not!', false],
    ['stop here', false],
  ] as const) {
    expect(await allows(grammars, { type: 'json_schema', schema }, `"${text}"`), text).toBe(isTaken);
  }
});

const takes = (schema: object, text: string): Promise<boolean> =>
  allows(grammars, { type: 'json_schema', schema }, text);

// The library counts bytes beyond ASCII of what comes at least once and more than 128 times at most.
it.each<[schema: object, taken: string[], refused: string[]]>([
  [{ type: 'string', pattern: '^[^<>]{1,500}$' }, ['"üZ"', '"Über den Wolken"'], ['""', '"a<"']],
  [{ type: 'string', pattern: '^[А-Я]{3,250}$' }, ['"ЖЖЖ"', `"${'Ж'.repeat(250)}"`], ['"ЖЖ"', `"${'Ж'.repeat(251)}"`]],
  [{ type: 'string', minLength: 2, maxLength: 300 }, ['"Üö"', `"${'ü'.repeat(300)}"`], ['"Ü"', `"${'ü'.repeat(301)}"`]],
  [{ type: 'array', items: { enum: ['é', 'è'] }, minItems: 2, maxItems: 200 }, ['["é","è"]'], ['["é"]']],
])('%j is counted in characters', async (schema, taken, refused) => {
  for (const text of taken) expect(await takes(schema, text), text).toBe(true);
  for (const text of refused) expect(await takes(schema, text), text).toBe(false);
});

it('a pattern is the same beside other schemas', async () => {
  const degrees = { type: 'string', pattern: '^[°][CF]$' };
  for (const other of [{ type: 'null' }, { enum: ['x', 'y'] }, { type: 'string', pattern: '^b$' }]) {
    expect(await takes({ anyOf: [other, degrees] }, '"°C"')).toBe(true);
    expect(await takes({ anyOf: [other, degrees] }, '"C"')).toBe(false);
  }
});

it('half a character is refused: two of them would be another one', () => {
  for (const pattern of ['\\ud83d\\u{de00}', '(\\ud83d)(\\ude00)']) {
    expect(() => schemaGrammar({ type: 'string', pattern })).toThrow(
      expect.objectContaining({
        code: 'bad_request',
        detail: { field: 'response_format.json_schema.schema.pattern', reason: 'has half a character' },
      }) as Error,
    );
  }
});

describe('what would take long to write out stands as it is', () => {
  const letters = (count: number): string =>
    Array.from({ length: count }, (_, i) => String.fromCodePoint(0x4e00 + 3 * i)).join('');
  it.each<[string, object]>([
    ['empty groups', { type: 'string', pattern: '(a|ab)(){100000}' }],
    ['empty groups in each other', { type: 'string', pattern: `${'('.repeat(25)})${'{2})'.repeat(24)}{2}` }],
    ['many ranges', { type: 'string', pattern: `([${letters(1000)}]|一二){0,90}` }],
    ['many patterns', { anyOf: Array.from({ length: 300 }, (_, i) => ({ type: 'string', pattern: `^.{0,90}x${i}` })) }],
    [
      'many properties',
      {
        type: 'object',
        properties: Object.fromEntries(
          Array.from({ length: 60 }, (_, i) => [`p${i}`, { type: 'string', pattern: `^(0|0\\d)\\d{0,${90 + i}}$` }]),
        ),
      },
    ],
  ])('%s', (_, schema) => {
    const before = process.cpuUsage().user;
    schemaGrammar(schema);
    expect((process.cpuUsage().user - before) / 1000).toBeLessThan(4000);
  });
});
