import { KV_MODES, KV_PRIORITIES, MOST_KV_ERROR_BUDGET, type KvOptions } from '../cache/kv-options.ts';
import type { SamplingOptions } from '../config/sampling.ts';
import type { SentOptions } from '../../workers/protocol.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { type ParsedChat, parseChat } from './chat/parse-chat.ts';
import { isRecord } from '../config/is-record.ts';
import { checkBoolean, checkInteger, checkList, checkNumber, checkOneOf, describe, refuse } from './checks.ts';
import { DECODING_FIELDS, isIdle, parseChoices, parseDecoding } from './decoding-fields.ts';
import { parseRanks, RANK_FIELDS } from './ranks.ts';
import type { ChatCompletionRequest, CompletionOptions, CompletionRequest } from './types.ts';

/** What the worker is asked for, and how the answer is to be shaped. */
export interface ParsedRequest {
  options: SentOptions;
  stream: boolean;
  includeUsage: boolean;
  /** Answers asked for. */
  choices: number;
}

const MAX_STOPS = 4;
/** What may become a stop string is held back, and searched at each token. */
const MAX_STOP_CHARS = 4096;

/** This package's own. */
const OWN = {
  adapter: true,
  ...RANK_FIELDS,
  kv: true,
  kvErrorBudget: true,
  kvMemoryBudget: true,
  kvPriority: true,
  kvShadow: true,
  speculate: true,
  recomputePrompt: true,
} as const;

const OPTION_FIELDS: Record<keyof CompletionOptions, true> = {
  model: true, // OpenAI's clients always name one; this engine holds one
  max_tokens: true,
  ...DECODING_FIELDS,
  temperature: true,
  top_p: true,
  top_k: true,
  min_p: true,
  repetition_penalty: true,
  presence_penalty: true,
  frequency_penalty: true,
  logit_bias: true,
  seed: true,
  stop: true,
  ...OWN,
  stream: true,
  stream_options: true,
};

/** Fields of this package's own, which no server knows. */
export const OWN_FIELDS: ReadonlySet<string> = new Set(Object.keys(OWN));

/** Checks a chat request. Throws `bad_request`, naming the field; `unsupported` for tools that the model knows not of. */
export function parseChatRequest(
  request: ChatCompletionRequest,
  traits: ChatTraits,
): ParsedRequest & Omit<ParsedChat, 'callFormat'> {
  const fields = fieldsOf(request, 'messages', 'tools', 'tool_choice', 'top_logprobs');
  const { callFormat: responseFormat, ...chat } = parseChat(fields, traits);
  const { options, ...parsed } = parseOptions(fields, 'chat');
  return { ...chat, ...parsed, options: { ...options, ...(responseFormat && { responseFormat }) } };
}

/** Checks a completion request. Throws `bad_request`, naming the field. */
export function parseCompletionRequest(request: CompletionRequest): ParsedRequest & { prompt: string } {
  const fields = fieldsOf(request, 'prompt');
  const { prompt } = fields;
  if (typeof prompt !== 'string') refuse('prompt', `must be a string, but is ${describe(prompt)}`);
  if (prompt === '') refuse('prompt', 'is empty');
  return { prompt, ...parseOptions(fields, 'text') };
}

/** A request's fields as they came, which need not be as typed; null is as good as absent, as in OpenAI's API. */
function fieldsOf(request: unknown, ...inputs: string[]): Record<string, unknown> {
  if (!isRecord(request)) refuse('request', `must be an object, but is ${describe(request)}`);
  const fields = Object.entries(request).filter(([, value]) => value !== undefined && value !== null);
  for (const [name, value] of fields) {
    const known = inputs.includes(name) || Object.hasOwn(OPTION_FIELDS, name);
    if (!known && !isIdle(name, value)) refuse(name, 'is not a field of this request');
  }
  return Object.fromEntries(fields);
}

function parseOptions(fields: Record<string, unknown>, kind: 'chat' | 'text'): ParsedRequest {
  const stream = checkBoolean(fields['stream'], 'stream');
  return {
    options: {
      ...parseDecoding(fields, kind),
      sampling: parseSampling(fields),
      stop: parseStop(fields['stop']),
      adapters: parseAdapters(fields['adapter']),
      ...parseRanks(fields),
      ...parseKv(fields),
      speculate: checkBoolean(fields['speculate'], 'speculate'),
      recomputePrompt: checkBoolean(fields['recomputePrompt'], 'recomputePrompt'),
    },
    stream,
    includeUsage: parseIncludeUsage(fields['stream_options'], stream),
    choices: parseChoices(fields['n']),
  };
}

