import { describe, expect, it } from 'vitest';
import { GrammarError } from '../../../src/grammar/limits.ts';
import { allowed, compiled } from './byte-grammars.ts';

function refusal(schema: unknown, strict = false): { reason: string; at: string } | undefined {
  try {
    compiled(schema, { strict });
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    return { reason: error.reason, at: error.at };
  }
  return undefined;
}

const property = (schema: unknown) => ({ type: 'object', properties: { p: schema }, required: ['p'] });

describe('an unsupported schema is refused with its location', () => {
  it.each<[name: string, schema: unknown, at: string]>([
    ['no schema', 5, ''],
    ['no schema within one', property([]), 'properties.p'],
    ['a type that is none', property({ type: 'text' }), 'properties.p.type'],
    ['a type that is no text', { oneOf: [{ type: 'null' }, { type: { toString: 1, valueOf: 1 } }] }, 'oneOf[1].type'],
    ['required as in draft 3', property({ required: true }), 'properties.p.required'],
    ['an empty anyOf', { anyOf: [] }, 'anyOf'],
    ['an enum that is no list', { enum: 'a' }, 'enum'],
    ['a length that is none', { type: 'string', maxLength: -1 }, 'maxLength'],
    ['a bound that is none', { minimum: '1' }, 'minimum'],
    ['multiples of nothing', { multipleOf: 0 }, 'multipleOf'],
    ['a pattern that is none', { type: 'string', pattern: '(' }, 'pattern'],
    ['a pattern of a name that is none', { patternProperties: { '(': {} } }, 'patternProperties.('],
    ['a pattern that refers to its groups', { type: 'string', pattern: '(a)\\1' }, 'pattern'],
    ['uniqueItems of any values', property({ type: 'array', uniqueItems: true }), 'properties.p.uniqueItems'],
    ['its opposite', { type: 'array', not: { uniqueItems: true } }, ''],
    // Two of the names could be equal.
    ['properties that are counted and not named', { type: 'object', minProperties: 2 }, 'minProperties'],
    ['a property of any name that must be', { type: 'object', not: { additionalProperties: { type: 'null' } } }, ''],
    [
      'more cases than are written',
      { allOf: Array.from({ length: 30 }, (_, i) => ({ anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }] })) },
      '',
    ],
    ['multiples of too many states', { type: 'integer', multipleOf: 99_991 }, ''],
    ['an option that is none', { 'x-guidance': { spaces: true } }, 'x-guidance.spaces'],
  ])('%s', (_, schema, at) => expect(refusal(schema)?.at).toBe(at));

  it.each<[name: string, schema: unknown]>([
    ['false', false],
    ['an enum without a value of the type', { type: 'string', enum: [1] }],
    ['a required property that is not allowed', { type: 'object', required: ['q'], additionalProperties: false }],
    ['bounds without a number between', { type: 'integer', minimum: 5, maximum: 3 }],
    ['bounds without an integer between', { type: 'integer', exclusiveMinimum: 1, exclusiveMaximum: 2 }],
    ['lengths that contradict', { type: 'string', minLength: 3, maxLength: 2 }],
    ['patterns that contradict', { type: 'string', pattern: '^a+$', allOf: [{ pattern: 'b' }] }],
    ['items that are not allowed', { type: 'array', prefixItems: [{}], items: false, minItems: 2 }],
    [
      'values without an end',
      {
        $ref: '#/$defs/n',
        $defs: { n: { type: 'object', required: ['n'], properties: { n: { $ref: '#/$defs/n' } } } },
      },
    ],
  ])('%s allows nothing', (_, schema) => expect(refusal(schema)?.reason).toBe('no answer can match this grammar'));
});

it('an impossible alternative of several is left out', () => {
  const schema = { anyOf: [{ type: 'string', enum: [1] }, property(false), { type: 'null' }] };
  expect(allowed(schema, ['null', '1', '{"p":1}'])).toEqual(['null']);
  expect(allowed({ properties: { a: false, b: {} } }, ['{"a":1}', '{"b":1}'])).toEqual(['{"b":1}']);
});

