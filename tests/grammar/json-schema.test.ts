import { describe, expect, it } from 'vitest';
import { schemaGrammar } from '../../src/grammar/json-schema.ts';
import { patternOf } from '../../src/grammar/pattern.ts';
import { Random } from '../support/random.ts';
import { allows, byteGrammars, randomAnswer } from '../support/grammars/random-answer.ts';
import { SCHEMAS } from '../support/grammars/schemas.ts';
import { faultsOf } from '../support/grammars/validate.ts';

const grammars = byteGrammars();

describe('whatever a grammar allows parses and is valid', () => {
  it.each(Object.entries(SCHEMAS))('%s', async (_, schema) => {
    const answers = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const answer = await randomAnswer(grammars, { type: 'json_schema', schema }, new Random(seed));
      expect(faultsOf(answer, schema), answer).toEqual([]);
      answers.add(answer);
    }
    expect(answers.size).toBeGreaterThan(1);
  });
});

// The library's automata would take all of these.
describe('alternatives that begin or end alike stay apart', () => {
  it.each<[schema: object, valid: string, invalid: string[]]>([
    [{ enum: ['b', 'a', 'aabb', 'aba'] }, '"aabb"', ['"babb"', '"bba"']],
    [{ enum: [1222, 122] }, '122', ['12222', '12']],
    [{ type: 'number', minimum: 0, maximum: 1_000_000 }, '999999.5', ['00', '0999', '1000001', '274345581699325']],
    [{ type: 'integer', exclusiveMinimum: 1e9 }, '1000000001', ['666666', '1000000000', '12345678901234567']],
  ])('%j', async (schema, valid, invalid) => {
    const taken = (answer: string): Promise<boolean> => allows(grammars, { type: 'json_schema', schema }, answer);
    expect(await taken(valid)).toBe(true);
    for (const answer of invalid) expect(await taken(answer), answer).toBe(false);
  });
});

it('a character of a pattern that is escaped in two halves is one', () => {
  for (const [escaped, plain] of [['[^\\ud83d\\ude00]', '[^😀]'], ['\\ud83d\\ude00+', '😀+'], ['[\\ud83d\\ude00-\\ud83d\\ude02]', '[😀-😂]']] as const) {
    expect(patternOf(escaped, '', 'p')).toEqual(patternOf(plain, '', 'p'));
  }
});

// JSON Schema 2020-12, 8.2.3.1: a fragment of a URI. Generators write names of generic types so.
it.each(['#/$defs/List%3Cstring%3E', '#/$defs/List<string>', '#/%24defs/List%3cstring%3e'])('%s is what it escapes', async ($ref) => {
  const schema = { $ref, $defs: { 'List<string>': { const: 1 } } };
  expect(await allows(grammars, { type: 'json_schema', schema }, '1')).toBe(true);
});

it('a name is found as it stands where it is no escape', () => {
  expect(schemaGrammar({ $ref: '#/$defs/100%', $defs: { '100%': { const: 1 } } })).toContain('"1"');
});
