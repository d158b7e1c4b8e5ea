import { describe, expect, it } from 'vitest';
import { allowed, compiled, validator } from './byte-grammars.ts';

/** Values of every type; some differ only slightly. */
const SCALARS = [null, true, false, 0, 1, 2, 3, 6, -1, 1.5, 0.5, 10, '', 'a', 'ab', 'abc', 'b'];
const VALUES: readonly unknown[] = [
  ...SCALARS,
  ...[[], [1], ['a'], [1, 'a'], ['a', 1], [1, 1], [1, 2], [3, 'a', 6], [[1], [2]], [{}, { a: 1 }], [null, true, 2]],
  ...[{}, { a: 1 }, { a: 'a' }, { b: 1 }, { a: 1, b: 1 }, { a: 1, b: 'b' }, { a: 1, b: 1, c: 1 }, { c: 1 }, { x1: 1 }],
  ...[
    { a: 1, x1: 'x' },
    { a: { b: 1 } },
    { a: { a: { a: 1 } } },
    { a: null },
    { t: 'p', p: 1 },
    { t: 'q', p: 1 },
    { t: 'q' },
  ],
];

// ajv decides which values are valid. They are written in the order of the properties.
describe('accepts the same values as ajv', () => {
  const a1 = { properties: { a: { const: 1 } } };
  it.each<[name: string, schema: object]>([
    ['everything', {}],
    ['types', { type: ['integer', 'object'] }],
    ['keywords without a type speak of their types', { minimum: 1, minLength: 2, minItems: 2, required: ['a'] }],
    ['type beside enum', { type: ['string', 'array'], enum: [1, 'a', [1, 'a'], { a: 1 }, null] }],
    [
      'enum beside what its values must keep to',
      { enum: [1, 1.5, 10, 'a', 'abc', { a: 1 }], maximum: 2, maxLength: 1 },
    ],
    ['enum beside exclusive bounds', { enum: [1, 2, 3], exclusiveMinimum: 1, exclusiveMaximum: 3 }],
    ['const', { const: { a: 1, b: 'b' } }],
    ['bounds', { minimum: -1, exclusiveMaximum: 3, type: 'number' }],
    ['bounds of integers', { exclusiveMinimum: 0.5, maximum: 6, type: 'integer' }],
    ['multipleOf', { multipleOf: 3 }],
    ['multipleOf a fraction', { type: 'number', multipleOf: 0.5 }],
    ['multiples of several', { allOf: [{ multipleOf: 2 }, { multipleOf: 3 }] }],
    ['no multiple', { type: 'number', not: { multipleOf: 3 } }],
    ['lengths', { minLength: 1, maxLength: 2 }],
    ['pattern and length', { type: 'string', pattern: '^a', maxLength: 2 }],
    ['patterns that are and', { type: 'string', allOf: [{ pattern: 'a' }, { pattern: 'b' }] }],
    ['no such pattern', { type: 'string', not: { pattern: 'b' } }],
    ['items', { type: 'array', items: { type: 'integer' } }],
    ['prefixItems', { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }] }],
    ['prefixItems alone', { type: 'array', prefixItems: [{}, { type: 'string' }], items: false }],
    ['prefixItems that cannot be', { type: 'array', prefixItems: [{}, false] }],
    ['counts of items', { type: 'array', minItems: 1, maxItems: 2 }],
    ['contains', { type: 'array', contains: { type: 'string' } }],
    ['contains so many', { type: 'array', contains: { type: 'integer' }, minContains: 2, maxContains: 2 }],
    ['contains none', { type: 'array', contains: { type: 'integer' }, minContains: 0, maxContains: 0 }],
    ['uniqueItems of few values', { type: 'array', items: { enum: [1, 2, 'a', null, true] }, uniqueItems: true }],
    ['uniqueItems of one', { type: 'array', uniqueItems: true, maxItems: 1 }],
    ['properties', { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' } } }],
    ['required', { type: 'object', required: ['b', 'a'], properties: { a: {}, b: {} } }],
    ['additionalProperties', { type: 'object', ...a1, additionalProperties: { type: 'string' } }],
    ['no additionalProperties', { type: 'object', ...a1, additionalProperties: false }],
    ['patternProperties', { type: 'object', patternProperties: { '^x': { type: 'string' }, '1$': { maxLength: 0 } } }],
    ['patternProperties and properties', { type: 'object', ...a1, patternProperties: { a: false } }],
    ['propertyNames', { type: 'object', propertyNames: { pattern: '^[ab]$' } }],
    ['propertyNames of a list', { type: 'object', propertyNames: { enum: ['a', 'x1'] } }],
    ['minProperties', { type: 'object', properties: { a: {}, b: {} }, minProperties: 1 }],
    [
      'minProperties without others',
      { properties: { a: {}, b: {}, c: {} }, minProperties: 2, additionalProperties: false },
    ],
    ['maxProperties', { type: 'object', properties: { a: {}, b: {} }, maxProperties: 1 }],
    ['dependentRequired', { type: 'object', properties: { a: {}, b: {} }, dependentRequired: { a: ['b'] } }],
    [
      'dependentSchemas',
      { properties: { a: {}, b: {} }, dependentSchemas: { b: { properties: { b: { type: 'string' } } } } },
    ],
    ['allOf', { allOf: [a1, { required: ['b'] }, { properties: { b: { type: 'integer' } } }] }],
    ['allOf of closed objects', { allOf: [{ ...a1, additionalProperties: false }, { properties: { b: {} } }] }],
    [
      'anyOf',
      {
        anyOf: [
          { type: 'string', maxLength: 1 },
          { type: 'object', required: ['a'] },
        ],
      },
    ],
    ['anyOf beside more', { type: 'object', properties: { a: {} }, anyOf: [{ required: ['a'] }, { required: ['c'] }] }],
    ['oneOf of numbers that overlap', { oneOf: [{ type: 'integer' }, { type: 'number', minimum: 1 }] }],
    [
      'oneOf of strings that overlap',
      {
        oneOf: [
          { type: 'string', pattern: 'a' },
          { type: 'string', pattern: 'b' },
        ],
      },
    ],
    [
      'oneOf of objects that overlap',
      { type: 'object', properties: { a: {}, b: {} }, oneOf: [{ required: ['a'] }, { required: ['b'] }] },
    ],
    [
      'oneOf by a tag',
      {
        properties: { t: {} },
        required: ['t'],
        oneOf: [{ properties: { t: { const: 'p' } }, required: ['p'] }, { properties: { t: { const: 'q' } } }],
      },
    ],
    [
      'oneOf of arrays that overlap',
      {
        oneOf: [
          { type: 'array', maxItems: 1 },
          { type: 'array', items: { type: 'integer' } },
        ],
      },
    ],
    ['oneOf of what is the same', { oneOf: [{ type: 'string' }, { type: 'string' }, { type: 'null' }] }],
    ['not types', { not: { type: ['string', 'array', 'boolean'] } }],
    ['not values', { type: ['string', 'integer'], not: { enum: ['a', 1] } }],
    ['not an object like it', { type: 'object', not: { ...a1, required: ['a'] } }],
    ['not required', { type: 'object', properties: { a: {} }, not: { required: ['a', 'b'] } }],
    ['not items', { type: 'array', not: { items: { type: 'integer' } } }],
    ['not not', { not: { not: { type: 'string' } } }],
    ['not other names', { type: 'object', not: { propertyNames: { pattern: '^[ab]$' } } }],
    ['if, then and else', { if: { type: 'integer' }, then: { minimum: 2 }, else: { not: { type: 'string' } } }],
    [
      'if by a tag',
      {
        type: 'object',
        properties: { t: {}, p: {} },
        if: { properties: { t: { const: 'p' } }, required: ['t'] },
        then: { required: ['p'] },
      },
    ],
    [
      'unevaluatedProperties',
      { type: 'object', ...a1, anyOf: [{ properties: { b: { const: 1 } } }, {}], unevaluatedProperties: false },
    ],
    [
      'unevaluatedItems',
      { type: 'array', allOf: [{ prefixItems: [{ type: 'integer' }] }], unevaluatedItems: { type: 'string' } },
    ],
    [
      'recursion',
      {
        $ref: '#/$defs/n',
        $defs: {
          n: {
            anyOf: [
              { type: 'integer' },
              { type: 'object', properties: { a: { $ref: '#/$defs/n' } }, additionalProperties: false },
            ],
          },
        },
      },
    ],
    [
      'recursion beside more',
      {
        $defs: { n: { properties: { a: { $ref: '#/$defs/n' } } } },
        allOf: [{ $ref: '#/$defs/n' }, { type: 'object', maxProperties: 1 }],
      },
    ],
  ])('%s', (_, schema) => {
    const valid = VALUES.filter(validator(schema)).map((value) => JSON.stringify(value));
    const texts = VALUES.map((value) => JSON.stringify(value));
    expect(valid.length).toBeGreaterThan(0);
    expect(allowed(schema, texts)).toEqual(valid);
  });
});

