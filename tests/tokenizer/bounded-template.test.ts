import { describe, expect, it } from 'vitest';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { type ChatTurn, renderChat, type ToolDefinition } from '../../src/tokenizer/chat-template.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { HERMES, LLAMA, MISTRAL } from '../support/tool-templates.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 1, numLayers: 1 });
const tiny = readTokenizerMetadata(await readGguf(new BytesSource('tiny.gguf', bytes)));
const withTemplate = (chatTemplate: string | undefined): TokenizerMetadata => ({ ...tiny, chatTemplate });
const user = { role: 'user', content: 'Hi' };

/** `ns.x` becomes 2 ** n characters. */
const text = (n: number): string =>
  `{% set ns = namespace(x="a") %}{% for i in range(${n}) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}`;
const often = (body: string): string =>
  `{% for i in range(1000) %}{% for j in range(1000) %}${body}{% endfor %}{% endfor %}`;
/** `ns.a` holds 2 ** 40 lists, two in each. */
const NESTED = '{% set ns = namespace(a=[]) %}{% for i in range(40) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}';
const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
/** The same through namespaces that are filled in after they were stored. */
const NESTED_LATER =
  range(40)
    .map((i) => `{% set n${i} = namespace(a=1) %}{% set b${i} = [n${i}, n${i}] %}`)
    .join('') +
  range(39)
    .map((i) => `{% set n${i + 1}.a = b${i} %}`)
    .join('');

const HOSTILE: Record<string, string> = {
  'two loops of 3,000,000': '{% for i in range(3000000) %}{% for j in range(3000000) %}{% endfor %}{% endfor %}',
  'many loops': often('{% if i.x %}{{ i + j }}{% endif %}').repeat(10),
  'many methods': often('{{ "a".upper() }}'),
  'a loop that goes on at once': often('{% continue %}'),
  'the date, again and again': often('{{ strftime_now("%B") }}'),
  'a range that no memory holds': '{{ range(1000000000) }}',
  'a range downwards': '{{ range(0, -1000000000, -1) | length }}',
  'a text that doubles': `${text(60)}{{ ns.x }}`,
  'a block that doubles': `{% set x = "ab" %}${'{% set x %}{{ x }}{{ x }}{% endset %}'.repeat(60)}{{ x }}`,
  'much text': often('x'.repeat(1000)),
  'a list that doubles':
    '{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}',
  'macros without an end': '{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}',
  'macros in a tree': '{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}',
  'callers in a tree': `{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}${'{% call m() %}'.repeat(60)}x${'{% endcall %}'.repeat(60)}`,
  'lists in lists, written out': `${NESTED}{{ ns.a }}`,
  'lists in lists, as JSON': `${NESTED}{{ ns.a | tojson }}`,
  'lists in lists, compared': `${NESTED}{% set a = ns.a %}${NESTED}{{ a == ns.a }}`,
  'lists in namespaces': `${NESTED_LATER}{{ b39 }}`,
  'a namespace in itself': '{% set ns = namespace() %}{% set ns.a = [ns, ns] %}{{ ns }}',
  'a search that begins again and again': `${text(17)}{% set p = ns.x[1:50000] ~ "b" ~ ns.x[1:50000] %}{{ p in ns.x }}`,
  'a split that does': `${text(17)}{% set f = ns.x.split %}{{ f(ns.x[1:50000] ~ "b" ~ ns.x[1:50000]) | length }}`,
  splits: `${text(19)}${often('{% set y = ns.x.split("a") %}')}`,
  'a text in place of each character': `${text(19)}{{ ns.x.replace("a", ns.x) | length }}`,
  'the same by a filter': `${text(19)}{{ ns.x | replace("a", ns.x) | length }}`,
  'the same by unpacked arguments': `${text(19)}{{ ns.x.replace(*["a", ns.x]) | length }}`,
  'the same by a block': `${text(19)}{% filter replace("a", "${'x'.repeat(1000)}") %}{{ ns.x }}{% endfilter %}`,
  'a text between many': `${text(19)}{{ range(100000) | join(ns.x) | length }}`,
  'blanks before each line': '{{ "a\nb" | indent(width=500000000) | length }}',
  'blanks in JSON': '{{ {"a": {"b": [1, 2]}} | tojson(indent=30000000) | length }}',
  sorting: often('{{ range(10000) | sort | length }}'),
  slices: `${text(19)}${often('{{ ns.x[5:5] }}')}`,
  comparisons: `${text(19)}{% set a = ns.x ~ "" %}{% set b = "" ~ ns.x %}${often('{{ a == b }}')}`,
  'brackets in brackets': `{{ ${'('.repeat(30000)}1${')'.repeat(30000)} }}`,
  'blocks in blocks': '{% if 1 %}'.repeat(5000) + '{% endif %}'.repeat(5000),
  'a file of templates': 'x'.repeat(1_000_000),
};

