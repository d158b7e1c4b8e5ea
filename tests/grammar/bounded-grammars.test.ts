import { describe, expect, it } from 'vitest';
import { schemaGrammar } from '../../src/grammar/json-schema.ts';
import { sizeOfGrammar } from '../../src/grammar/grammar-size.ts';
import type { ResponseFormat } from '../../src/grammar/response-format.ts';
import { Random } from '../support/random.ts';
import { expectError } from '../support/expect-error.ts';
import { byteGrammars, randomAnswer } from '../support/grammars/random-answer.ts';
import { faultsOf } from '../support/grammars/validate.ts';

const grammars = byteGrammars();
const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
const jsonSchema = (schema: unknown): ResponseFormat => ({ type: 'json_schema', schema });
const ebnf = (grammar: string): ResponseFormat => ({ type: 'grammar', grammar });
const named = (count: number, value: (i: number) => unknown): Record<string, unknown> =>
  Object.fromEntries(range(count).map((i) => [`p${i}`, value(i)]));
const pattern = (source: string): ResponseFormat => jsonSchema({ type: 'string', pattern: source });
const nested = (depth: number): unknown => range(depth).reduce<unknown>((inner) => [inner], 0);

const GRAMMAR = 'response_format.grammar';
const SCHEMA = 'response_format.json_schema.schema';
const HOSTILE: Record<string, [format: ResponseFormat, field: string | RegExp]> = {
  '10,000 optional properties': [
    jsonSchema({ type: 'object', properties: named(10_000, () => ({ type: 'string' })) }),
    /properties\.p\d+$/,
  ],
  '10,000 required ones': [
    jsonSchema({ type: 'object', properties: named(10_000, () => true), required: range(10_000).map((i) => `p${i}`) }),
    /properties\.p\d+$/,
  ],
  '5,000 names that others must not have': [
    jsonSchema({ type: 'object', properties: named(5_000, () => true), additionalProperties: true }),
    /properties\.p\d+$/,
  ],
  'a long name': [
    jsonSchema({ type: 'object', properties: { ['n'.repeat(20_000)]: true }, additionalProperties: true }),
    SCHEMA,
  ],
  '50,000 schemas': [jsonSchema({ anyOf: range(50_000).map(() => ({ type: 'null' })) }), /anyOf\[\d+\]$/],
  'a long constant': [jsonSchema({ const: 'x'.repeat(3_000_000) }), `${SCHEMA}.const`],
  'a constant without an end': [jsonSchema({ const: nested(100_000) }), SCHEMA],
  'a chain of 20,000 definitions': [
    jsonSchema({
      $ref: '#/$defs/p0',
      $defs: named(20_000, (i) => ({ anyOf: [{ type: 'null' }, { $ref: `#/$defs/p${Math.min(i + 1, 19_999)}` }] })),
    }),
    /./,
  ],
  'repetitions of repetitions': [pattern('((a{1000}){1000}){1000}'), `${SCHEMA}.pattern`],
  'many different ones': [
    jsonSchema({ type: 'object', properties: named(100, (i) => ({ type: 'string', pattern: `[a-z]{0,${100 + i}}` })) }),
    SCHEMA,
  ],
  'groups in groups': [pattern(`${'('.repeat(3000)}a${')'.repeat(3000)}`), `${SCHEMA}.pattern`],
  'a long pattern': [pattern('[a-z]'.repeat(20_000)), `${SCHEMA}.pattern`],
  '50,000 rules': [
    ebnf(['root ::= r0', ...range(50_000).map((i) => `r${i} ::= "a" r${(i + 1) % 50_000}`)].join('\n')),
    GRAMMAR,
  ],
  '5,000 rules': [
    ebnf(['root ::= r0', ...range(5_000).map((i) => `r${i} ::= "a" r${(i + 1) % 5_000}`)].join('\n')),
    GRAMMAR,
  ],
  'repetitions in EBNF': [ebnf('root ::= (("a"{1000}){1000}){1000}'), GRAMMAR],
  'repetitions in EBNF, by names': [ebnf('root ::= a{1000} b{1000}\na ::= [a-z]{500}\nb ::= "(#{" a{500}'), GRAMMAR],
  'many kinds of characters in EBNF': [ebnf(`root ::= ${'[^\\n] '.repeat(5000)}`), GRAMMAR],
  'groups in EBNF': [ebnf(`root ::= ${'('.repeat(5000)}"a"${')'.repeat(5000)}`), GRAMMAR],
};

