import { isRecord } from '../config/is-record.ts';
import { parseRanks } from './ranks.ts';
import { parseKv } from './requests.ts';
import type { CompletionOptions, RequestDefaults } from './types.ts';

/** Checks what requests are to have unless they say otherwise. Throws `bad_request`, naming the option. */
export function parseDefaults({ ranks, kvErrorBudget, kvMemoryBudget }: RequestDefaults): RequestDefaults {
  parseRanks({ ranks });
  parseKv({ kv: 'policy', kvErrorBudget, kvMemoryBudget });
  return { ranks, kvErrorBudget, kvMemoryBudget };
}

/** A request with the engine's defaults. A budget makes `policy` the form of its cache, unless it names another one. */
export function withDefaults<T extends CompletionOptions>(request: T, defaults: RequestDefaults): T {
  if (!isRecord(request)) return request; // the check of requests refuses it
  const { ranks, ...budgets } = defaults;
  const hasBudget = Object.values(budgets).some((budget) => budget !== undefined);
  const kv = request.kv ?? (hasBudget ? 'policy' : undefined);
  const set = { ...(ranks !== undefined && { ranks }), ...(kv === 'policy' && { kv, ...budgets }) };
  const own = Object.entries(request).filter(([, value]) => value !== undefined && value !== null);
  return { ...request, ...set, ...Object.fromEntries(own) };
}
