import { expect, test } from 'vitest';
import { expectError } from '../support/expect-error.ts';
import type { ResponseFormat } from '../../src/grammar/response-format.ts';
import { byteGrammars, END } from '../support/grammars/random-answer.ts';

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
const listed = (mask: Uint32Array | undefined): string =>
  Array.from({ length: END + 1 }, (_, id) =>
    ((mask?.[id >> 5] ?? 0) >>> (id & 31)) & 1 ? (id === END ? '$' : String.fromCharCode(id)) : '',
  ).join('');

test.each([
  ['as far as tokens may come', 'abcx', ['b', 'cd', 'a$']],
  ['none where the first may not', 'xab', []],
  ['not after the end', 'abc$a', ['b', 'cd', 'a$']],
])('masks after each draft token are computed in advance: %s', async (_, draft, want) => {
  const grammar = await byteGrammars().begin({ type: 'grammar', grammar: 'root ::= ("ab" [cd])+' });
  const tokens = bytesOf(draft).map((byte) => (byte === 0x24 ? END : byte));
  for (let i = 0; i < 2; i++) {
    expect((await grammar.foresee(tokens)).map(({ mask }) => listed(mask))).toEqual(want);
    expect(listed(grammar.first?.mask)).toBe('a');
  }
  expect(listed((await grammar.follow([0x61]))?.mask)).toBe('b');
  expect((await grammar.foresee(bytesOf('bd'))).map(({ mask }) => listed(mask))).toEqual(['cd', 'a$']);
  expect(listed((await grammar.follow([0x62]))?.mask)).toBe('cd');
});

test.each(['root ::= root', 'root ::= []', 'root ::= "a" x\nx ::= x', 'root ::= "a" []'])(
  'a grammar that matches no answer is refused: %j',
  async (grammar) => {
    const begin = () => byteGrammars().begin({ type: 'grammar', grammar });
    await expectError(begin, 'bad_request', { field: 'response_format.grammar' });
  },
);

test('forced text is reported up to a choice', async () => {
  const grammar = await byteGrammars().begin({ type: 'grammar', grammar: 'root ::= [ab] "héllo" ("x" | "y")? "!"' });
  expect(grammar.first?.forcedText).toBe('');
  expect((await grammar.follow([0x61]))?.forcedText).toBe('héllo');
  expect((await grammar.follow([0x68, 0xc3]))?.forcedText).toBe(''); // in the middle of a character
  expect((await grammar.follow([0xa9]))?.forcedText).toBe('llo');
  expect((await grammar.follow(bytesOf('llox')))?.forcedText).toBe('!');
});

test('text forced except for white space is likely, with the white space used before', async () => {
  const item = { type: 'object', properties: { ab: { type: 'integer' }, cd: {} }, required: ['ab', 'cd'] };
  const schema = { type: 'array', items: item, minItems: 4 };
  const grammar = await byteGrammars().begin({ type: 'json_schema', schema });
  expect([grammar.first?.forcedText, grammar.first?.likelyText]).toEqual(['[', '[{"ab":']);
  const likelyBehind = async (text: string) => (await grammar.follow(bytesOf(text)))?.likelyText;
  expect(await likelyBehind('[\n {"ab"')).toBe(':');
  expect(await likelyBehind(':1,')).toBe(' "cd":');
  expect(await likelyBehind('\t"cd":"a: ,b"}')).toBe(', {"ab":');
  expect(await likelyBehind(',\n {"ab":1,')).toBe('\t"cd":');
  expect(await likelyBehind('\t"cd":[]}')).toBe(',\n {"ab":');
  expect(await likelyBehind(',')).toBe('\n {"ab":');
  expect(await likelyBehind('\n ')).toBe('{"ab":');
  expect(await likelyBehind('{"ab":1,')).toBe('\t"cd":');
  expect(await likelyBehind('\t"cd":[]}')).toBe(',\n {"ab":');
  await grammar.foresee(bytesOf(',  {"ab"'));
  expect(await likelyBehind(',')).toBe('\n {"ab":');
});

test('white space between JSON tokens is bounded, so that a model cannot loop in it; in a string it is not', async () => {
  const grammar = await byteGrammars().begin({
    type: 'json_schema',
    schema: { type: 'array', items: { type: 'string' } },
  });
  expect(listed((await grammar.follow(bytesOf('[       ')))?.mask)).toBe('\t\n\r "]');
  expect(listed((await grammar.follow(bytesOf(' ')))?.mask)).toBe('"]');
  expect(listed((await grammar.follow(bytesOf(`"${' '.repeat(9)}`)))?.mask)).toContain(' ');
});

test('a token of the mask is accepted, however much work that takes', async () => {
  const schema = { type: 'string', pattern: '[a-z]'.repeat(5000) };
  const grammar = await byteGrammars().begin({ type: 'json_schema', schema });
  expect(listed((await grammar.follow(bytesOf('"')))?.mask)).toContain('a');
  expect(listed((await grammar.follow(bytesOf(' ago, laws of')))?.mask)).toContain('a');
});

test('a function with an unsupported schema accepts any object, unless it is strict', async () => {
  const parameters = { type: 'object', properties: { a: { type: 'array', uniqueItems: true } } };
  const format = (strict: boolean): ResponseFormat => ({
    ...{ type: 'tool_calls', notation: 'hermes', opensReasoning: false },
    tools: [
      { name: 'free', parameters: { type: 'object' } },
      { name: 'f', parameters, strict },
    ],
  });
  const grammar = await byteGrammars().begin(format(false));
  expect(grammar.ignored).toEqual([expect.stringMatching(/^1\.function\.parameters.*uniqueItems/)]);
  const call = '<tool_call>{"name": "f", "arguments": {"b": [1, 1]}}</tool_call>';
  expect(listed((await grammar.follow(bytesOf(call)))?.mask)).toContain('$');
  const field = expect.stringMatching(/^tools\[1\]\.function\.parameters.*uniqueItems/) as string;
  await expect(byteGrammars().begin(format(true))).rejects.toMatchObject({ code: 'bad_request', detail: { field } });
});
