import { marked, type Token } from 'marked';
import { expect, test } from 'vitest';
import { blocksOf } from '../../demo/chat/markdown-blocks.ts';

/** The child tokens of a token. */
const within = (token: Token): readonly Token[] =>
  'items' in token ? (token.items as Token[]) : 'tokens' in token ? (token.tokens ?? []) : [];

/** Nesting depth of tokens. */
function depthOf(tokens: readonly Token[]): number {
  let depth = 0;
  for (let level = tokens; level.length > 0; depth++) level = level.flatMap(within);
  return depth;
}

test.each([
  ['quotations', '> ', ''],
  ['lists', '- ', ''],
  ['numbered lists', '1. ', ''],
  ['lists in quotations', '> - ', ''],
  ['emphasis', '*a ', ' a*'],
  ['strong and emphasis', '**a *b ', ' b* a**'],
  ['struck out', '~~a *b ', ' b* a~~'],
  ['brackets', '[', '](b)'],
])('%s nested 3,000 deep become text below some depth', (_, open, close) => {
  const text = `${open.repeat(3000)}a${close.repeat(3000)}`;
  const blocks = blocksOf(text);
  expect(blocks.map(({ raw }) => raw).join('')).toBe(text);
  expect(depthOf(blocks)).toBeLessThan(100);
  expect(marked.parser(blocks)).toContain('a');
});

test('ten levels of quotations are rendered', () => {
  expect(marked.parser(blocksOf('> '.repeat(10))).match(/<blockquote>/g)).toHaveLength(10);
  expect(marked.parser(blocksOf(`${'- '.repeat(10)}a`)).match(/<ul>/g)).toHaveLength(10);
});

test('HTML is text', () => {
  expect(marked.parser(blocksOf('<b>a</b>\n\n<script>b</script>'))).not.toMatch(/<b>|<script>/);
});
