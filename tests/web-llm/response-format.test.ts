import { expect, it } from 'vitest';
import { ownFormat } from '../../src/web-llm/conversions.ts';

it("converts web-llm's formats, whose schemas are text", () => {
  const schema = { type: 'object', properties: { a: { type: 'integer' } } };
  expect(ownFormat({ type: 'json_object', schema: JSON.stringify(schema) })).toEqual({
    type: 'json_schema',
    json_schema: { name: 'answer', schema },
  });
  expect(ownFormat({ type: 'json_object' })).toEqual({ type: 'json_object' });
  expect(ownFormat({ type: 'grammar', grammar: 'root ::= "a"' })).toEqual({ type: 'grammar', grammar: 'root ::= "a"' });
  const format = { type: 'const_string', value: 'a' } as const;
  for (const structural_tag of [{ format }, format, JSON.stringify({ format })])
    expect(ownFormat({ type: 'structural_tag', structural_tag })).toEqual({ type: 'structural_tag', format });
  expect(ownFormat({})).toEqual({ type: 'text' });
});

it('refuses invalid formats', () => {
  const code = (code: string, field: string) =>
    expect.objectContaining({ code, detail: expect.objectContaining({ field }) as object }) as Error;
  expect(() => ownFormat({ type: 'json_object', schema: '{' })).toThrow(code('bad_request', 'response_format.schema'));
  const tag = code('bad_request', 'response_format.structural_tag');
  expect(() => ownFormat({ type: 'structural_tag', structural_tag: '{' })).toThrow(tag);
});
