import { budgetPolicy } from './budget-policy.ts';
import { withMemoryBudget } from './memory-budget.ts';
import { type CachePolicy, DENSE, fixedForm } from './policy.ts';

/** What a request may ask for. */
export const KV_MODES = ['dense', 'policy', 'q8', 'q4', 'q3', 'k3v2'] as const;
export type KvMode = (typeof KV_MODES)[number];

export interface KvOptions {
  /** In which form keys and values are kept; default `dense`, f16. */
  kv?: KvMode;
  /** Of `policy`: what it may cost, in percent of perplexity. */
  kvErrorBudget?: number;
  /** Of `policy`: bytes that the pages of the text may take on the GPU. */
  kvMemoryBudget?: number;
  /** Which budget holds where both cannot; default: `error`, and `memory` where no budget of error is set. */
  kvPriority?: KvPriority;
  /** Keeps pages in f16 beside the forms they take, and reports the true error: costs the memory of `dense` and more. */
  kvShadow?: boolean;
}

export const KV_PRIORITIES = ['error', 'memory'] as const;
export type KvPriority = (typeof KV_PRIORITIES)[number];

export const DEFAULT_KV_ERROR_BUDGET = 1;
export const MOST_KV_ERROR_BUDGET = 16;

/**
 * The loss, as the policy estimates it, that costs one percent of perplexity; what it costs grows with it. Found on
 * SmolLM2-135M (`npm run bench -- kv-perplexity`; docs/decisions/kv-cache.md).
 */
const ONE_PERCENT = 0.007;

export function policyOf({ kv = 'dense', kvErrorBudget, kvMemoryBudget, kvPriority }: KvOptions = {}): CachePolicy {
  if (kv === 'dense') return DENSE;
  if (kv !== 'policy') return fixedForm(kv);
  const policy = budgetPolicy(ONE_PERCENT * (kvErrorBudget ?? DEFAULT_KV_ERROR_BUDGET));
  if (kvMemoryBudget === undefined) return policy;
  const priority = kvPriority ?? (kvErrorBudget === undefined ? 'memory' : 'error');
  return withMemoryBudget(policy, kvMemoryBudget, priority === 'memory');
}
