import { expect, test } from 'vitest';
import { kvOptions } from '../../cli/command-flags.ts';
import { numberFlag, wholeFlag } from '../../cli/flags.ts';
import { parseEmbeddingRequest } from '../../src/api/embeddings.ts';
import { parseFallback } from '../../src/api/fallback/server-engine.ts';
import { parseEngineOptions } from '../../src/api/options.ts';
import type { ToUrl } from '../../src/api/names.ts';
import { parseAdapterSources } from '../../src/api/adapters.ts';
import {
  type ChatCompletionRequest,
  type CompletionRequest,
  parseChatRequest,
  parseCompletionRequest,
  parseDefaults,
} from '../../src/api/requests.ts';
import { parseRerankRequest } from '../../src/api/rerank.ts';
import type { EngineOptions } from '../../src/api/engine-types.ts';
import { Planner } from '../../src/chunking/planner.ts';
import { settingsOf } from '../../src/engine/adapters.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { contextOf } from '../../src/session/model-plan.ts';

/** Values that hardly any option accepts. */
const HOSTILE = [
  ...[Infinity, -Infinity, NaN, 1e300, -1e300, 2 ** 53, 1e15, -1, 0, 0.5],
  ...['', 'x', 'Infinity', true, null, {}, [], [1e300], () => 0],
];

/** Yields `value` with itself or one of its parts replaced by each of these. */
function* spoiled(value: unknown): Generator<unknown> {
  yield* HOSTILE;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    for (const each of spoiled(part)) {
      const changed = { ...value, [key]: each };
      yield Array.isArray(value) ? Object.values(changed) : changed;
    }
  }
}

const CALL = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } };
const OPTIONS = {
  max_tokens: 4,
  n: 2,
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema: {} } },
  temperature: 1,
  top_p: 1,
  top_k: 1,
  min_p: 0,
  repetition_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  logit_bias: { 5: 1 },
  seed: 1,
  stop: ['x'],
  adapter: [{ name: 'poet', scale: 1 }],
  ranks: 'uniform',
  equalMeanRank: true,
  rankErrorBudget: 0.1,
  chunks: { minLength: 8, maxLength: 64, tile: 4, slack: 2, budget: 12, jump: 1 },
  rampWidth: 4,
  plan: {
    version: 1,
    tokens: [1],
    complexity: [0.5],
    chunks: [{ start: 0, end: 1, complexity: 0.5, level: 1, scale: 1 }],
    table: [{ levelLo: 0, levelHi: 1, wLo: 0, wHi: 1 }],
    ladder: [4, 8],
    levels: { ranks: [4, 8] },
  },
  kv: 'policy',
  kvErrorBudget: 1,
  kvMemoryBudget: 1000,
  kvPriority: 'error',
  kvShadow: false,
  speculate: false,
  recomputePrompt: false,
  stream: true,
  stream_options: { include_usage: true },
  best_of: 1,
};
const CHAT = {
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
    { role: 'assistant', content: null, tool_calls: [CALL] },
    { role: 'tool', content: 'x', tool_call_id: 'a' },
  ],
  tools: [{ type: 'function', function: { name: 'f', description: 'x', parameters: {} } }],
  tool_choice: 'auto',
  logprobs: true,
  top_logprobs: 2,
  ...OPTIONS,
};
const ENGINE = {
  model: 'owner/model',
  draftModel: 'owner/draft',
  adapters: { poet: 'owner/poet', pirate: { gguf: 'pirate.gguf' } },
  hub: { endpoint: 'https://hub.example/', token: 'x' },
  contextLength: 64,
  memoryLimitBytes: 1e9,
  weights: 'Q8_0',
  queueLimit: 4,
  readTimeoutMs: 100,
  autotune: true,
  gpuAdapter: { powerPreference: 'low-power', forceFallbackAdapter: false },
  ranks: 'uniform',
  kvErrorBudget: 1,
  kvMemoryBudget: 1000,
};
const BASE = 'https://app.example/';
const inApp: ToUrl = (text) => new URL(text, BASE);

function parseEngine(options: unknown): void {
  const { contextLength } = parseEngineOptions(options as EngineOptions, inApp);
  parseDefaults(options as EngineOptions);
  parseAdapterSources((options as EngineOptions).adapters, inApp);
  contextOf({ contextLength: 128 }, contextLength);
}

/** Includes the planner's checks of a request's chunks. */
function parseChat(request: unknown): void {
  const { options } = parseChatRequest(request as ChatCompletionRequest, {
    toolFormat: 'hermes',
    opensReasoning: false,
  });
  const vocabulary = { size: 3, text: () => 'a' };
  new Planner({ ...settingsOf(options), vocabulary, ladder: [1, 2, 3, 4, 5, 6] });
}

function parseFlag(value: unknown): void {
  const text = String(value);
  wholeFlag('steps', text, 1);
  wholeFlag('streams', text, 1, 4);
  numberFlag('temperature', text, 0, 100);
  kvOptions({ kv: 'policy', 'kv-error-budget': text });
}

test.each<[string, unknown, (value: unknown) => unknown]>([
  ['createEngine', ENGINE, parseEngine],
  ['a fallback', { baseURL: BASE, apiKey: 'x', model: 'x' }, (value) => parseFallback(value, inApp)],
  ['a chat', CHAT, parseChat],
  [
    'a completion',
    { prompt: 'Hi', logprobs: 2, ...OPTIONS },
    (value) => parseCompletionRequest(value as CompletionRequest),
  ],
  ['embeddings', { input: ['a', [5]], encoding_format: 'float' }, parseEmbeddingRequest],
  ['a reranking', { query: 'a', documents: ['b'], top_n: 1, return_documents: true }, parseRerankRequest],
  ['a flag', '4', parseFlag],
])('refuses parts of %s in plain words', (_, valid, parse) => {
  parse(valid);
  const messages = new Set<string>();
  for (const value of spoiled(valid)) {
    try {
      parse(value);
    } catch (error) {
      expect(error).toBeInstanceOf(ChunkwiseError);
      const { message } = error as ChunkwiseError;
      messages.add(message.replace(/"[^"]*"/g, '""')); // what is quoted is the caller's own
    }
  }
  expect(messages.size).toBeGreaterThan(2);
  expect([...messages].filter((message) => /Infinity|\de\+|\b(goes|go|is) not with\b|\[object/.test(message))).toEqual(
    [],
  );
});
