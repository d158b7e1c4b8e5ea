import { KV_MODES, KV_PRIORITIES, MOST_KV_ERROR_BUDGET, type KvMode, type KvPriority } from '../cache/policy.ts';
import type { SamplingOptions } from '../config/sampling.ts';
import type { SentOptions } from '../../workers/protocol.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { type MessageInput, parseChat, type ParsedChat, type ToolChoice } from './chat/parse-chat.ts';
import { isRecord } from '../util/values.ts';
import {
  checkBoolean,
  checkFilled,
  checkInteger,
  checkJson,
  checkList,
  checkNumber,
  checkOneOf,
  checkPositive,
  checkRecord,
  checkSignal,
  checked,
  describe,
  fieldsOf,
  optional,
  refuse,
} from './checks.ts';
import type { ChunkPlan } from '../chunking/chunk-plan.ts';
import { type ChunkerOptions, DEFAULT_CHUNKER } from '../chunking/chunker.ts';
import { loadPlan, savePlan } from '../chunking/plan-file.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { ChatDocument, ToolDefinition } from '../tokenizer/chat-template.ts';
import { type AdapterRequest, parseAdapters } from './adapters.ts';
import {
  parseResponseFormat,
  parseStructuredOutputs,
  type ResponseFormat,
  type StructuredOutputs,
} from './response-format.ts';
/**
 * Requests for completions. `CompletionOptions` documents each field; `OPTION_FIELDS` has its check, its default and the
 * option of the engine that it becomes.
 */

/** Fields that both kinds of completion share. OpenAI's fields keep OpenAI's names and defaults, others vLLM's. */
export interface CompletionOptions {
  /** No effect: an engine has one model. `engine.fetch` answers with the adapter of that name. Default: the engine's. */
  model?: string;
  /** Maximum number of tokens in the answer. Default: the rest of the context. */
  max_tokens?: number;
  /** The newer name of `max_tokens`; wins if both are set. */
  max_completion_tokens?: number;
  /** Format that the answer must follow. Default: any text. */
  response_format?: ResponseFormat;
  /** The same, as vLLM's clients ask for it. Default: any text. */
  structured_outputs?: StructuredOutputs;
  /** Number of answers, 1 to 8, with consecutive seeds: `choices` by `index`. Default: 1. */
  n?: number;
  /** Sampling temperature, 0 (always the likeliest token) to 2. Default: 1. */
  temperature?: number;
  /** Keeps the likeliest tokens whose probabilities add up to this, above 0 to 1. Default: 1, all tokens. */
  top_p?: number;
  /** Keeps this many of the likeliest tokens; 0 or −1 keeps all. Default: 0. */
  top_k?: number;
  /** Keeps tokens with at least this fraction of the likeliest token's probability, 0 to 1. Default: 0, all tokens. */
  min_p?: number;
  /** Divides positive logits and multiplies negative logits of tokens already in the text, above 0 to 100. Default: 1. */
  repetition_penalty?: number;
  /** Subtracted once from the logits of tokens already in the answer, −2 to 2. Default: 0. */
  presence_penalty?: number;
  /** Subtracted from the logits of tokens already in the answer, once for each occurrence, −2 to 2. Default: 0. */
  frequency_penalty?: number;
  /** Adds to logits, by token id (a decimal string), −100 to 100. Default: none. */
  logit_bias?: Record<string, number>;
  /** The same seed gives the same answer on the same device. Default: random. */
  seed?: number;
  /** Up to four strings; the answer ends before the first that occurs. Default: none. */
  stop?: string | string[];
  /** A loaded adapter to answer with, or the sum of several. Default: none. */
  adapter?: string | AdapterRequest[];
  /**
   * Number of ranks of the adapters that each token gets: by the complexity of the text (`chunkwise`), all (`uniform`), a
   * fixed number, or the levels of `chunkwise` in random order (`shuffled`). This and the next five fields have no effect
   * without adapters. Default: `chunkwise`.
   */
  ranks?: 'chunkwise' | 'uniform' | 'shuffled' | number;
  /** With `ranks: 'uniform'`: gives every token the mean rank of `chunkwise`. Default: false. */
  equalMeanRank?: boolean;
  /** Share of the adapter's change that the lowest rank level may lose (relative L2), 0 to 1. Default: 0.41, within fixed fractions of the ranks. */
  rankErrorBudget?: number;
  /** Rules for chunk boundaries. Default: see `ChunkerOptions`. */
  chunks?: Partial<ChunkerOptions>;
  /** Number of tokens over which ranks change between chunks. Default: 4. */
  rampWidth?: number;
  /** A recorded plan of the same text, used instead of a new one. Default: none. */
  plan?: ChunkPlan;
  /**
   * Storage of keys and values: `dense` keeps f16; `policy` uses the fewest bytes that an error budget allows; `sparse`
   * keeps the entries of old text that had most attention when repeated; the others store all pages except the first and the last in 8 bits or fewer. Default: `dense`, or `policy` if the engine has a budget.
   */
  kv?: KvMode;
  /** With `kv: 'policy'`: allowed loss in percent of perplexity, 0 to 16. Default: 1. */
  kvErrorBudget?: number;
  /**
   * With `kv: 'policy'` or `'sparse'`: bytes that the keys and values of the text may take. Below about 20 % of f16's, both
   * evict the entries of old text that matter least. Default: no limit.
   */
  kvMemoryBudget?: number;
  /** With `kv: 'policy'`: the budget that holds if both cannot; the report tells which did. Default: `error`, or `memory` if only that is set. */
  kvPriority?: KvPriority;
  /** Measures the true error next to the estimated one; keeps the dense pages too. Default: false. */
  kvShadow?: boolean;
  /**
   * Drafts tokens from the text or with a draft model, and verifies several at a time, if that is faster. The answer
   * stays the same, unless two tokens are equally likely up to rounding. Default: false.
   */
  speculate?: boolean;
  /**
   * Computes the whole prompt even if the prefix cache holds part of it, and first compiles what answers of any length
   * need; for comparing times. Default: false.
   */
  recomputePrompt?: boolean;
  /** Returns the answer in chunks. Default: false. */
  stream?: boolean;
  /** With `stream`: `include_usage` adds the usage to the last chunk. Default: no usage. */
  stream_options?: { include_usage?: boolean };
  /** Accepted without effect, as are the next five fields: the engine keeps nothing. */
  user?: string;
  store?: boolean;
  metadata?: Record<string, string>;
  service_tier?: string;
  safety_identifier?: string;
  prompt_cache_key?: string;
}