function parseSampling(fields: Record<string, unknown>): SamplingOptions {
  const number = (name: keyof CompletionOptions, missing: number, least: number, most: number): number => {
    const value = fields[name];
    return value === undefined ? missing : checkNumber(value, name, least, most);
  };
  const topP = number('top_p', 1, 0, 1);
  if (topP === 0) refuse('top_p', 'must be above 0');
  const repetitionPenalty = number('repetition_penalty', 1, 0, 100);
  if (repetitionPenalty === 0) refuse('repetition_penalty', 'must be above 0');
  const topK = fields['top_k'] === undefined ? 0 : checkInteger(fields['top_k'], 'top_k', -1);
  return {
    temperature: number('temperature', 1, 0, 2),
    topK: Math.max(topK, 0), // −1 keeps all, as in vLLM
    topP,
    minP: number('min_p', 0, 0, 1),
    repetitionPenalty,
    presencePenalty: number('presence_penalty', 0, -2, 2),
    frequencyPenalty: number('frequency_penalty', 0, -2, 2),
    logitBias: parseLogitBias(fields['logit_bias']),
    seed: parseSeed(fields['seed']),
  };
}

function parseLogitBias(value: unknown = {}): Map<number, number> {
  const biases = new Map<number, number>();
  if (!isRecord(value)) refuse('logit_bias', `must be an object, but is ${describe(value)}`);
  for (const [key, bias] of Object.entries(value)) {
    const token = Number(key);
    if (!/^\d{1,9}$/.test(key)) refuse('logit_bias', `its keys must be token ids, but one is ${describe(key)}`);
    biases.set(token, checkNumber(bias, `logit_bias[${key}]`, -100, 100));
  }
  return biases;
}

function parseSeed(value: unknown): number {
  if (value === undefined) return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return checkInteger(value, 'seed', Number.MIN_SAFE_INTEGER) >>> 0;
}

export function parseAdapters(value: unknown = [], field = 'adapter'): { name: string; scale: number }[] {
  if (typeof value === 'string') return [{ name: value, scale: 1 }];
  return checkList(value, field, 'a name or an array').map((use, i) => {
    const at = `${field}[${i}]`;
    if (!isRecord(use)) refuse(at, `must be an object, but is ${describe(use)}`);
    const { name, scale } = use;
    if (typeof name !== 'string') refuse(`${at}.name`, `must be a string, but is ${describe(name)}`);
    return { name, scale: scale === undefined ? 1 : checkNumber(scale, `${at}.scale`, -100, 100) };
  });
}

/** Checks what a request says of its cache. Throws `bad_request`, naming the field. */
export function parseKv({ kv, kvPriority, kvShadow, ...fields }: Record<string, unknown>): KvOptions {
  const mode = checkOneOf(KV_MODES, kv, 'kv');
  const { kvErrorBudget, kvMemoryBudget } = fields;
  for (const [name, value] of Object.entries({ kvErrorBudget, kvMemoryBudget, kvPriority })) {
    if (value !== undefined && mode !== 'policy') refuse(name, "is only allowed with kv: 'policy'");
  }
  const priority = checkOneOf(KV_PRIORITIES, kvPriority, 'kvPriority');
  return {
    ...(mode && { kv: mode }),
    ...(kvErrorBudget !== undefined && {
      kvErrorBudget: checkNumber(kvErrorBudget, 'kvErrorBudget', 0, MOST_KV_ERROR_BUDGET),
    }),
    ...(kvMemoryBudget !== undefined && { kvMemoryBudget: checkInteger(kvMemoryBudget, 'kvMemoryBudget', 1) }),
    ...(priority && { kvPriority: priority }),
    ...(kvShadow !== undefined && { kvShadow: checkBoolean(kvShadow, 'kvShadow') }),
  };
}

function parseStop(value: unknown = []): string[] {
  const stops = Array.isArray(value) ? checkList(value, 'stop') : [value];
  if (stops.length > MAX_STOPS) refuse('stop', `at most ${MAX_STOPS} strings are allowed, not ${stops.length}`);
  return stops.map((stop) => {
    if (typeof stop !== 'string') refuse('stop', `must be a string or an array of them, but holds ${describe(stop)}`);
    if (stop === '') refuse('stop', 'holds an empty string');
    if (stop.length > MAX_STOP_CHARS)
      refuse('stop', `holds a string of ${stop.length} characters; at most ${MAX_STOP_CHARS} are allowed`);
    return stop;
  });
}

function parseIncludeUsage(value: unknown, stream: boolean): boolean {
  if (value === undefined) return false;
  if (!stream) refuse('stream_options', 'is only allowed with stream: true');
  if (!isRecord(value)) refuse('stream_options', `must be an object, but is ${describe(value)}`);
  for (const name of Object.keys(value)) {
    if (name !== 'include_usage') refuse(`stream_options.${name}`, 'is not a field of this request');
  }
  return checkBoolean(value['include_usage'], 'stream_options.include_usage');
}