describe('what is too large for a grammar is refused before it is compiled', () => {
  it.each(Object.entries(HOSTILE))('%s', async (_, [format, field]) => {
    const before = process.cpuUsage().user;
    const error: unknown = await grammars.begin(format).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'bad_request',
      detail: { field: typeof field === 'string' ? field : (expect.stringMatching(field) as string) },
    });
    expect((process.cpuUsage().user - before) / 1000).toBeLessThan(1000);
  });
});

describe('a definition is one rule', () => {
  /** Each names the next twice. */
  const doubling = (count: number) => ({
    $ref: '#/$defs/p0',
    $defs: {
      ...named(count, (i) => ({
        anyOf: [
          { $ref: `#/$defs/p${i + 1}` },
          { type: 'array', prefixItems: [{ $ref: `#/$defs/p${i + 1}` }], items: false },
        ],
      })),
      [`p${count}`]: { enum: ['x', 'y'] },
    },
  });

  it('however often it is named, also where no character comes before', async () => {
    const sizes = [10, 20, 40].map(
      (count) => sizeOfGrammar(schemaGrammar(doubling(count))).text - schemaGrammar(true).length,
    );
    expect((sizes[2] ?? 0) / (sizes[1] ?? 0)).toBeLessThan(2.3);
    const schema = doubling(25);
    for (let seed = 0; seed < 4; seed++)
      expect(faultsOf(await randomAnswer(grammars, jsonSchema(schema), new Random(seed)), schema)).toEqual([]);
  });

  it('and one that begins with itself by way of another that is known already is refused', async () => {
    const begun = { type: 'object', properties: { p: { $ref: '#/$defs/b' } } };
    const schema = {
      $ref: '#/$defs/a',
      $defs: { a: { anyOf: [begun, { $ref: '#/$defs/b' }] }, b: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/a' }] } },
    };
    await expectError(() => grammars.begin(jsonSchema(schema)), 'bad_request', { reason: /comes back to itself/ });
  });
});

it('300 properties of 50 definitions, some of forms of their own, are compiled and answered', async () => {
  const kinds: ((i: number) => unknown)[] = [
    () => ({ type: 'string', maxLength: 20 }),
    (i) => ({ type: 'integer', minimum: 0, maximum: 1000 + i }),
    () => ({ type: 'string', format: 'date-time' }),
    () => ({ type: 'string', format: 'email' }),
    () => ({ type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' }),
    (i) => ({ enum: range(6).map((value) => `value ${i} ${value}`) }),
  ];
  const definition = (i: number) => ({
    type: 'object',
    properties: named(6, (p) => (p === 5 && i < 49 ? { $ref: `#/$defs/p${i + 1}` } : kinds[(i + p) % 5]?.(i))),
    required: ['p0'],
    additionalProperties: false,
  });
  const schema = {
    ...{ type: 'object', properties: named(50, (i) => ({ $ref: `#/$defs/p${i}` })), additionalProperties: false },
    $defs: named(50, definition),
  };
  expect(faultsOf(await randomAnswer(grammars, jsonSchema(schema), new Random(1)), schema)).toEqual([]);
});

it('two hundred grammars that are refused leave the next one right', async () => {
  for (let i = 0; i < 200; i++)
    await expectError(() => grammars.begin({ type: 'grammar', grammar: `root ::= [z-${i % 10}]` }), 'bad_request', {
      field: 'response_format.grammar',
    });
  expect(await randomAnswer(grammars, { type: 'grammar', grammar: 'root ::= "sea"' }, new Random(2))).toBe('sea');
});