export interface ChatCompletionRequest extends CompletionOptions {
  messages: MessageInput[];
  /** Functions that the model may call, if its chat template supports tools. `parameters` is a JSON schema. Default: none. */
  tools?: ToolDefinition[];
  /** Texts that the model may answer from, if its chat template reads documents (Granite, Command R). Default: none. */
  documents?: ChatDocument[];
  /** Whether the model may, or must, call a tool. Default: `auto` if there are tools. */
  tool_choice?: ToolChoice;
  /** Returns each token's log-probability. Default: false. */
  logprobs?: boolean;
  /** With `logprobs`: also returns this many of the likeliest tokens at each place, 0 to 20. Default: 0. */
  top_logprobs?: number;
}

export interface CompletionRequest extends CompletionOptions {
  prompt: string;
  /** Returns each token's log-probability, and this many of the likeliest tokens with theirs, 0 to 20. Default: none. */
  logprobs?: number;
}

/** Defaults for requests that leave these fields out. A budget makes `policy` the default of `kv`. */
export type RequestDefaults = Pick<CompletionOptions, 'ranks' | 'kvErrorBudget' | 'kvMemoryBudget'>;

/** Options for the engine, and the shape of the response. */
export interface ParsedRequest {
  options: SentOptions;
  stream: boolean;
  includeUsage: boolean;
  /** Number of answers. */
  choices: number;
}

type Response = Omit<ParsedRequest, 'options'>;
type Check<T> = (value: unknown, field: string) => T | undefined;

/** How a field of a request is read. Without `check`, it has no effect or is read by `parseChat`. */
interface Field {
  /** Returns the checked value; undefined: as if the field were absent. Throws `bad_request`. */
  check?: Check<unknown>;
  /** Returns the value of a field that is absent. */
  missing?: (() => unknown) | undefined;
  /** The option that the value becomes. */
  becomes?: { part: 'options' | 'sampling' | 'response'; name: string };
  /** The field is only allowed if another field has one of these values. */
  onlyWith?: { field: keyof ChatCompletionRequest; values: readonly (string | boolean)[] };
  /** The field is refused if this one already set the same option. */
  notWith?: keyof CompletionOptions;
  /** Only this package has the field: other servers do not know it. */
  isOwn?: true;
}

