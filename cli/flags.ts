import { parseArgs, type ParseArgsConfig } from 'node:util';
import { KV_MODES, KV_PRIORITIES, type KvOptions } from '../src/cache/kv-options.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

/** Which ranks of the adapters each token gets; see `ranks.ts`. */
export const RANK_FLAGS = {
  ranks: { type: 'string' },
  estimator: { type: 'string' },
  'equal-mean-rank': { type: 'boolean' },
  'rank-error-budget': { type: 'string' },
  'save-plan': { type: 'string' },
  plan: { type: 'string' },
} as const satisfies Options;

/** How keys and values are kept. */
export const KV_FLAGS = {
  kv: { type: 'string' },
  'kv-error-budget': { type: 'string' },
  'kv-memory-budget': { type: 'string' },
  'kv-priority': { type: 'string' },
  'kv-shadow': { type: 'boolean' },
} as const satisfies Options;

type KvFlags = { 'kv-shadow'?: boolean } & { [name in Exclude<keyof typeof KV_FLAGS, 'kv-shadow'>]?: string };

/** Errors: `bad_request`. */
export function kvOptions({ 'kv-shadow': kvShadow, ...flags }: KvFlags): KvOptions {
  const kv = choiceFlag('kv', flags.kv, KV_MODES);
  const kvErrorBudget = numberFlag('kv-error-budget', flags['kv-error-budget'], 0, 1);
  const kvMemoryBudget = numberFlag('kv-memory-budget', flags['kv-memory-budget'], 1);
  const kvPriority = choiceFlag('kv-priority', flags['kv-priority'], KV_PRIORITIES);
  return {
    ...(kv && { kv }),
    ...(kvErrorBudget !== undefined && { kvErrorBudget }),
    ...(kvMemoryBudget !== undefined && { kvMemoryBudget }),
    ...(kvPriority && { kvPriority }),
    ...(kvShadow && { kvShadow }),
  };
}

/** Flags of every command that runs a model. */
export const MODEL_FLAGS = {
  model: { type: 'string' },
  adapter: { type: 'string', multiple: true },
  lora: { type: 'string' },
  ...RANK_FLAGS,
  'gpu-adapter': { type: 'string' },
  'context-length': { type: 'string' },
  'memory-limit': { type: 'string' },
  seed: { type: 'string' },
  json: { type: 'boolean' },
} as const satisfies Options;

/** Parses a command's arguments. Errors: `bad_request` naming an unknown flag or a missing value. */
export function parseFlags<T extends Options>(args: string[], options: T, allowPositionals = false) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ChunkwiseError('bad_request', { field: 'arguments', reason }, { cause });
  }
}

/** Errors: `bad_request` when the flag is missing. */
export function required(name: string, value: string | undefined): string {
  if (value !== undefined) return value;
  throw new ChunkwiseError('bad_request', { field: `--${name}`, reason: 'is required' });
}

/** A flag's number, or undefined without it. Errors: `bad_request` when it is none or out of range. */
export function numberFlag(name: string, value: string | undefined, min = 0, max = Infinity): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() !== '' && number >= min && number <= max) return number;
  const reason = `must be a number from ${min} to ${max}, not ${JSON.stringify(value)}`;
  throw new ChunkwiseError('bad_request', { field: `--${name}`, reason });
}

/** One of `choices`, or undefined without the flag. Errors: `bad_request`. */
export function choiceFlag<T extends string>(name: string, value: string | undefined, choices: readonly T[]): T | undefined {
  if (value === undefined) return undefined;
  const choice = choices.find((known) => known === value);
  if (choice !== undefined) return choice;
  const reason = `must be one of ${choices.join(', ')}, not ${JSON.stringify(value)}`;
  throw new ChunkwiseError('bad_request', { field: `--${name}`, reason });
}

/** A flag's comma-separated whole numbers, or undefined without it. */
export function listFlag(name: string, value: string | undefined): number[] | undefined {
  return value?.split(',').map((item) => Math.floor(numberFlag(name, item) ?? 0));
}
