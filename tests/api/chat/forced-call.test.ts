import { describe, expect, it } from 'vitest';
import { formatOfCall } from '../../../src/api/chat/parse-chat.ts';
import { byteGrammars, randomAnswer } from '../../support/grammars/random-answer.ts';
import { faultsOf } from '../../support/grammars/validate.ts';
import { Random } from '../../support/random.ts';

const grammars = byteGrammars();

const object = (properties: Record<string, unknown>) => ({
  ...{ type: 'object', properties, required: Object.keys(properties), additionalProperties: false },
});
const point = {
  ...object({ from: { $ref: '#/$defs/place' }, to: { $ref: '#/$defs/place' } }),
  $defs: { place: { enum: ['here', 'there'] } },
};
const level = {
  ...object({ place: { $ref: '#/$defs/place' } }),
  $defs: { place: { type: 'integer', minimum: 1, maximum: 9 } },
};
const tree = object({
  name: { type: 'string', maxLength: 3 },
  parts: { type: 'array', items: { $ref: '#' }, maxItems: 1 },
});

describe("the arguments of a forced call match the tool's schema, whose references resolve inside it", () => {
  it.each<[string, Record<string, Record<string, unknown>>]>([
    ['definitions', { move: point }],
    ['one name in two tools, for two things', { move: point, lift: level }],
    ['the schema itself', { build: tree }],
    ['the schema itself, beside other tools', { build: tree, lift: level }],
    ['a schema with an $id of its own', { move: { $id: 'https://example.com/move', ...point }, lift: level }],
  ])('%s', async (_, parameters) => {
    const tools = Object.entries(parameters).map(([name, schema]) => ({
      type: 'function' as const,
      function: { name, parameters: schema },
    }));
    const called = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const answer = await randomAnswer(grammars, formatOfCall(tools), new Random(seed));
      const call = JSON.parse(answer) as { name: string; arguments: object };
      expect(faultsOf(JSON.stringify(call.arguments), parameters[call.name] ?? {}), answer).toEqual([]);
      called.add(call.name);
    }
    expect([...called].sort()).toEqual(Object.keys(parameters).sort());
  });
});

it('the arguments of a forced call are an object even if the tool has no parameters', async () => {
  const tools = [{ type: 'function' as const, function: { name: 'now', parameters: { description: 'None.' } } }];
  for (let seed = 0; seed < 12; seed++) {
    const call = JSON.parse(await randomAnswer(grammars, formatOfCall(tools), new Random(seed))) as {
      arguments: unknown;
    };
    expect(call.arguments).toEqual(expect.any(Object));
    expect(Array.isArray(call.arguments)).toBe(false);
  }
});
