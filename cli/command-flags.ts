/** Flags of each command; the help is generated from them. */
import { KV_MODES, KV_PRIORITIES, type KvMode, type KvOptions, MOST_KV_ERROR_BUDGET } from '../src/cache/policy.ts';
import { choiceFlag, type Flags, numberFlag, refuseFlags, wholeFlag } from './flags.ts';

const json = {
  type: 'boolean',
  about: 'print one JSON object on stdout, on failure { "error": { code, message, file, field, reason } }',
} as const;
const seed = { type: 'string', value: 'N', about: 'seed of sampling and of shuffled ranks; default 0' } as const;
const text = { type: 'string', value: 'FILE', about: 'a text file' } as const;
const context = { type: 'string', value: 'N', about: 'tokens per window, or per text with its answer' } as const;
const contextLength = { type: 'string', value: 'N', about: 'capacity of the KV cache in tokens' } as const;
const maxTokens = { type: 'string', value: 'N', about: 'most tokens to compute' } as const;
const streams = { type: 'string', value: 'N', about: 'sequences per decode step, 1 to 4' } as const;

/** Flags for the adapter ranks of each token; see `ranks.ts`. */
export const RANK_FLAGS = {
  ranks: {
    type: 'string',
    value: 'chunkwise|uniform|shuffled|N',
    about: 'adapter ranks of each token; default chunkwise',
  },
  estimator: {
    type: 'string',
    value: 'NAME',
    about: 'measure of how hard a token is: ngramEntropy (default), surprisal, …',
  },
  'equal-mean-rank': { type: 'boolean', about: 'with --ranks uniform: the mean rank of chunkwise' },
  'rank-error-budget': {
    type: 'string',
    value: 'F',
    about: 'largest error of the lowest rank level, relative L2',
  },
  'save-plan': { type: 'string', value: 'FILE', about: 'save the ranks of each token' },
  plan: { type: 'string', value: 'FILE', about: 'reuse saved ranks; gives the same logits' },
} as const satisfies Flags;

/** Flags for the KV cache. */
export const KV_FLAGS = {
  kv: { type: 'string', value: KV_MODES.join('|'), about: 'form of the KV cache; default dense' },
  'kv-error-budget': { type: 'string', value: 'F', about: 'with --kv policy: allowed rise of perplexity in percent' },
  'kv-memory-budget': { type: 'string', value: 'BYTES', about: 'with --kv policy or sparse: most bytes for a text' },
  'kv-priority': {
    type: 'string',
    value: KV_PRIORITIES.join('|'),
    about: 'with --kv policy: which budget wins if both cannot hold',
  },
  'kv-shadow': { type: 'boolean', about: 'also report the true error, not only the estimate' },
} as const satisfies Flags;

type KvFlags = { 'kv-shadow'?: boolean } & { [name in Exclude<keyof typeof KV_FLAGS, 'kv-shadow'>]?: string };

/**
 * Parses KV cache flags. `usual`: the form without `--kv`. Errors: `bad_request`, also for a budget with another form
 * than policy.
 */
export function kvOptions({ 'kv-shadow': kvShadow, ...flags }: KvFlags, usual: KvMode = 'dense'): KvOptions {
  const kv = choiceFlag('kv', flags.kv, KV_MODES);
  const mode = kv ?? usual;
  if (mode !== 'policy') refuseFlags(flags, ['kv-error-budget', 'kv-priority'], 'is only allowed with --kv policy');
  if (mode !== 'policy' && mode !== 'sparse')
    refuseFlags(flags, ['kv-memory-budget'], 'is only allowed with --kv policy or sparse');
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
  about: 'a GGUF file, a .safetensors file with config.json and tokenizer.json in its folder, or a folder',
} as const;