type More = Pick<Field, 'missing' | 'onlyWith' | 'notWith' | 'isOwn'>;

const sampling = <K extends keyof SamplingOptions>(
  name: K,
  check: Check<SamplingOptions[K]>,
  missing: () => SamplingOptions[K],
): Field => ({ check, missing, becomes: { part: 'sampling', name } });

const option = <K extends keyof SentOptions>(name: K, check: Check<SentOptions[K]>, more?: More): Field => ({
  check,
  becomes: { part: 'options', name },
  ...more,
});

const ownOption = <K extends keyof SentOptions>(name: K, check: Check<SentOptions[K]>, more?: More): Field =>
  option(name, check, { isOwn: true, ...more });

const response = <K extends keyof Response>(name: K, check: Check<Response[K]>, more: More): Field => ({
  check,
  becomes: { part: 'response', name },
  ...more,
});

/** A field that would change the answer, accepted with the value that does not. */
const onlyAs = (value: unknown): Field => ({
  check: (given, field) => (given === value ? undefined : refuse(field, `is only supported as ${describe(value)}`)),
});

const integer =
  (least: number, most?: number): Check<number> =>
  (value, field) =>
    checkInteger(value, field, least, most);

const number =
  (least: number, most: number): Check<number> =>
  (value, field) =>
    checkNumber(value, field, least, most);

const positive =
  (most: number): Check<number> =>
  (value, field) =>
    checkPositive(value, field, most);

const oneOf =
  <T extends string>(known: readonly T[]): Check<T> =>
  (value, field) =>
    checkOneOf(known, value, field);

const is =
  <T>(value: T) =>
  (): T =>
    value;

const MAX_CHOICES = 8;
const MAX_TOP_LOGPROBS = 20;
/** Above any adapter's rank; each linear uses all ranks that it has. */
const MAX_RANK = 65_535;
const MAX_RAMP = 1024;
const MAX_STOPS = 4;
/** Text that may begin a stop string is held back and searched at each token. */
const MAX_STOP_CHARS = 4096;
const WITH_POLICY: More = { onlyWith: { field: 'kv', values: ['policy'] } };

const OPTION_FIELDS: Record<keyof CompletionOptions, Field> & Record<string, Field> = {
  model: {},
  max_tokens: option('maxTokens', integer(1)),
  max_completion_tokens: option('maxTokens', integer(1)),
  response_format: option('responseFormat', parseResponseFormat),
  structured_outputs: option('responseFormat', parseStructuredOutputs, { notWith: 'response_format' }),
  n: response('choices', integer(1, MAX_CHOICES), { missing: is(1) }),
  temperature: sampling('temperature', number(0, 2), is(1)),
  top_p: sampling('topP', positive(1), is(1)),
  top_k: sampling('topK', checkTopK, is(0)),
  min_p: sampling('minP', number(0, 1), is(0)),
  repetition_penalty: sampling('repetitionPenalty', positive(100), is(1)),
  presence_penalty: sampling('presencePenalty', number(-2, 2), is(0)),
  frequency_penalty: sampling('frequencyPenalty', number(-2, 2), is(0)),
  logit_bias: sampling('logitBias', checkLogitBias, () => new Map()),
  seed: sampling('seed', checkSeed, () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0),
  stop: option('stop', checkStop, { missing: is([]) }),
  adapter: ownOption('adapters', parseAdapters, { missing: is([]) }),
  ranks: ownOption('ranks', checkRanks),
  equalMeanRank: ownOption('equalMeanRank', (value, field) => checkBoolean(value, field) || undefined, {
    onlyWith: { field: 'ranks', values: ['uniform'] },
  }),
  rankErrorBudget: ownOption('rankErrorBudget', number(0, 1)),
  chunks: ownOption('chunks', checkChunks),
  rampWidth: ownOption('rampWidth', integer(0, MAX_RAMP)),
  plan: ownOption('plan', checkPlan),
  kv: ownOption('kv', oneOf(KV_MODES)),
  kvErrorBudget: ownOption('kvErrorBudget', number(0, MOST_KV_ERROR_BUDGET), WITH_POLICY),
  kvMemoryBudget: ownOption('kvMemoryBudget', integer(1), { onlyWith: { field: 'kv', values: ['policy', 'sparse'] } }),
  kvPriority: ownOption('kvPriority', oneOf(KV_PRIORITIES), WITH_POLICY),
  kvShadow: ownOption('kvShadow', checkBoolean),
  speculate: ownOption('speculate', checkBoolean, { missing: is(false) }),
  recomputePrompt: ownOption('recomputePrompt', checkBoolean, { missing: is(false) }),
  stream: response('stream', checkBoolean, { missing: is(false) }),
  stream_options: response('includeUsage', checkIncludeUsage, {
    missing: is(false),
    onlyWith: { field: 'stream', values: [true] },
  }),
  user: {},
  store: {},
  metadata: {},
  service_tier: {},
  safety_identifier: {},
  prompt_cache_key: {},
  best_of: onlyAs(1),
  echo: onlyAs(false),
  suffix: onlyAs(''),
  parallel_tool_calls: onlyAs(true),
};