describe('keywords of earlier drafts keep their meaning', () => {
  it.each<[schema: object, valid: string[], invalid: string[]]>([
    [
      { type: 'number', minimum: 1, exclusiveMinimum: true, maximum: 3, exclusiveMaximum: false },
      ['2', '3'],
      ['1', '0'],
    ],
    [
      { items: [{ type: 'null' }], additionalItems: { type: 'boolean' } },
      ['[null,true]', '[]'],
      ['[true]', '[null,1]'],
    ],
    [{ items: { type: 'null' }, additionalItems: false }, ['[null,null]'], ['[1]']],
    [
      { dependencies: { a: ['b'], c: { required: ['d'] } } },
      ['{"x":1}', '{"a":1,"b":1}', '{"c":1,"d":1}'],
      ['{"a":1}', '{"c":1}'],
    ],
    [{ definitions: { a: { type: 'null' } }, $ref: '#/definitions/a' }, ['null'], ['1']],
  ])('%j', (schema, valid, invalid) => {
    expect(allowed(schema, [...valid, ...invalid])).toEqual(valid);
  });
});

it.each([
  [{ type: 'number', multipleOf: 1 }, ['6', '6.0', '-7.00']],
  [{ type: 'number', multipleOf: 2 }, ['6', '6.0']],
  [{ type: 'integer', multipleOf: 2 }, ['6']],
])('%j allows zeros after the decimal point unless the type is integer', (schema, written) => {
  expect(allowed(schema, ['6', '6.0', '-7.00', '6.5', '6.', '-7.01'])).toEqual(written);
});

