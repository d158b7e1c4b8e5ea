import { describe, expect, it } from 'vitest';
import type { GrammarError } from '../../../src/grammar/limits.ts';
import { allowed, compiled } from './byte-grammars.ts';

const ONE = { const: 1 };

describe('a reference resolves to', () => {
  it.each<[name: string, schema: object]>([
    // JSON Schema 2020-12, 8.2.3.1: a URI fragment. Generators write the names of generic types this way.
    ['what a fragment escapes', { $ref: '#/$defs/List%3Cstring%3E', $defs: { 'List<string>': ONE } }],
    ['what stands there as it is', { $ref: '#/$defs/List<string>', $defs: { 'List<string>': ONE } }],
    ['a name that looks escaped', { $ref: '#/$defs/100%', $defs: { '100%': ONE } }],
    ['a name with a slash and a tilde', { $ref: '#/$defs/a~1b~0c', $defs: { 'a/b~c': ONE } }],
    ['any place of the document', { $ref: '#/properties/a/items/1', properties: { a: { items: [{}, ONE] } } }],
    ['what a reference there means', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: ONE } }],
    ['an anchor', { $ref: '#one', $defs: { a: { $anchor: 'one', ...ONE } } }],
    ['an anchor of draft 7', { $ref: '#one', definitions: { a: { $id: '#one', ...ONE } } }],
    ['a dynamic anchor that is there once', { $dynamicRef: '#one', $defs: { a: { $dynamicAnchor: 'one', ...ONE } } }],
    ['an identifier', { $id: 'https://x/y', $ref: 'z', $defs: { a: { $id: 'https://x/z', ...ONE } } }],
    ['the document by its identifier', { $id: 'https://x/y', $ref: 'https://x/y#/$defs/a', $defs: { a: ONE } }],
    [
      'a place in what has an identifier',
      { $ref: 'https://x/z#/$defs/b', $defs: { a: { $id: 'https://x/z', $defs: { b: ONE } } } },
    ],
    [
      'an identifier of draft 4',
      {
        $schema: 'http://json-schema.org/draft-04/schema#',
        $ref: 'z',
        id: 'http://x/y',
        definitions: { a: { id: 'z', ...ONE } },
      },
    ],
  ])('%s', (_, schema) => expect(allowed(schema, ['1', '2'])).toEqual(['1']));

  it('a schema that its sibling keywords restrict too', () => {
    const schema = { $ref: '#/$defs/a', maximum: 3, $defs: { a: { type: 'integer', minimum: 2 } } };
    expect(allowed(schema, ['1', '2', '3', '4'])).toEqual(['2', '3']);
  });

  it('a location in the nearest schema with an identifier', () => {
    const holding = (name: string, type: string): object => ({
      $id: `http://x/${name}`,
      type: 'object',
      required: ['v'],
      properties: { v: { $ref: '#/$defs/q' } },
      $defs: { q: { type } },
    });
    const properties = {
      a: { type: 'object', required: ['b'], properties: { b: holding('1', 'integer') } },
      // Both have the same path.
      'a.properties.b': holding('2', 'string'),
    };
    const schema = { type: 'object', required: ['a', 'a.properties.b'], properties };
    const right = '{"a":{"b":{"v":1}},"a.properties.b":{"v":"1"}}';
    expect(allowed(schema, [right, '{"a":{"b":{"v":1}},"a.properties.b":{"v":1}}'])).toEqual([right]);
  });

  it('the root schema if $id is only the name of a property', () => {
    const schema = { properties: { $id: { type: 'null' }, a: { $ref: '#/$defs/n' } }, $defs: { n: { type: 'null' } } };
    expect(allowed(schema, ['{"$id":null,"a":null}', '{"a":1}'])).toEqual(['{"$id":null,"a":null}']);
  });
});

it.each<[reason: string, at: string, schema: object]>([
  [
    "refers to 'https://x/y', which is not in this schema",
    'properties.a.$ref',
    { properties: { a: { $ref: 'https://x/y' } } },
  ],
  ["refers to '#/$defs/b', which is not in this schema", '$ref', { $ref: '#/$defs/b', $defs: { a: {} } }],
  ["refers to '#/$defs/toString', which is not in this schema", '$ref', { $ref: '#/$defs/toString', $defs: {} }],
  ['refers to itself', '', { $ref: '#' }],
  [
    'refers to itself',
    '$defs.a',
    { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } } },
  ],
  [
    'is not supported where several schemas have the anchor',
    '$dynamicRef',
    { $dynamicRef: '#n', $defs: { a: { $dynamicAnchor: 'n' }, b: { $dynamicAnchor: 'n' } } },
  ],
])('%s (%s)', (reason, at, schema) => {
  expect(() => compiled(schema)).toThrow(expect.objectContaining({ reason, at }) as GrammarError);
});
