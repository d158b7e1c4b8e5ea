/** Which flags each command takes, and what they mean. The help is made of these. */
import { KV_MODES, KV_PRIORITIES, type KvMode, type KvOptions, MOST_KV_ERROR_BUDGET } from '../src/cache/kv-options.ts';
import { choiceFlag, type Flags, numberFlag, refuseFlags, wholeFlag } from './flags.ts';

const json = {
  type: 'boolean',
  about: 'one JSON object on stdout; where it fails { "error": { code, message, file, field, reason } }',
} as const;
const seed = { type: 'string', value: 'N', about: 'of sampling and of shuffled ranks; default 0' } as const;
const text = { type: 'string', value: 'FILE', about: 'a text file' } as const;
const context = { type: 'string', value: 'N', about: 'tokens of a window, or of a text with its answer' } as const;
const contextLength = { type: 'string', value: 'N', about: 'tokens that the cache holds' } as const;
const maxTokens = { type: 'string', value: 'N', about: 'most tokens that are computed' } as const;
const streams = { type: 'string', value: 'N', about: 'sequences that share a decode step, 1 to 4' } as const;

/** Which ranks of the adapters each token gets; see `ranks.ts`. */
export const RANK_FLAGS = {
  ranks: { type: 'string', value: 'chunkwise|uniform|shuffled|N', about: 'ranks of each token; default chunkwise' },
  estimator: {
    type: 'string',
    value: 'NAME',
    about: 'what tells how hard a token is: openness (default), surprisal, …',
  },
  'equal-mean-rank': { type: 'boolean', about: 'with --ranks uniform: as many as chunkwise would take' },
  'rank-error-budget': {
    type: 'string',
    value: 'F',
    about: 'what the lowest level may lose of an adapter, relative L2',
  },
  'save-plan': { type: 'string', value: 'FILE', about: 'records which token got which ranks' },
  plan: { type: 'string', value: 'FILE', about: 'follows such a record, to the same logits' },
} as const satisfies Flags;

/** How keys and values are kept. */
export const KV_FLAGS = {
  kv: { type: 'string', value: KV_MODES.join('|'), about: 'form of the cache; default dense' },
  'kv-error-budget': { type: 'string', value: 'F', about: 'of policy: what it may cost, in percent of perplexity' },
  'kv-memory-budget': { type: 'string', value: 'BYTES', about: 'of policy: what the pages of a text may take' },
  'kv-priority': {
    type: 'string',
    value: KV_PRIORITIES.join('|'),
    about: 'of policy: which budget holds where both cannot',
  },
  'kv-shadow': { type: 'boolean', about: 'reports the true error beside the estimate' },
} as const satisfies Flags;

type KvFlags = { 'kv-shadow'?: boolean } & { [name in Exclude<keyof typeof KV_FLAGS, 'kv-shadow'>]?: string };

/** `usual`: the form of the cache without `--kv`. Errors: `bad_request`, also for budgets that the form has no use for. */
export function kvOptions({ 'kv-shadow': kvShadow, ...flags }: KvFlags, usual: KvMode = 'dense'): KvOptions {
  const kv = choiceFlag('kv', flags.kv, KV_MODES);
  if ((kv ?? usual) !== 'policy')
    refuseFlags(flags, ['kv-error-budget', 'kv-memory-budget', 'kv-priority'], 'is only allowed with --kv policy');
  const kvErrorBudget = numberFlag('kv-error-budget', flags['kv-error-budget'], 0, MOST_KV_ERROR_BUDGET);
  const kvMemoryBudget = wholeFlag('kv-memory-budget', flags['kv-memory-budget'], 1);
  const kvPriority = choiceFlag('kv-priority', flags['kv-priority'], KV_PRIORITIES);
  return {
    ...(kv && { kv }),
    ...(kvErrorBudget !== undefined && { kvErrorBudget }),
    ...(kvMemoryBudget !== undefined && { kvMemoryBudget }),
    ...(kvPriority && { kvPriority }),
    ...(kvShadow && { kvShadow }),
  };
}

const model = {
  type: 'string',
  value: 'PATH',
  about: 'a GGUF file, a .safetensors file with config.json and tokenizer.json beside it, or a folder',
} as const;

