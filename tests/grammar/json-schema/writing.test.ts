import { describe, expect, it } from 'vitest';
import { allowed, nextAfter } from './byte-grammars.ts';

const object = (properties: object, rest: object = {}): object => ({ type: 'object', properties, ...rest });

describe('white space', () => {
  const spread = '{ \n"a"\t:\r[ 1 , 2 ] }';
  it('is allowed between tokens, but not around the value', () => {
    const schema = object({ a: { type: 'array' } });
    expect(allowed(schema, [spread, ` ${spread}`, `${spread} `, '{ }', '{"a":[ ]}', '{"a":[1 2]}'])).toEqual([
      spread,
      '{ }',
      '{"a":[ ]}',
    ]);
  });

  it('can be configured', () => {
    const answers = ['[1,2]', '[1, 2]', '[1,  2]', '[1 ,2]'];
    const array = { type: 'array', minItems: 2 };
    expect(allowed(array, answers, { whitespace: 'compact' })).toEqual(['[1,2]']);
    expect(allowed(array, answers, { whitespacePattern: ' ?' })).toEqual(['[1,2]', '[1, 2]', '[1 ,2]']);
    expect(allowed({ ...array, 'x-guidance': { whitespace_flexible: false } }, answers)).toEqual(['[1,2]']);
    const guidance = { whitespace_flexible: false, item_separator: ', ?', key_separator: ': ' };
    expect(allowed({ ...array, 'x-guidance': guidance }, answers)).toEqual(['[1,2]', '[1, 2]']);
    expect(allowed({ 'x-guidance': guidance }, ['{"a": 1,"b": 1}', '{"a":1}'])).toEqual(['{"a": 1,"b": 1}']);
  });
});

