import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { type ChatTurn, renderChat } from '../../src/tokenizer/chat-template.ts';
import { chatTraits } from '../../src/tokenizer/chat-traits.ts';
import { HERMES, LLAMA, MISTRAL } from '../support/tool-templates.ts';
import { check, type FuzzCase, type FuzzKind } from './kind.ts';
import { mutateText, pick } from './mutate.ts';

const PIECES = [
  ...[
    '{{',
    '}}',
    '{%',
    '%}',
    '{#',
    '-%}',
    '{% endfor %}',
    '{% if tools %}',
    '{% else %}',
    '{% set x = 1 %}',
    '{{ messages }}',
    '{{ x }}',
  ],
  ...[
    '| tojson',
    '| length',
    '[0]',
    '[:-1]',
    '.content',
    "['role']",
    'is defined',
    'not ',
    ' ~ ',
    ' * 9',
    '"',
    "'",
    '(',
    ')',
    '1e999',
    '\0',
  ],
  ...[
    '{% for i in range(9) %}',
    '{% macro m(a) %}',
    '{{ m(m) }}',
    'loop.index0',
    'namespace(a=1)',
    '{{ raise_exception("no") }}',
    'none',
    'constructor',
    '__proto__',
  ],
];

const MESSAGES: ChatTurn[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'How warm is it?' },
  {
    role: 'assistant',
    content: '',
    tool_calls: [{ id: 'abcdefghi', type: 'function', function: { name: 'weather', arguments: { place: 'here' } } }],
  },
  { role: 'tool', content: '21', tool_call_id: 'abcdefghi' },
];
const TOOLS = [
  {
    type: 'function' as const,
    function: {
      name: 'weather',
      description: 'The weather.',
      parameters: { type: 'object', properties: { place: { type: 'string' } } },
    },
  },
];

/** Chat templates with spans cut, repeated and moved. */
export const templates: FuzzKind = {
  codes: ['bad_file', 'bad_request', 'unsupported'],
  async open() {
    const metadata = (chatTemplate: string): TokenizerMetadata => ({
      file: 'fuzz.gguf',
      model: 'gpt2',
      tokens: ['<s>', '</s>'],
      bosId: 0,
      eosId: 1,
      chatTemplate,
    });
    const render = (chatTemplate: string): void => {
      chatTraits(metadata(chatTemplate));
      check(typeof renderChat(metadata(chatTemplate), MESSAGES, { tools: TOOLS }) === 'string', 'what is rendered');
    };
    const whole = [HERMES, LLAMA, MISTRAL];
    whole.forEach(render);
    return (random): FuzzCase => {
      const done: string[] = [];
      let template = pick(whole, random);
      for (let i = random.below(3); i >= 0; i--) {
        const [what, mutated] = mutateText(template, random, PIECES);
        done.push(what);
        template = mutated;
      }
      return { what: done.join('; '), bytes: template.length, run: () => render(template) };
    };
  },
};
