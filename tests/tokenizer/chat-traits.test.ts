import { describe, expect, it } from 'vitest';
import { asShown } from '../../src/api/chat/parse-chat.ts';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { type ChatTurn, renderChat, type ToolDefinition } from '../../src/tokenizer/chat-template.ts';
import { chatTraits, withMarkers } from '../../src/tokenizer/chat-traits.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { GEMMA4, HERMES, LFM2, LLAMA, MISTRAL } from '../support/tool-templates.ts';

async function metadata(chatTemplate: string): Promise<TokenizerMetadata> {
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 1, numLayers: 1 });
  return { ...readTokenizerMetadata(await readGguf(new BytesSource('tiny.gguf', bytes))), chatTemplate };
}

const tools: ToolDefinition[] = [
  {
    type: 'function',
    function: { name: 'get_time', description: 'Now.', parameters: { type: 'object', properties: {} } },
  },
];
const user = { role: 'user', content: 'What time?' };
const call: ChatTurn = {
  role: 'assistant',
  content: '',
  tool_calls: [{ id: 'abcdefghi', type: 'function', function: { name: 'get_time', arguments: { zone: 'UTC' } } }],
};
const result = { role: 'tool', content: '12', tool_call_id: 'abcdefghi' };

describe.each([
  [
    'hermes',
    HERMES,
    '<tool_call>\n{"name": "get_time", "arguments": {"zone": "UTC"}}\n</tool_call>',
    '<tool_response>\n12\n',
  ],
  ['llama', LLAMA, '{"name": "get_time", "parameters": {"zone": "UTC"}}<|eot_id|>', '"12"'],
  ['mistral', MISTRAL, '"name": "get_time", "arguments": {"zone": "UTC"}', '{"content": 12, "call_id": "abcdefghi"}'],
] as const)("%s's template", (format, template, written, answered) => {
  it('shows the format of calls, and renders tools, calls and results', async () => {
    const model = await metadata(template);
    expect(chatTraits(model)).toEqual({ toolFormat: format, opensReasoning: false, showsCalls: true, ...NO_DOCUMENTS });
    expect(renderChat(model, [user], { tools })).toContain('get_time');
    expect(renderChat(model, [user])).not.toContain('get_time');
    const prompt = renderChat(model, [user, call, result], { tools });
    expect(prompt).toContain(written);
    expect(prompt).toContain(answered);
  });
});

/** A template without documents that writes any role. */
const NO_DOCUMENTS = { readsDocuments: false, showsDocuments: true };

it("lfm2's template shows the format of calls if the vocabulary has their markers, and renders tools", async () => {
  const plain = await metadata(LFM2);
  expect(chatTraits(plain).toolFormat).toBeUndefined();
  const model = { ...plain, tokens: [...plain.tokens.slice(0, -1), '<|tool_call_start|>'] };
  expect(chatTraits(model)).toEqual({ toolFormat: 'lfm2', opensReasoning: false, showsCalls: false, ...NO_DOCUMENTS });
  expect(renderChat(model, [user], { tools })).toContain(
    'List of tools: [{"type": "function", "function": {"name": "get_time"',
  );
});

it("gemma4's template renders tools, calls, and results in the calling turn", async () => {
  const model = await metadata(GEMMA4);
  const traits = chatTraits(model);
  expect(traits).toEqual({ toolFormat: 'gemma4', opensReasoning: false, showsCalls: true, ...NO_DOCUMENTS });
  const prompt = renderChat(model, asShown([user, call, result], traits), { tools });
  expect(prompt).toContain('<|tool>declaration:get_time{');
  expect(prompt).toMatch(
    /<\|turn>model\n<\|tool_call>call:get_time\{zone:<\|"\|>UTC<\|"\|>\}<tool_call\|><\|tool_response>response:get_time\{value:<\|"\|>12<\|"\|>\}<tool_response\|>$/,
  );
});

describe('a template', () => {
  it('may have no tools, or another format of calls', async () => {
    for (const template of ['{{ messages[0].content }}', `${HERMES}<function=`, `${MISTRAL}[ARGS]`, '{% broken']) {
      expect(chatTraits(await metadata(template))).toMatchObject({ toolFormat: undefined, opensReasoning: false });
    }
  });

  it('may open the reasoning', async () => {
    const opened = "{{ messages[0].content }}{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}";
    expect(chatTraits(await metadata(opened)).opensReasoning).toBe(true);
    expect(chatTraits(await metadata("{{ '<think>\n\n</think>\n\n' }}")).opensReasoning).toBe(false);
  });
});

it('shows markers that are control tokens, and no others', async () => {
  const plain = await metadata(MISTRAL);
  const tokens = [...plain.tokens];
  tokens[1] = '[TOOL_CALLS]';
  const marked = { ...plain, tokens };
  const tokenizer = createTokenizer(marked);
  const shown = withMarkers(tokenizer, marked);
  const text = (of: typeof tokenizer) => new TextDecoder().decode(of.tokenBytes(1));
  expect([text(tokenizer), text(shown), shown.tokenBytes(2)]).toEqual(['', '[TOOL_CALLS]', new Uint8Array(0)]);
});