describe('properties', () => {
  it('follow the order of the schema, then come required ones, then others', () => {
    const schema = object({ b: {}, a: {} }, { required: ['c', 'a'] });
    const right = ['{"b":1,"a":1,"c":1,"x":1,"y":1}', '{"a":1,"c":1}'];
    const wrong = ['{"a":1,"b":1,"c":1}', '{"c":1,"a":1}', '{"x":1,"a":1,"c":1}', '{"b":1,"a":1}'];
    expect(allowed(schema, [...right, ...wrong])).toEqual(right);
  });

  it('follow the order in which keywords name them', () => {
    const [first, second] = ['{"a":1,"b":1}', '{"b":1,"a":1}'];
    const allOf = [{ properties: { a: {} } }];
    expect(allowed({ allOf, properties: { b: {} } }, [first, second])).toEqual([first]);
    expect(allowed({ properties: { b: {} }, allOf }, [first, second])).toEqual([second]);
    // Keywords that only forbid or require names do not define their order.
    const choice = { oneOf: [{ required: ['b'] }, { required: ['a', 'b'] }] };
    expect(allowed({ ...choice, properties: { a: {}, b: {} } }, ['{"b":1}', second, first])).toEqual(['{"b":1}']);
  });

  it('may come in any order if the options allow it', () => {
    const schema = object(
      { a: { type: 'integer' }, b: {} },
      { required: ['a', 'c'], additionalProperties: { type: 'null' } },
    );
    const right = ['{"c":null,"x":null,"b":1,"a":1}', '{"a":1,"c":null}'];
    const answers = [...right, '{"c":null}', '{"c":null,"a":null}'];
    expect(allowed(schema, answers, { propertyOrder: 'any' })).toEqual(right);
    expect(allowed({ ...schema, 'x-guidance': { property_order: 'any' } }, answers)).toEqual(right);
  });

  it('may come in any order, each once, in a schema that only validators take', () => {
    const [first, second, twice] = ['{"a":"x:y","b":1}', '{"b":1,"a":"x:y"}', '{"a":"x:y","b":1,"a":"z:y"}'];
    const of = (more: object, a: object = {}): object =>
      object({ a: { type: 'string', ...a }, b: {} }, { additionalProperties: false, ...more });
    const shared = { oneOf: [{ required: ['a'] }, { required: ['a', 'b'], properties: { b: { type: 'string' } } }] };
    const forValidators = [
      of({ not: { required: ['c'] } }),
      of({ propertyNames: { maxLength: 3 } }),
      of({}, { format: 'semver' }),
      of({}, { format: 'uri-reference' }),
      of(shared),
      { $defs: { all: of({ dependentRequired: { a: ['b'] } }) }, $ref: '#/$defs/all' },
    ];
    for (const schema of forValidators) {
      expect(allowed(schema, [first, second, twice])).toEqual([first, second]);
      expect(allowed({ ...schema, 'x-guidance': { property_order: 'schema' } }, [first, second])).toEqual([first]);
      if (!JSON.stringify(schema).includes('semver'))
        expect(allowed(schema, [first, second], { strict: true })).toEqual([first]);
    }
    const apart = { oneOf: [{ type: 'object', required: ['a'] }, { type: 'string' }] };
    const forGenerators = [
      of({}),
      of({}, { format: 'uri' }),
      of({ 'x-not': {} }),
      of(apart),
      of({ allOf: [{ required: ['a'] }] }),
      // What a oneOf's schemas share, other keywords exclude.
      of({ oneOf: [{ properties: { a: { const: 'x:y' } } }, { properties: { a: { const: 'z' } } }], required: ['a'] }),
      { ...of({}), $defs: { unused: { not: {} } } },
    ];
    for (const schema of forGenerators) expect(allowed(schema, [first, second])).toEqual([first]);
    expect(allowed(of(shared), [first, second], { coerceOneOf: true })).toEqual([first]);
    expect(allowed(of({ not: { required: ['c'] } }), [first, second], { lenient: true })).toEqual([first]);
  });

  it('keep their order in a schema for validators that is too large for any order', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const part = (i: number): object => object(Object.fromEntries(names.map((name) => [name, { maximum: i }])));
    const of = (count: number): object =>
      object(Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, part(i)])), { not: { const: 1 } });
    const [first, second] = ['{"p1":{"a":0,"b":0}}', '{"p1":{"b":0,"a":0}}'];
    expect(allowed(of(10), [first, second])).toEqual([first, second]);
    expect(allowed(of(400), [first, second])).toEqual([first]);
  });

  it('are written once if a duplicate would not be valid', () => {
    const closed = object({ a: { type: 'integer' } }, { additionalProperties: { type: 'string' } });
    const doubles = ['{"a":1,"a":"x"}', '{"a":1,"\\u0061":"x"}', '{"\\u0061":"x"}'];
    expect(allowed(closed, ['{"a":1,"b":"x","b":"y"}', ...doubles])).toEqual(['{"a":1,"b":"x","b":"y"}']);
    expect(allowed(closed, ['{"b":"\\u0078"}', ...doubles], { generalEscapes: true })).toEqual(['{"b":"\\u0078"}']);
  });

  it('with names that need escapes are written in one way', () => {
    const schema = object({ 'a"\n\u007f': { type: 'null' } }, { additionalProperties: { type: 'boolean' } });
    const own = '{"a\\"\\n\u007f":null}';
    expect(allowed(schema, [own, '{"a\\"\\u000a\\u007f":true}', '{"a\\"\\n\\u007f":true}', '{"b":true}'])).toEqual([
      own,
      '{"b":true}',
    ]);
  });

  it('cannot have a lone surrogate in a name', () => {
    const schema = object({ '\ud800': { type: 'null' } }, { additionalProperties: { type: 'null' } });
    expect(allowed(schema, ['{"\\ud800":null}', '{"a":null}'])).toEqual(['{"a":null}']);
  });
});

describe('strings', () => {
  it('escape only the characters that need it', () => {
    expect(nextAfter({ type: 'string' }, '"\\')).toEqual([...'"\\bfnrtu']);
    expect(nextAfter({ type: 'string' }, '"\\u00')).toEqual([...'017']);
    const right = ['"\\u001F\\u007f\\n\\u000A"', '"é/😀"'];
    const wrong = ['"\n"', '"\u007f"', '"\\u0041"', '"\\/"', '"\\x"', '"\\ud83d\\ude00"', '"a""'];
    expect(allowed({ type: 'string' }, [...right, ...wrong])).toEqual(right);
    expect(
      allowed({ type: 'string', pattern: '^[\\x00-\\x1f"]$' }, ['"\\""', '"\\u0001"', '"\\t"', '"\\u0022"']),
    ).toEqual(['"\\""', '"\\u0001"', '"\\t"']);
    expect(allowed({ const: 'a\u0001"' }, ['"a\\u0001\\""', '"\\u0061\\u0001\\""'])).toEqual(['"a\\u0001\\""']);
  });

  it('may use other escapes if the options allow it', () => {
    const answers = ['"\\n"', '"\\t"', '"\\u0001"', '"\\u0041"'];
    expect(allowed({ type: 'string' }, answers, { escapes: 'n"\\' })).toEqual(['"\\n"']);
    const two = { type: 'string', minLength: 2, maxLength: 2 };
    const general = { generalEscapes: true };
    const pairs = ['"\\u0041\\uFFFF"', '"\\ud83d\\uDE00x"', '"😀\\u00e9"'];
    expect(allowed(two, [...pairs, '"\\ud83d\\ude00"', '"\\ud83dx"', '"\\ude00x"'], general)).toEqual(pairs);
    expect(allowed({ type: 'string', pattern: 'A' }, ['"A"', '"\\u0041"'], general)).toEqual(['"A"']);
    expect(allowed({ type: 'string', not: { const: 'A' } }, ['"B"', '"A"', '"\\u0041"'], general)).toEqual(['"B"']);
  });

  it('are measured in characters', () => {
    const answers = ['"😀"', '"😀😀"', '"\\n\\u0001"', '"ab"', '"abc"'];
    expect(allowed({ type: 'string', minLength: 2, maxLength: 2 }, answers)).toEqual([
      '"😀😀"',
      '"\\n\\u0001"',
      '"ab"',
    ]);
  });
});

