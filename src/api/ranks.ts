import { DEFAULT_CHUNKER } from '../chunking/chunker.ts';
import type { ChunkPlan } from '../chunking/chunk-plan.ts';
import { loadPlan, savePlan } from '../chunking/plan-file.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { RankOptions } from '../engine/types.ts';
import { isRecord } from '../config/is-record.ts';
import { checkBoolean, checkInteger, checkJson, checkNumber, describe, refuse } from './checks.ts';

/** A request's fields about ranks, and whether each is one of them. */
export const RANK_FIELDS = {
  ranks: true,
  equalMeanRank: true,
  rankErrorBudget: true,
  chunks: true,
  rampWidth: true,
  plan: true,
} as const;

/** Far above any adapter's rank: linears give what they have of it. */
const MAX_RANK = 65_535;
const MAX_RAMP = 1024;

/** Checks what a request says of ranks. Throws `bad_request`, naming the field. */
export function parseRanks(fields: Record<string, unknown>): RankOptions {
  const { ranks, equalMeanRank, rankErrorBudget, chunks, rampWidth, plan } = fields;
  const isEqualMean = checkBoolean(equalMeanRank, 'equalMeanRank');
  if (isEqualMean && ranks !== 'uniform') refuse('equalMeanRank', "is only allowed with ranks: 'uniform'");
  return {
    ...(ranks !== undefined && { ranks: parseMode(ranks) }),
    ...(isEqualMean && { equalMeanRank: true }),
    ...(rankErrorBudget !== undefined && { rankErrorBudget: checkNumber(rankErrorBudget, 'rankErrorBudget', 0, 1) }),
    ...(chunks !== undefined && { chunks: parseChunks(chunks) }),
    ...(rampWidth !== undefined && { rampWidth: checkInteger(rampWidth, 'rampWidth', 0, MAX_RAMP) }),
    ...(plan !== undefined && { plan: parsePlan(plan) }),
  };
}

function parseMode(ranks: unknown): RankOptions['ranks'] {
  if (ranks === 'chunkwise' || ranks === 'uniform' || ranks === 'shuffled') return ranks;
  if (typeof ranks === 'number') return checkInteger(ranks, 'ranks', 0, MAX_RANK);
  return refuse('ranks', `must be 'chunkwise', 'uniform', 'shuffled' or a number, but is ${describe(ranks)}`);
}

/** Ranges that depend on each other are the chunker's own business. */
function parseChunks(chunks: unknown): RankOptions['chunks'] {
  if (!isRecord(chunks)) refuse('chunks', `must be an object, but is ${describe(chunks)}`);
  const fields = Object.entries(chunks).map(([name, value]) => {
    if (!Object.hasOwn(DEFAULT_CHUNKER, name)) refuse(`chunks.${name}`, 'is not a field of this request');
    return [name, checkNumber(value, `chunks.${name}`, 0, Number.MAX_SAFE_INTEGER)];
  });
  return Object.fromEntries(fields) as RankOptions['chunks'];
}

/** A plan in the request is held to what a saved one is. */
function parsePlan(plan: unknown): ChunkPlan {
  if (!isRecord(plan)) refuse('plan', `must be an object, but is ${describe(plan)}`);
  checkJson(plan, 'plan');
  try {
    return loadPlan(savePlan(plan as unknown as ChunkPlan), 'plan');
  } catch (error) {
    const { field, reason } = error instanceof ChunkwiseError ? error.detail : { reason: String(error) };
    return refuse(field === undefined ? 'plan' : `plan.${field}`, reason);
  }
}
