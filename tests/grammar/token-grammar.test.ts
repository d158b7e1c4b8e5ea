import { expect, test } from 'vitest';
import { expectError } from '../support/expect-error.ts';
import { byteGrammars, END } from '../support/grammars/random-answer.ts';

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
const listed = (mask: Uint32Array | undefined): string =>
  Array.from({ length: END + 1 }, (_, id) =>
    ((mask?.[id >> 5] ?? 0) >>> (id & 31)) & 1 ? (id === END ? '$' : String.fromCharCode(id)) : '',
  ).join('');

test.each([
  ['as far as tokens may come', 'abcx', ['b', 'cd', 'a$']],
  ['none where the first may not', 'xab', []],
  ['not behind the end', 'abc$a', ['b', 'cd', 'a$']],
])('what may follow is foreseen: %s', async (_, draft, want) => {
  const grammar = await byteGrammars().begin({ type: 'grammar', grammar: 'root ::= ("ab" [cd])+' });
  const tokens = bytesOf(draft).map((byte) => (byte === 0x24 ? END : byte));
  for (let i = 0; i < 2; i++) {
    expect((await grammar.foresee(tokens)).map(listed)).toEqual(want);
    expect(listed(await grammar.allowed())).toBe('a');
  }
  expect(listed(await grammar.follow(0x61))).toBe('b');
  expect((await grammar.foresee(bytesOf('bd'))).map(listed)).toEqual(['cd', 'a$']);
  expect(listed(await grammar.follow(0x62))).toBe('cd');
});

test.each(['root ::= root', 'root ::= []', 'root ::= "a" x\nx ::= x', 'root ::= "a" []'])(
  'where nothing may follow the answer does not end as if it were whole: %j',
  async (grammar) => {
    const ends = async (): Promise<unknown> => {
      const begun = await byteGrammars().begin({ type: 'grammar', grammar });
      const first = await begun.allowed();
      return listed(first) === 'a' ? begun.follow(0x61) : first;
    };
    await expectError(ends, 'bad_request', { field: 'response_format.grammar' });
  },
);
