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
  for (const [escaped, plain] of [
    ['[^\\ud83d\\ude00]', '[^😀]'],
    ['\\ud83d\\ude00+', '😀+'],
    ['[\\ud83d\\ude00-\\ud83d\\ude02]', '[😀-😂]'],
  ] as const) {
    expect(patternOf(escaped, '', 'p', Infinity)).toEqual(patternOf(plain, '', 'p', Infinity));
  }
});

// JSON Schema 2020-12, 8.2.3.1: a fragment of a URI. Generators write names of generic types so.
it.each(['#/$defs/List%3Cstring%3E', '#/$defs/List<string>', '#/%24defs/List%3cstring%3e'])(
  '%s is what it escapes',
  async ($ref) => {
    const schema = { $ref, $defs: { 'List<string>': { const: 1 } } };
    expect(await allows(grammars, { type: 'json_schema', schema }, '1')).toBe(true);
  },
);

it('a name is found as it stands where it is no escape', () => {
  expect(schemaGrammar({ $ref: '#/$defs/100%', $defs: { '100%': { const: 1 } } })).toContain('"1"');
});

describe('references begin at the schema around them that has an $id', () => {
  const holding = (name: string, type: string): object => ({
    $id: `http://x/${name}`,
    type: 'object',
    required: ['v'],
    properties: { v: { $ref: '#/$defs/q' } },
    $defs: { q: { type } },
  });
  it('also where two of them stand at places that are written alike', async () => {
    const properties = {
      a: { type: 'object', required: ['b'], properties: { b: holding('1', 'integer') } },
      'a.properties.b': holding('2', 'string'),
    };
    const schema = { type: 'object', required: ['a', 'a.properties.b'], properties };
    expect(
      await allows(grammars, { type: 'json_schema', schema }, '{"a":{"b":{"v":1}},"a.properties.b":{"v":"1"}}'),
    ).toBe(true);
    expect(
      await allows(grammars, { type: 'json_schema', schema }, '{"a":{"b":{"v":1}},"a.properties.b":{"v":1}}'),
    ).toBe(false);
  });

  it('also where oneOf looks whether its schemas share a value', () => {
    const branch = { $id: 'http://x/1', $ref: '#/$defs/t', $defs: { t: { type: 'integer' } } };
    const schema = { $defs: { t: { type: 'string' } }, oneOf: [branch, { type: 'integer' }] };
    expect(() => schemaGrammar(schema)).toThrow(expect.objectContaining({ code: 'bad_request' }) as Error);
  });
});

it('a tag tells schemas of oneOf apart where they are objects alone', () => {
  const tagged = (type: unknown, t: number): object => ({ type, properties: { t: { const: t } }, required: ['t'] });
  expect(() => schemaGrammar({ oneOf: [tagged(['object', 'null'], 1), tagged(['object', 'null'], 2)] })).toThrow(
    expect.objectContaining({ code: 'bad_request' }) as Error,
  );
  expect(schemaGrammar({ oneOf: [tagged('object', 1), tagged(['object'], 2)] })).toContain('root');
});

it("half a character in a property's name is in no grammar", () => {
  expect(
    schemaGrammar({
      type: 'object',
      properties: { '\ud800': { type: 'null' } },
      additionalProperties: { type: 'null' },
    }),
  ).not.toMatch(/U0000d800/i);
});
