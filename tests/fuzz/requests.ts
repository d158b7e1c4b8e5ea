import { parseDecisions } from '../../src/api/decisions/parse-decisions.ts';
import { readingsOf } from '../../src/api/decisions/questions.ts';
import { parseEmbeddingRequest } from '../../src/api/embeddings.ts';
import { serve, type Served } from '../../src/api/http/serve.ts';
import { parseRerankRequest } from '../../src/api/rerank.ts';
import {
  parseChatRequest,
  parseCompletionRequest,
  type ChatCompletionRequest,
  type CompletionRequest,
} from '../../src/api/requests.ts';
import type { ChatCompletion } from '../../src/api/responses.ts';
import { isRecord } from '../../src/util/values.ts';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { HERMES } from '../support/tool-templates.ts';
import { check, type FuzzCase, type FuzzKind } from './kind.ts';
import { mutateJson, mutateText, pick } from './mutate.ts';

const TOOL = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather.',
    parameters: { type: 'object', properties: { place: { type: 'string' } } },
  },
};
const CALL = { id: 'a', type: 'function', function: { name: 'weather', arguments: '{"place": "here"}' } };
const SAMPLING = {
  temperature: 0.5,
  top_p: 0.9,
  top_k: 40,
  min_p: 0.1,
  repetition_penalty: 1.1,
  presence_penalty: 0.5,
  frequency_penalty: 0.5,
  seed: 7,
  logit_bias: { 5: -3 },
  stop: ['\n', 'end'],
  max_tokens: 8,
  n: 2,
};
const RANKS = {
  adapter: [{ name: 'pirate', scale: 0.5 }],
  ranks: 'uniform',
  equalMeanRank: true,
  rankErrorBudget: 0.3,
  chunks: { minLength: 16, budget: 12 },
  rampWidth: 8,
};
const PLAN = {
  version: 1,
  tokens: [1],
  complexity: [0.5],
  chunks: [{ start: 0, end: 1, complexity: 0.5, level: 1, scale: 1 }],
  table: [{ levelLo: 0, levelHi: 1, wLo: 0, wHi: 1 }],
  ladder: null,
  levels: { ranks: [4, 8] },
};
const KV = {
  kv: 'policy',
  kvErrorBudget: 0.1,
  kvMemoryBudget: 100_000,
  kvPriority: 'memory',
  kvShadow: true,
  speculate: false,
  recomputePrompt: true,
};
const MESSAGES = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: [{ type: 'text', text: 'How warm is it?' }] },
  { role: 'assistant', content: null, tool_calls: [CALL], reasoning_content: 'Hm.' },
  { role: 'tool', content: '21', tool_call_id: 'a', name: 'weather' },
];

const QUESTIONS = [
  { type: 'predicate', name: 'a', instructions: 'So?', criteria: { true: 'it is', false: 'it is not' } },
  {
    type: 'choice',
    instructions: [{ type: 'input_text', text: 'Which?' }],
    choices: [{ value: 'x' }, { value: true }],
  },
  {
    type: 'score',
    instructions: 'How?',
    levels: [{ label: 'low', description: 'd' }, { label: 'high' }],
    temperature: 2,
  },
];
const ITEMS = [
  { type: 'message', role: 'developer', content: 'Be strict.' },
  { role: 'user', content: [{ type: 'input_json', data: { a: [1] } }] },
  { type: 'function_call', call_id: 'a', name: 'weather', arguments: '{"place": "here"}' },
  { type: 'function_call_output', call_id: 'a', output: [{ type: 'input_text', text: '21' }] },
  { role: 'assistant', content: [{ type: 'output_text', text: 'Warm.' }] },
];

const BODIES: readonly [path: string, body: object][] = [
  [
    'chat/completions',
    {
      model: 'tiny',
      messages: MESSAGES,
      tools: [TOOL],
      tool_choice: 'auto',
      ...SAMPLING,
      stream: true,
      stream_options: { include_usage: true },
    },
  ],
  [
    'chat/completions',
    { messages: MESSAGES, ...RANKS, ...KV, logprobs: true, top_logprobs: 5, user: 'me', metadata: { a: 'b' } },
  ],
  [
    'chat/completions',
    {
      messages: MESSAGES,
      plan: PLAN,
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: TOOL.function.parameters } },
    },
  ],
  [
    'chat/completions',
    { messages: MESSAGES, tools: [TOOL], tool_choice: { type: 'function', function: { name: 'weather' } } },
  ],
  [
    'completions',
    { prompt: 'Once', ...SAMPLING, logprobs: 3, response_format: { type: 'grammar', grammar: 'root ::= "a"' } },
  ],
  ['embeddings', { input: ['a', [1, 2]], encoding_format: 'base64', adapter: 'pirate' }],
  ['decisions', { input: 'a', questions: QUESTIONS, adapter: 'pirate', permutations: 2, min_label_mass: 0.1 }],
  ['decisions', { model: 'pirate', input: ITEMS, questions: QUESTIONS.slice(0, 1), return_prompt_token_ids: true }],
  [
    'systemone',
    {
      state: { a: [1] },
      instructions: 'Be strict.',
      questions: {
        a: { type: 'noul', instructions: 'So?', criteria: { true: 'it is' } },
        b: { type: 'choice', instructions: 'Which?', criteria: { x: null, y: 'why' }, adapter: 'pirate' },
        c: { type: 'score', criteria: ['low', 'high'] },
      },
      chat_template_kwargs: { enable_thinking: false },
    },
  ],
  ['rerank', { query: 'a', documents: ['b', 'c'], top_n: 1, return_documents: true }],
];

