import { expect, it } from 'vitest';
import { ownFormat } from '../../src/web-llm/response-format.ts';

it("takes web-llm's forms, whose schemas are text", () => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } } };
  expect(ownFormat({ type: 'json_object', schema: JSON.stringify(schema) })).toEqual({
    type: 'json_schema',
    json_schema: { name: 'answer', schema },
  });
  expect(ownFormat({ type: 'json_object' })).toEqual({ type: 'json_object' });
  expect(ownFormat({ type: 'grammar', grammar: 'root ::= "a"' })).toEqual({ type: 'grammar', grammar: 'root ::= "a"' });
  expect(ownFormat({})).toEqual({ type: 'text' });
});

it('refuses what it cannot keep to', () => {
  const code = (code: string, field: string) =>
    expect.objectContaining({ code, detail: expect.objectContaining({ field }) as object }) as Error;
  expect(() => ownFormat({ type: 'json_object', schema: '{' })).toThrow(code('bad_request', 'response_format.schema'));
  expect(() => ownFormat({ type: 'structural_tag' })).toThrow(code('unsupported', 'response_format.type'));
});