/** Flags of every command that runs a model. How long the context is, some say in a way of their own. */
export const MODEL_FLAGS = {
  model,
  adapter: {
    type: 'string',
    multiple: true,
    value: 'PATH[:scale]',
    about: "a LoRA adapter, PEFT's folder or a GGUF file; several are summed",
  },
  lora: { type: 'string', value: 'fused|unfused', about: 'how adapters are computed; unfused is the plain form' },
  ...RANK_FLAGS,
  ...KV_FLAGS,
  weights: {
    type: 'string',
    value: 'F16|Q8_0|Q4_1|stored',
    about: 'what safetensors become; default Q8_0, or Q4_1 where memory is short',
  },
  'gpu-adapter': { type: 'string', value: 'NAME', about: "part of the GPU adapter's name" },
  'memory-limit': { type: 'string', value: 'BYTES', about: 'of GPU memory' },
  seed,
  json,
} as const satisfies Flags;

export const INSPECT_FLAGS = { json } as const satisfies Flags;

export const GENERATE_FLAGS = {
  prompt: { type: 'string', value: 'TEXT', about: 'what is answered' },
  chat: { type: 'boolean', about: "as a user's message, by the model's chat template" },
  'max-tokens': maxTokens,
  temperature: { type: 'string', value: 'T', about: 'default 0: the likeliest token' },
  'top-k': { type: 'string', value: 'N', about: 'draws among the N likeliest tokens' },
  'top-p': { type: 'string', value: 'P', about: 'among the likeliest ones of this probability together' },
  'min-p': { type: 'string', value: 'P', about: "among those of this share of the likeliest one's probability" },
  'json-schema': { type: 'string', value: 'FILE', about: 'the answer is JSON valid by this schema' },
  grammar: { type: 'string', value: 'FILE', about: 'the answer is of this EBNF grammar' },
  speculate: { type: 'boolean', about: 'verifies several tokens a step, where that is faster' },
  'draft-model': {
    type: 'string',
    value: 'PATH',
    about: 'a smaller model of the same tokens, which drafts what --speculate verifies',
  },
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const LOGITS_FLAGS = {
  text: { type: 'string', value: 'TEXT', about: 'a text' },
  tokens: { type: 'string', value: 'LIST', about: 'or its tokens, as in 1,2,3' },
  out: { type: 'string', value: 'FILE', about: 'float32, little-endian, [T, vocab]' },
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const PERPLEXITY_FLAGS = {
  text,
  context,
  start: { type: 'string', value: 'N', about: 'first token that is taken' },
  'max-tokens': maxTokens,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const PLAN_FLAGS = {
  model,
  adapter: { type: 'string', value: 'PATH', about: 'whose ranks the levels are' },
  text,
  stream: { type: 'boolean', about: 'prints chunks as soon as they are known' },
  ...RANK_FLAGS,
  seed,
  json,
} as const satisfies Flags;

export const BENCH_FLAGS = {
  lengths: { type: 'string', short: 'T', value: 'LIST', about: 'contexts in tokens; default 256' },
  steps: { type: 'string', value: 'N', about: 'of decode: steps that are timed; default 32' },
  streams: { ...streams, about: `of decode: ${streams.about}` },
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const WGSL_FLAGS = { 'context-length': contextLength, ...MODEL_FLAGS } as const satisfies Flags;

export const ESTIMATOR_FLAGS = { text, context, 'max-tokens': maxTokens, ...MODEL_FLAGS } as const satisfies Flags;

export const EVAL_KV_FLAGS = {
  text,
  budget: { type: 'string', value: 'LIST', about: 'budgets of error of the policy; default 0.25,1,2' },
  context,
  'max-tokens': maxTokens,
  shadow: { type: 'boolean', about: 'also the true errors, at the cost of the bytes' },
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const RETRIEVAL_FLAGS = {
  text,
  context,
  depths: { type: 'string', value: 'N', about: 'facts, evenly through the text; default 10' },
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const SQUAD_FLAGS = {
  data: { type: 'string', value: 'FILE', about: "questions in SQuAD 1.1's form" },
  limit: { type: 'string', value: 'N', about: 'first questions only' },
  streams,
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;