const CHAT_FIELDS: Record<keyof ChatCompletionRequest, Field> = {
  ...OPTION_FIELDS,
  messages: {},
  tools: {},
  documents: {},
  tool_choice: {},
  logprobs: option('topLogprobs', (value, field) => (checkBoolean(value, field) ? 0 : undefined)),
  top_logprobs: option('topLogprobs', integer(0, MAX_TOP_LOGPROBS), {
    onlyWith: { field: 'logprobs', values: [true] },
  }),
};

const TEXT_FIELDS: Record<keyof CompletionRequest, Field> = {
  ...OPTION_FIELDS,
  prompt: {},
  logprobs: option('topLogprobs', integer(0, MAX_TOP_LOGPROBS)),
};

/** Whether only this package has the field, so that it is not sent to a fallback's server. */
export const isOwnField = (name: string): boolean =>
  Object.hasOwn(OPTION_FIELDS, name) && OPTION_FIELDS[name]?.isOwn === true;

/** Whether the field sets a sampling option. */
export const isSamplingField = (name: string): boolean =>
  Object.hasOwn(OPTION_FIELDS, name) && OPTION_FIELDS[name]?.becomes?.part === 'sampling';

/** Checks a chat request. Throws `bad_request`, naming the field; `unsupported` for tools that the model does not support. */
export function parseChatRequest(
  request: ChatCompletionRequest,
  traits: ChatTraits,
): ParsedRequest & Omit<ParsedChat, 'callFormat'> {
  const fields = fieldsOf(request, 'request', Object.keys(CHAT_FIELDS));
  const { callFormat: responseFormat, ...chat } = parseChat(fields, traits);
  const { options, ...parsed } = parseFields(fields, CHAT_FIELDS);
  return { ...chat, ...parsed, options: { ...options, ...(responseFormat && { responseFormat }) } };
}

/** Checks a completion request. Throws `bad_request`, naming the field. */
export function parseCompletionRequest(request: CompletionRequest): ParsedRequest & { prompt: string } {
  const fields = fieldsOf(request, 'request', Object.keys(TEXT_FIELDS));
  return { prompt: checkFilled(fields['prompt'], 'prompt'), ...parseFields(fields, TEXT_FIELDS) };
}

/** Checks the defaults for requests. Throws `bad_request`, naming the option. */
export function parseDefaults({ ranks, kvErrorBudget, kvMemoryBudget }: RequestDefaults): RequestDefaults {
  const defaults = { ranks, kvErrorBudget, kvMemoryBudget };
  parseFields({ kv: 'policy', ...defaults }, OPTION_FIELDS);
  return defaults;
}

/** Adds the engine's defaults to a request. A budget makes `policy` the default of `kv`. */
export function withDefaults<T extends CompletionOptions>(request: T, defaults: RequestDefaults): T {
  if (!isRecord(request)) return request; // the request's check refuses it
  const { ranks, ...budgets } = defaults;
  const hasBudget = Object.values(budgets).some((budget) => budget !== undefined);
  const kv = request.kv ?? (hasBudget ? 'policy' : undefined);
  const set = { ...(ranks !== undefined && { ranks }), ...(kv === 'policy' && { kv, ...budgets }) };
  const own = Object.entries(request).filter(([, value]) => value !== undefined && value !== null);
  return { ...request, ...set, ...Object.fromEntries(own) };
}

