import { describe, expect, it } from 'vitest';
import { SCHEMAS } from '../../support/grammars/schemas.ts';
import { Random } from '../../support/random.ts';
import { compiled, randomAnswer, validator } from './byte-grammars.ts';

const MORE: Readonly<Record<string, object>> = {
  'everything else': {
    type: 'object',
    properties: { kind: { enum: ['a', 'b'] }, list: { type: 'array', contains: { type: 'integer' }, maxItems: 4 } },
    patternProperties: { '^x': { type: 'boolean' } },
    additionalProperties: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
    required: ['kind'],
    if: { properties: { kind: { const: 'a' } } },
    then: { required: ['list'] },
    else: { not: { required: ['list'] } },
    // In any order, few random answers end.
    'x-guidance': { property_order: 'schema' },
  },
  'one of what overlaps': {
    oneOf: [
      { type: 'object', properties: { a: { type: 'integer', multipleOf: 3 } } },
      { type: 'object', properties: { b: { type: 'string', pattern: '^[a-c]*$' } } },
      { type: 'integer' },
      { type: 'number', multipleOf: 0.5 },
    ],
  },
};

describe('every answer that a grammar accepts parses and is valid', () => {
  it.each(Object.entries({ ...SCHEMAS, ...MORE }))('%s', (_, schema) => {
    const { grammar } = compiled(schema);
    const isValid = validator(schema);
    const answers = new Set<string>();
    for (let seed = 0; seed < 8; seed++) {
      const answer = randomAnswer(grammar, new Random(seed));
      if (answer === undefined) continue;
      expect(isValid(JSON.parse(answer)), answer).toBe(true);
      answers.add(answer);
    }
    expect(answers.size).toBeGreaterThan(1);
  });
});