const METADATA: TokenizerMetadata = {
  file: 'fuzz.gguf',
  model: 'gpt2',
  tokens: ['<s>', '</s>'],
  bosId: 0,
  eosId: 1,
  chatTemplate: HERMES,
};

/** Runs the steps of an engine on a request before its worker computes anything. */
async function prepareChat(request: ChatCompletionRequest): Promise<ChatCompletion> {
  const { messages, tools, options, newReader } = parseChatRequest(request, {
    toolFormat: 'hermes',
    opensReasoning: false,
  });
  // The worker receives a clone.
  const sent = structuredClone({ messages, tools, options });
  const prompt = renderChat(METADATA, sent.messages, { tools: sent.tools });
  check(
    sent.messages.every(({ content }) => prompt.includes(content)),
    'a prompt without what was said',
  );
  const reader = await newReader();
  reader.push('Yes. <tool_call>{"name": "weather", "arguments": {}}</tool_call>');
  check(
    Object.values(options.sampling ?? {}).every((value) => typeof value !== 'number' || Number.isFinite(value)),
    'sampling that is not finite',
  );
  return { id: 'x', object: 'chat.completion', created: 0, model: 'tiny', choices: [] } as unknown as ChatCompletion;
}

async function prepareDecisions(request: unknown): Promise<object> {
  const { messages, questions, permutations } = structuredClone(parseDecisions(request));
  for (const question of questions) {
    const readings = readingsOf(question, permutations);
    check(
      readings.every(({ spellings, text }) => spellings.length === question.options.length && text !== ''),
      'options without a label',
    );
    const turn = { role: 'user', content: readings[0]?.text ?? '' };
    check(renderChat(METADATA, [...messages, turn]).includes(turn.content), 'a prompt without the question');
  }
  return { answers: [], usage: {} };
}

/** An engine that accepts every valid request and returns empty answers. */
const ENGINE = {
  model: 'tiny.gguf',
  contextLength: 512,
  adapters: { list: async () => [{ name: 'pirate' }] },
  chat: { completions: { create: async (request: ChatCompletionRequest) => prepareChat(request) } },
  completions: { create: async (request: CompletionRequest) => structuredClone(parseCompletionRequest(request)) },
  embeddings: { create: async (request: unknown) => structuredClone(parseEmbeddingRequest(request)) },
  decisions: { create: async (request: unknown) => prepareDecisions(request) },
  rerank: async (request: unknown) => structuredClone(parseRerankRequest(request)),
} as unknown as Served;

/** Sends a request to an engine. A 5xx status or an untyped error is a failure. */
export async function send(method: string, path: string, body: string): Promise<void> {
  const request = new Request(`http://chunkwise/v1/${path}`, { method, ...(method === 'POST' && { body }) });
  const response = await serve(ENGINE, request);
  const answer: unknown = await response.json();
  if (response.status === 200) return;
  const error = isRecord(answer) && isRecord(answer['error']) ? answer['error'] : {};
  const isTyped = typeof error['code'] === 'string' && typeof error['message'] === 'string' && error['message'] !== '';
  check(response.status < 500 && isTyped, `status ${response.status}: ${JSON.stringify(answer).slice(0, 300)}`);
}

const PATHS = [
  'models',
  'models/pirate',
  'models/%E0%A4%A',
  'models/%00',
  'constructor',
  '__proto__',
  'toString',
  '',
  '..',
  'chat',
  'chat/completions/',
  '%ff',
  'embeddings?x=1',
];

/** HTTP requests with unusual bodies and paths. */
export const requests: FuzzKind = {
  codes: [], // every error is a response
  async open() {
    for (const [path, body] of BODIES) await send('POST', path, JSON.stringify(body));
    return (random): FuzzCase => {
      const [own, body] = pick(BODIES, random);
      let [what, text] = mutateJson(body, random);
      if (random.below(10) === 0)
        [what, text] = mutateText(text, random, ['"', '{', '\\', '\0', '\ud800', '[', ',', '1e999']);
      const isStrange = random.below(10) === 0;
      const path = isStrange ? pick(PATHS, random) : own;
      const method = isStrange ? pick(['GET', 'POST', 'DELETE'], random) : 'POST';
      return { what: `${method} ${path}: ${what}`, bytes: text.length, run: () => send(method, path, text) };
    };
  },
};
