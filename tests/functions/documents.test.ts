import { expect, test } from 'vitest';
import { parseChatRequest } from '../../src/api/requests.ts';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { chatTraits } from '../../src/tokenizer/chat-traits.ts';
import { expectError } from '../support/expect-error.ts';

/** Tools, documents and answers of tools in the way of Granite 4's template. */
const GRANITE = `{%- set prefix = 'Tools:\\n<tools>' %}
{%- set ns = namespace(tools=prefix, documents='Documents:\\n<documents>', system='') %}
{%- if tools %}
    {%- for tool in tools %}
        {%- set ns.tools = ns.tools + '\\n' + (tool | tojson) %}
    {%- endfor %}
    {%- set ns.system = ns.tools + '\\n</tools>' %}
{%- endif %}
{%- if documents %}
    {%- for document in documents %}
        {%- set ns.documents = ns.documents + '\\n' + (document | tojson) %}
    {%- endfor %}
    {%- set ns.system = (ns.system + '\\n\\n' if tools else '') + ns.documents + '\\n</documents>' %}
{%- endif %}
{%- if ns.system %}
    {{- '<|start_of_role|>system<|end_of_role|>' + ns.system + '<|end_of_text|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- set content = namespace(val='') %}
    {%- if message.content is string %}
        {%- set content.val = message.content %}
    {%- endif %}
    {%- if message.role == 'user' or message.role == 'assistant' %}
        {{- '<|start_of_role|>' + message.role + '<|end_of_role|>' + content.val + '<|end_of_text|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or (messages[loop.index0 - 1].role != 'tool') %}
            {{- '<|start_of_role|>user<|end_of_role|>' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + content.val + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != 'tool') %}
            {{- '<|end_of_text|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_of_role|>assistant<|end_of_role|>' }}
{%- endif %}`;
const PLAIN = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}';

const metadataOf = (chatTemplate: string): TokenizerMetadata => ({
  ...{ file: 'tiny.gguf', model: 'gpt2', tokens: ['<s>'], bosId: 0, eosId: 0 },
  chatTemplate,
});
const DOCUMENTS = [
  { text: 'Öffnet um "neun" <c0>.', doc_id: '1' },
  { text: 'b', title: 'T', doc_id: '2' },
];
const USER = { role: 'user' as const, content: 'Wann?' };

test('documents and tools stand in the prompt as transformers 5.24 writes them', () => {
  const messages = [USER, { role: 'tool', content: '9' }, { role: 'tool', content: '10' }];
  const tools = [
    {
      type: 'function' as const,
      function: { name: 'now', description: '', parameters: { type: 'object', properties: {} } },
    },
  ];
  expect(renderChat(metadataOf(GRANITE), messages, { tools, documents: DOCUMENTS })).toBe(
    '<|start_of_role|>system<|end_of_role|>Tools:\n<tools>\n{"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}\n</tools>\n\n' +
      'Documents:\n<documents>\n{"text": "Öffnet um \\"neun\\" <c0>.", "doc_id": "1"}\n{"text": "b", "title": "T", "doc_id": "2"}\n</documents><|end_of_text|>\n' +
      '<|start_of_role|>user<|end_of_role|>Wann?<|end_of_text|>\n' +
      '<|start_of_role|>user<|end_of_role|>\n<tool_response>\n9\n</tool_response>\n<tool_response>\n10\n</tool_response><|end_of_text|>\n' +
      '<|start_of_role|>assistant<|end_of_role|>',
  );
});

test('documents are refused if the template would lose them, as documents or as messages', async () => {
  const [granite, plain] = [GRANITE, PLAIN].map((template) => chatTraits(metadataOf(template)));
  const asDocuments = { messages: [USER], documents: DOCUMENTS };
  const asMessages = { messages: [{ role: 'document 1' as const, content: 'a' }, USER] };
  expect(parseChatRequest(asDocuments, granite!).documents).toEqual(DOCUMENTS);
  expect(parseChatRequest(asMessages, plain!).messages[0]).toEqual(asMessages.messages[0]);
  await expectError(() => parseChatRequest(asDocuments, plain!), 'unsupported', { field: 'documents' });
  await expectError(() => parseChatRequest(asMessages, granite!), 'unsupported', { field: 'messages[0].role' });
  await expectError(() => parseChatRequest({ messages: [USER], documents: [{}] as never }, granite!), 'bad_request', {
    field: 'documents[0].text',
  });
});