describe('format', () => {
  it.each<[format: string, valid: string[], invalid: string[]]>([
    [
      'date',
      ['2024-02-29', '1999-12-31', '2000-02-29'],
      ['2023-02-29', '1900-02-29', '2024-13-01', '2024-04-31', '24-01-01'],
    ],
    ['time', ['23:59:60Z', '00:00:00.123+14:00', '12:30:59z'], ['24:00:00Z', '12:00:60Z', '12:00Z', '12:00:00']],
    ['date-time', ['2024-01-01T00:00:00Z', '2024-01-01t00:00:00.5-05:30'], ['2024-01-01 00:00:00Z', '2024-01-01']],
    ['duration', ['P1Y2M3DT4H5M6S', 'PT1H', 'P3W', 'P1D'], ['P', 'PT', 'P1S', 'P1W2D', '1D']],
    ['email', ["o'neill.a+b@x-y.example", 'a@b.c'], ['a', 'a@', '.a@b', 'a@-b', 'a b@c', 'a@localhost']],
    [
      'hostname',
      ['a', 'x-1.example.com'],
      ['-a', 'a-', 'a..b', 'a_b', `${'a'.repeat(64)}.b`, 'a.'.repeat(127) + 'b'.repeat(3)],
    ],
    ['ipv4', ['0.0.0.0', '255.249.199.9'], ['256.0.0.1', '01.0.0.1', '1.2.3', '1.2.3.4.5']],
    [
      'ipv6',
      ['::', '1::', '::1', '1:2:3:4:5:6:7:8', '1::8', 'fe80::1:2', '1:2:3:4:5:6:7::'],
      [':', '1:2', '1::2::3', '12345::', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8'],
    ],
    [
      'uuid',
      ['123e4567-E89B-12d3-a456-426614174000'],
      ['123e4567e89b12d3a456426614174000', '123e4567-e89b-12d3-a456-42661417400g'],
    ],
    [
      'uri',
      ['https://a@b.example:80/x/y?q=1#f', 'urn:a:b', 'mailto:a@b', 'http://[::1]/', 'file:///x', 'a:/'],
      ['//x', '/a', 'a:', 'a b:c', 'http://a b', 'http://[::g]/', '%zz:'],
    ],
    ['uri-reference', ['a:b', '//x/y', '/a?b#c', 'a/b:c', '', '#f', '?q'], ['1:b', 'a b', '%zz', '\\\\x']],
    [
      'url',
      ['https://www.example.com', 'HTTP://a.bc:80/x?y#z', 'ftp://münchen.example/'],
      ['http://a', 'mailto:a@b.cd', 'http://a.bc/x y', 'http://-a.bc', 'http://a.b'],
    ],
    ['byte', ['', 'AAAA', 'AA==', 'ab+/AAA='], ['A', 'AAA', 'AA=A', 'A-==']],
    ['json-pointer', ['', '/', '/a~0b/~1/0'], ['a', '/~', '/~2']],
    ['relative-json-pointer', ['0', '1#', '10/a'], ['', '01', '-1', '1a']],
  ])('%s', (format, valid, invalid) => {
    const answers = [...valid, ...invalid].map((text) => JSON.stringify(text));
    expect(allowed({ type: 'string', format }, answers)).toEqual(valid.map((text) => JSON.stringify(text)));
  });

  it('is ignored if unknown', () => {
    const schema = { type: 'object', properties: { a: { type: 'string', format: 'colour' } } };
    expect(compiled(schema).ignored).toEqual(['properties.a.format']);
    expect(allowed(schema, ['{"a":"?"}'])).toEqual(['{"a":"?"}']);
  });
});