/** Reads the fields in the table's order. */
function parseFields(fields: Record<string, unknown>, table: Record<string, Field>): ParsedRequest {
  const parts: Record<'options' | 'sampling' | 'response', Record<string, unknown>> = {
    options: {},
    sampling: {},
    response: {},
  };
  for (const [name, { check, missing, becomes, onlyWith, notWith }] of Object.entries(table)) {
    const given = fields[name];
    const value = given === undefined ? missing?.() : check?.(given, name);
    if (value === undefined || !becomes) continue;
    const part = parts[becomes.part];
    if (given !== undefined && onlyWith && !onlyWith.values.some((value) => value === fields[onlyWith.field]))
      refuse(name, `is only allowed with ${onlyWith.field}: ${onlyWith.values.map(quoted).join(' or ')}`);
    if (notWith && part[becomes.name] !== undefined) refuse(name, `cannot be combined with ${notWith}`);
    part[becomes.name] = value;
  }
  const { options, sampling: sampled, response: shape } = parts;
  return { options: { ...options, sampling: sampled } as unknown as SentOptions, ...(shape as unknown as Response) };
}

const quoted = (value: string | boolean): string => (typeof value === 'string' ? `'${value}'` : String(value));

/** −1 keeps all tokens, as in vLLM. */
function checkTopK(value: unknown, field: string): number {
  return Math.max(checkInteger(value, field, -1), 0);
}

function checkLogitBias(value: unknown, field: string): Map<number, number> {
  return new Map(
    Object.entries(checkRecord(value, field)).map(([key, bias]) => {
      if (!/^\d{1,9}$/.test(key)) refuse(field, `its keys must be token ids, but one is ${describe(key)}`);
      return [Number(key), checkNumber(bias, `${field}[${key}]`, -100, 100)];
    }),
  );
}

function checkSeed(value: unknown, field: string): number {
  return checkInteger(value, field, Number.MIN_SAFE_INTEGER) >>> 0;
}

function checkStop(value: unknown, field: string): string[] {
  const stops = Array.isArray(value) ? checkList(value, field) : [value];
  if (stops.length > MAX_STOPS) refuse(field, `at most ${MAX_STOPS} strings are allowed, not ${stops.length}`);
  return stops.map((stop) => {
    if (typeof stop !== 'string') refuse(field, `must be a string or an array of them, but holds ${describe(stop)}`);
    if (stop === '') refuse(field, 'holds an empty string');
    if (stop.length > MAX_STOP_CHARS)
      refuse(field, `holds a string of ${stop.length} characters; at most ${MAX_STOP_CHARS} are allowed`);
    return stop;
  });
}

function checkIncludeUsage(value: unknown, field: string): boolean {
  return checkBoolean(fieldsOf(value, field, ['include_usage'])['include_usage'], `${field}.include_usage`);
}

function checkRanks(ranks: unknown, field: string): SentOptions['ranks'] {
  if (ranks === 'chunkwise' || ranks === 'uniform' || ranks === 'shuffled') return ranks;
  if (typeof ranks === 'number') return checkInteger(ranks, field, 0, MAX_RANK);
  return refuse(field, `must be 'chunkwise', 'uniform', 'shuffled' or a number, but is ${describe(ranks)}`);
}

/** Checks each number alone; the chunker checks how they fit together. */
function checkChunks(chunks: unknown, field: string): SentOptions['chunks'] {
  const fields = Object.entries(checkRecord(chunks, field)).map(([name, value]) => {
    if (!Object.hasOwn(DEFAULT_CHUNKER, name)) refuse(`${field}.${name}`, 'is not a field of this request');
    return [name, checkNumber(value, `${field}.${name}`, 0, Number.MAX_SAFE_INTEGER)];
  });
  return Object.fromEntries(fields) as SentOptions['chunks'];
}

/** Checks a plan as strictly as a saved one. */
function checkPlan(plan: unknown, field: string): ChunkPlan {
  checkJson(checkRecord(plan, field), field);
  try {
    return loadPlan(savePlan(plan as ChunkPlan), field);
  } catch (error) {
    const { field: part, reason } =
      error instanceof ChunkwiseError ? error.detail : { field: undefined, reason: String(error) };
    return refuse(part === undefined ? field : `${field}.${part}`, reason);
  }
}

/** Returns the signal in the options of a call. Throws `bad_request`, naming the field. */
export function parseCall(options: unknown): AbortSignal | undefined {
  const given = optional(options, 'options', checkRecord);
  return checked('options', () => checkSignal(given?.['signal']));
}