/** Flags of every command that runs a model. Commands add their own flag for the context. */
export const MODEL_FLAGS = {
  model,
  adapter: {
    type: 'string',
    multiple: true,
    value: 'PATH[:scale]',
    about: 'a LoRA adapter: a PEFT folder or a GGUF file; several are summed',
  },
  lora: { type: 'string', value: 'fused|unfused', about: 'LoRA kernels; unfused is the plain form' },
  precision: {
    type: 'string',
    value: 'exact|fast',
    about: 'fast: the autotuner may choose kernels for prompts that round inputs to 8 bits',
  },
  ...RANK_FLAGS,
  ...KV_FLAGS,
  weights: {
    type: 'string',
    value: 'F16|Q8_0|Q4_1|stored',
    about: 'type of safetensors weights on the GPU; default Q8_0, or Q4_1 if memory is short',
  },
  'gpu-adapter': { type: 'string', value: 'NAME', about: "part of the GPU's name" },
  'memory-limit': { type: 'string', value: 'BYTES', about: 'limit of GPU memory' },
  seed,
  json,
} as const satisfies Flags;

export const INSPECT_FLAGS = { json } as const satisfies Flags;

export const GENERATE_FLAGS = {
  prompt: { type: 'string', value: 'TEXT', about: 'the prompt' },
  chat: { type: 'boolean', about: "send the prompt as a user message in the model's chat template" },
  'max-tokens': maxTokens,
  temperature: { type: 'string', value: 'T', about: 'sampling temperature; default 0: greedy' },
  'top-k': { type: 'string', value: 'N', about: 'sample among the N most probable tokens' },
  'top-p': { type: 'string', value: 'P', about: 'sample among the most probable tokens with this total probability' },
  'min-p': { type: 'string', value: 'P', about: 'sample among tokens with at least P times the highest probability' },
  'json-schema': { type: 'string', value: 'FILE', about: 'constrain the answer to JSON valid by this schema' },
  grammar: { type: 'string', value: 'FILE', about: 'constrain the answer to this EBNF grammar' },
  speculate: { type: 'boolean', about: 'verify several drafted tokens per step if that is faster' },
  'draft-model': {
    type: 'string',
    value: 'PATH',
    about: 'a smaller model with the same tokenizer that drafts tokens for --speculate',
  },
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const LOGITS_FLAGS = {
  text: { type: 'string', value: 'TEXT', about: 'a text to compute' },
  tokens: { type: 'string', value: 'LIST', about: 'its tokens instead, such as 1,2,3' },
  out: { type: 'string', value: 'FILE', about: 'output file: float32, little-endian, [T, vocab]' },
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const PERPLEXITY_FLAGS = {
  text,
  context,
  start: { type: 'string', value: 'N', about: 'index of the first token to use' },
  'max-tokens': maxTokens,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const PLAN_FLAGS = {
  model,
  adapter: { type: 'string', value: 'PATH', about: 'adapter whose ranks are shown' },
  text,
  stream: { type: 'boolean', about: 'print chunks as soon as they are known' },
  ...RANK_FLAGS,
  seed,
  json,
} as const satisfies Flags;

export const BENCH_FLAGS = {
  lengths: { type: 'string', short: 'T', value: 'LIST', about: 'contexts in tokens; default 256' },
  steps: { type: 'string', value: 'N', about: 'with decode: timed steps; default 32' },
  streams: { ...streams, about: `with decode: ${streams.about}` },
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const WGSL_FLAGS = { 'context-length': contextLength, ...MODEL_FLAGS } as const satisfies Flags;

export const ESTIMATOR_FLAGS = { text, context, 'max-tokens': maxTokens, ...MODEL_FLAGS } as const satisfies Flags;

export const EVAL_KV_FLAGS = {
  text,
  budget: { type: 'string', value: 'LIST', about: 'error budgets of the policy; default 0.25,1,2' },
  context,
  'max-tokens': maxTokens,
  shadow: { type: 'boolean', about: 'also measure the true errors; byte counts are then higher' },
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const RETRIEVAL_FLAGS = {
  text,
  context,
  depths: { type: 'string', value: 'N', about: 'number of facts, spread evenly through the text; default 10' },
  ...MODEL_FLAGS,
} as const satisfies Flags;

export const SQUAD_FLAGS = {
  data: { type: 'string', value: 'FILE', about: "questions in SQuAD 1.1's format" },
  limit: { type: 'string', value: 'N', about: 'use the first N questions only' },
  streams,
  'context-length': contextLength,
  ...MODEL_FLAGS,
} as const satisfies Flags;
