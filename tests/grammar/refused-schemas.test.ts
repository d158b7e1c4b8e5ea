import { describe, expect, it } from 'vitest';
import type { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { schemaGrammar } from '../../src/grammar/json-schema.ts';

function refusedAt(schema: unknown): string | undefined {
  try {
    schemaGrammar(schema);
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad_request' });
    return (error as ChunkwiseError).detail.field?.replace('response_format.json_schema.schema', '');
  }
  return undefined;
}

const property = (schema: unknown) => ({ type: 'object', properties: { p: schema } });

describe('what no grammar can keep to is refused, naming the place', () => {
  it.each([
    ['no schema', 5, ''],
    ['nothing', false, ''],
    ['a type that is none', { type: 'text' }, '.type'],
    ['a type that is no text', { oneOf: [{ type: 'null' }, { type: { toString: 1, valueOf: 1 } }] }, '.oneOf'],
    ['a keyword that is not supported', { type: 'array', uniqueItems: true }, '.uniqueItems'],
    ['a misspelt keyword', { type: 'string', maxLenght: 3 }, '.maxLenght'],
    ['a keyword of another type', { type: 'string', minimum: 3 }, '.minimum'],
    [
      'a deep one',
      property({ type: 'array', items: { type: 'integer', multipleOf: 2 } }),
      '.properties.p.items.multipleOf',
    ],
    ['what anyOf hides', { type: 'object', anyOf: [{ type: 'null' }] }, '.type'],
    ['what $ref hides', { $ref: '#/$defs/a', minLength: 2, $defs: { a: { type: 'string' } } }, '.minLength'],
    ['a reference elsewhere', { $ref: 'https://example.com/schema' }, '.$ref'],
    ['a reference to nothing', property({ $ref: '#/$defs/b' }), '.properties.p.$ref'],
    ['a reference to itself', { $ref: '#' }, '.$ref'],
    [
      'references in a circle',
      { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } } },
      '.$defs.b.$ref',
    ],
    ['several of allOf', { allOf: [{ type: 'object' }, { type: 'object' }] }, '.allOf'],
    ['schemas of oneOf that may share a value', { oneOf: [{ type: 'integer' }, { type: 'number' }] }, '.oneOf'],
    [
      'schemas of oneOf whose tags are one object',
      {
        oneOf: [
          { a: 1, b: 2 },
          { b: 2, a: 1 },
        ].map((tag) => ({ ...property({ const: tag }), required: ['p'] })),
      },
      '.oneOf',
    ],
    ['an empty anyOf', { anyOf: [] }, '.anyOf'],
    ['an enum without a value of the type', { type: 'string', enum: [1] }, '.enum'],
    [
      'a required property that is not allowed',
      { type: 'object', required: ['q'], additionalProperties: false },
      '.required',
    ],
    ['bounds without a number between', { type: 'integer', minimum: 5, maximum: 3 }, ''],
    ['bounds without an integer between', { type: 'integer', exclusiveMinimum: 1, exclusiveMaximum: 2 }, ''],
    ['an exclusive bound beyond what doubles tell apart', { type: 'integer', exclusiveMinimum: 2 ** 53 }, ''],
    ['bounds of too many digits', { type: 'number', minimum: 0.1, maximum: 123456789012345.67 }, ''],
    ['lengths that contradict', { type: 'string', minLength: 3, maxLength: 2 }, '.minLength'],
    ['a length that is none', { type: 'string', maxLength: -1 }, '.maxLength'],
    ['a list too long to count', { type: 'array', minItems: 1e9 }, ''],
    ['items that are not allowed', { type: 'array', prefixItems: [{}], items: false, minItems: 2 }, '.minItems'],
    ['a pattern that is none', { type: 'string', pattern: '(' }, '.pattern'],
    ['a pattern that looks ahead', { type: 'string', pattern: '(?=a)b' }, '.pattern'],
    ['a pattern that counts too far', { type: 'string', pattern: 'a{100001}' }, '.pattern'],
    ['a pattern that looks back', { type: 'string', pattern: '(a)\\1' }, '.pattern'],
    ['a pattern beside a length', { type: 'string', pattern: 'a', maxLength: 3 }, '.maxLength'],
    ['a format that is not known', { type: 'string', format: 'colour' }, '.format'],
  ])('%s', (_, schema, at) => expect(refusedAt(schema)).toBe(at));

  it('a schema without an end', () => {
    let schema: object = { type: 'null' };
    for (let depth = 0; depth < 5000; depth++) schema = { type: 'array', items: schema };
    expect(refusedAt(schema)).toMatch(/^(\.items)+$/);
  });

  it('but annotations are nothing to keep to', () => {
    const annotated = { $schema: 'x', title: 't', description: 'd', default: 1, examples: [1], deprecated: true };
    expect(refusedAt({ type: 'integer', ...annotated })).toBeUndefined();
    expect(refusedAt({ $ref: '#/definitions/a', ...annotated, definitions: { a: { type: 'null' } } })).toBeUndefined();
  });
});