describe('numbers', () => {
  it.each<[schema: object, valid: string[], invalid: string[]]>([
    [{ type: 'number' }, ['-0', '1e5', '1.50E-7', '123456789012345678901'], ['01', '1.', '.5', '+1', '1e', '--1']],
    [{ type: 'integer' }, ['-0', '10', '-12'], ['1.0', '1e3', '007']],
    [{ type: 'number', minimum: 0 }, ['0', '0.0', '5.50', '100000'], ['-0', '-1', '1e3']],
    [{ type: 'number', exclusiveMinimum: 0 }, ['0.50', '0.01', '1', '10.0'], ['0', '0.0', '-1']],
    [
      { type: 'number', minimum: -1.5, maximum: 0.25 },
      ['-1.5', '-1.50', '-0.01', '0', '0.25', '0.2'],
      ['-1.51', '-1.6', '0.26', '0.251', '0.3', '1', '-2'],
    ],
    [
      { type: 'number', exclusiveMinimum: 0.1, exclusiveMaximum: 0.3 },
      ['0.11', '0.2', '0.299', '0.1001'],
      ['0.1', '0.10', '0.3', '0', '0.301'],
    ],
    [
      { type: 'number', minimum: 99.5, maximum: 1000 },
      ['99.5', '99.99', '100', '999.9', '1000', '1000.0'],
      ['99.49', '99.4', '1000.1', '1001'],
    ],
    [{ type: 'number', maximum: -5 }, ['-5', '-5.0', '-5.1', '-100'], ['-4.9', '5', '0']],
    [{ type: 'integer', minimum: -5, maximum: 120 }, ['-5', '-1', '0', '99', '120'], ['-6', '121', '1000', '-10']],
    [{ type: 'integer', minimum: 7, maximum: 7 }, ['7'], ['6', '8', '77', '-7']],
    [{ type: 'integer', exclusiveMinimum: 1e9 }, ['1000000001', '12345678901234567'], ['1000000000', '999999999']],
    [
      { type: 'integer', minimum: 1e21, maximum: 2e21 },
      ['1000000000000000000000', '2000000000000000000000'],
      ['999999999999999999999', '2000000000000000000001'],
    ],
    [{ type: 'number', minimum: 1e-7 }, ['0.0000001', '0.00000011', '1'], ['0.00000009', '0']],
    [
      { enum: [1, 2.5, 1e21, 1e-7, -0] },
      ['1', '2.5', '1000000000000000000000', '0.0000001', '0'],
      ['1.0', '10', '2', '-0'],
    ],
    [{ type: 'number', multipleOf: 0.01 }, ['1.23', '1', '-0.5'], ['1.234', '1e2']],
    [{ type: 'number', multipleOf: 2.5, minimum: 0 }, ['2.5', '5', '5.0', '102.5'], ['2.4', '3', '-2.5']],
    [{ type: 'integer', multipleOf: 7, maximum: 100 }, ['0', '7', '98', '-7'], ['8', '105', '70.0']],
    [{ type: 'integer', multipleOf: 20 }, ['0', '20', '-140', '1000'], ['10', '2', '30', '1010']],
    // The nearest double would be a multiple.
    [{ type: 'number', not: { multipleOf: 1 } }, ['1.5', '-0.001'], ['1', '1.0', '12345678901234567.5']],
    [{ type: 'number', not: { enum: [1, 0, 2.5] } }, ['2', '10', '2.51', '-1'], ['1', '1.0', '-0', '0.00', '2.50']],
  ])('%j', (schema, valid, invalid) => {
    expect(allowed(schema, [...valid, ...invalid])).toEqual(valid);
  });
});