describe('unknown keywords', () => {
  const annotated = {
    $schema: 'x',
    $comment: 'c',
    title: 't',
    description: 'd',
    default: 1,
    examples: [1],
    deprecated: true,
  };
  const schema = property({ type: 'integer', ...annotated, nullable: true, 'x-order': 1 });

  it('are ignored and reported', () => {
    expect(compiled({ ...schema, self: {} }).ignored).toEqual([
      'self',
      'properties.p.nullable',
      'properties.p.x-order',
    ]);
    expect(allowed(schema, ['{"p":1}', '{"p":null}'])).toEqual(['{"p":1}']);
  });

  it('are refused by name if the schema is strict', () => {
    expect(refusal(schema, true)).toEqual({ reason: 'is not a keyword of JSON Schema', at: 'properties.p.nullable' });
    expect(refusal(property({ type: 'integer', ...annotated }), true)).toBeUndefined();
    expect(refusal(property({ format: 'colour' }), true)?.at).toBe('properties.p.format');
  });

  it('a property may have the name of a keyword or of a member of Object.prototype', () => {
    const names = { properties: { $ref: { type: 'null' }, not: { type: 'null' }, constructor: { type: 'null' } } };
    expect(allowed(names, ['{"$ref":null,"not":null,"constructor":null}', '{"constructor":1}'])).toEqual([
      '{"$ref":null,"not":null,"constructor":null}',
    ]);
  });
});

it('unsupported keywords are ignored and reported if the options allow it', () => {
  const schema = { type: 'array', items: { type: 'integer' }, uniqueItems: true, oneOf: [{}, {}], not: { $ref: 'x' } };
  expect(compiled(schema, { lenient: true }).ignored).toEqual(['uniqueItems', 'not']);
  const overlapping = { 'x-guidance': { coerce_one_of: true }, oneOf: [{ type: 'integer' }, { type: 'number' }] };
  expect(allowed(overlapping, ['1', '1.5'])).toEqual(['1', '1.5']);
});

describe('large schemas', () => {
  const named = (count: number): object =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`property${i}`, { type: 'string' }]));

  it('need few rules per property', () => {
    const { grammar } = compiled({ type: 'object', properties: named(1300) });
    expect(grammar.rules.length).toBeLessThan(3 * 1300);
  });

  it('count items without a rule for each', () => {
    const schema = { type: 'array', items: { type: 'null' }, minItems: 3, maxItems: 1_000_000 };
    const { grammar } = compiled(schema);
    expect(grammar.rules.length).toBeLessThan(1000);
    const answer = (count: number): string => `[${Array.from({ length: count }, () => 'null').join()}]`;
    const some = { ...schema, maxItems: 700 };
    expect(
      allowed(some, [2, 3, 256, 257, 511, 512, 513, 700, 701].map(answer)).map((text) => (text.length - 1) / 5),
    ).toEqual([3, 256, 257, 511, 512, 513, 700]);
  });

  it.each([2 ** 31, 2 ** 32, 2 ** 53, 1.7e308])('a largest count of %d allows all that fit into memory', (most) => {
    expect(allowed({ type: 'string', maxLength: most }, ['""', '"abc"'])).toEqual(['""', '"abc"']);
    expect(allowed({ type: 'array', items: { type: 'null' }, maxItems: most }, ['[]', '[null,null]'])).toHaveLength(2);
    const contains = { contains: { type: 'null' }, maxContains: most };
    expect(allowed({ type: 'array', ...contains }, ['[]', '[1,null,null]'])).toEqual(['[1,null,null]']);
    expect(allowed({ type: 'object', maxProperties: most }, ['{}', '{"a":1,"b":2}'])).toHaveLength(2);
  });

  it.each([2 ** 31, 2 ** 32, 2 ** 53, 1.7e308])('a least count of %d allows nothing short, or is refused', (least) => {
    for (const [schema, short] of [
      [{ type: 'string', minLength: least }, ['""', '"abc"']],
      [{ type: 'array', items: { type: 'null' }, minItems: least }, ['[]', '[null]']],
      [{ type: 'array', contains: { type: 'null' }, minContains: least }, ['[]', '[null]']],
    ] as const) {
      let texts: string[] = [];
      try {
        texts = allowed(schema, [...short]);
      } catch (error) {
        expect(error).toBeInstanceOf(GrammarError);
        expect(String(error)).not.toContain('deep');
      }
      expect(texts).toEqual([]);
    }
  });

  it('thousands of levels deep compile or are refused', () => {
    let schema: object = { type: 'null' };
    for (let depth = 0; depth < 3000; depth++) schema = { type: 'array', items: schema };
    expect(refusal(schema)).toBeUndefined();
    for (let depth = 0; depth < 3000; depth++) schema = { allOf: [schema] };
    expect(refusal(schema)?.reason).toContain('deep');
  });

  it('with one conditional per tag stay small', () => {
    const tags = Array.from({ length: 40 }, (_, i) => `t${i}`);
    const schema = {
      properties: { t: { enum: tags } },
      required: ['t'],
      type: 'object',
      allOf: tags.map((tag, i) => ({ if: { properties: { t: { const: tag } } }, then: { required: [`x${i}`] } })),
    };
    expect(allowed(schema, ['{"t":"t7","x7":1}', '{"t":"t7","x8":1}', '{"t":"t7"}'])).toEqual(['{"t":"t7","x7":1}']);
  });
});