describe('a template’s work is limited', () => {
  it.each(Object.entries(HOSTILE))('%s', async (_, template) => {
    const before = process.cpuUsage().user;
    await expectError(() => renderChat(withTemplate(template), [user]), 'bad_file', {
      ...{ file: 'tiny.gguf', field: 'tokenizer.chat_template', reason: /steps|nested|characters|a range of/ },
    });
    expect((process.cpuUsage().user - before) / 1000).toBeLessThan(1000);
  });

  it('and nothing of it persists: another conversation renders as usual', async () => {
    const model = withTemplate(
      '{% if messages | length > 1 %}{{ range(1000000000) }}{% endif %}{{ messages[0].content }}',
    );
    expect(renderChat(model, [user])).toBe('Hi');
    await expectError(() => renderChat(model, [user, user]), 'bad_file', {});
    expect(renderChat(model, [user])).toBe('Hi');
  });
});

/** Turns of a user and an assistant, with a tool call in every other one. */
function conversation(turns: number, characters: number): ChatTurn[] {
  const content = 'word '.repeat(characters / 5).trim(); // as some templates trim
  return range(turns).flatMap((i): ChatTurn[] => [
    { role: 'user', content },
    ...(i % 2 === 0
      ? []
      : [
          {
            role: 'assistant',
            content: '',
            tool_calls: [
              { id: 'abcdefghi', type: 'function' as const, function: { name: 'tool_1', arguments: { at: i } } },
            ],
          },
          { role: 'tool', content, tool_call_id: 'abcdefghi' },
        ]),
    { role: 'assistant', content },
  ]);
}

const TOOLS: ToolDefinition[] = range(300).map((i) => ({
  type: 'function',
  function: {
    name: `tool_${i}`,
    description: 'Does what it is asked to do. '.repeat(8),
    parameters: {
      type: 'object',
      properties: Object.fromEntries(
        range(8).map((p) => [`p${p}`, { type: 'string', description: 'A parameter', enum: ['a', 'b'] }]),
      ),
    },
  },
}));

describe('long conversations are rendered completely', () => {
  it.each([
    ['chatml', undefined],
    ['hermes', HERMES],
    ['llama', LLAMA],
    ['mistral', MISTRAL],
    // Each message reads all earlier ones.
    [
      'one that looks back',
      "{% for m in messages %}{% if messages[:loop.index0] | selectattr('role', 'equalto', 'user') | list | length > 0 %}{% endif %}{{ m.content }}{% endfor %}",
    ],
  ])('%s', (_, template) => {
    for (const [turns, characters] of [
      [200, 200],
      [8, 50_000],
    ] as const) {
      const messages = [...conversation(turns, characters), user];
      const prompt = renderChat(withTemplate(template), messages, { tools: TOOLS });
      expect(prompt.split('word').length - 1).toBe(((turns * 5) / 2) * (characters / 5));
    }
  });
});

it.each(['messages', 'tools'])('endless %s are refused', async (field) => {
  let inside: Record<string, unknown> = {};
  for (let depth = 0; depth < 20_000; depth++) inside = { inside };
  const call = { type: 'function' as const, function: { name: 'f', arguments: inside } };
  const messages = field === 'messages' ? [user, { role: 'assistant', content: '', tool_calls: [call] }] : [user];
  const tools: ToolDefinition[] =
    field === 'tools' ? [{ type: 'function', function: { name: 'f', parameters: inside } }] : [];
  await expectError(() => renderChat(withTemplate(HERMES), messages, { tools }), 'bad_request', {
    field,
    reason: /nested/,
  });
});
