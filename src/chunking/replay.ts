import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { ChunkPlan } from './chunk-plan.ts';
import type { PlannedPart } from './prompt-plan.ts';

/** Hands out the part of a recorded plan before `end`, from `start` on. */
export function replayPart({ tokens, complexity, chunks, table }: ChunkPlan, start: number, end: number): PlannedPart {
  return {
    start,
    end,
    tokens: tokens.slice(start, end),
    complexity: complexity.slice(start, end),
    rows: table.slice(start, end),
    chunks: chunks.filter((chunk) => chunk.start >= start && chunk.start < end),
  };
}

/** What a plan says from token `start` on, where a chunk begins; positions count from there. */
export function followedFrom(plan: ChunkPlan, start: number): ChunkPlan {
  if (start === 0) return plan;
  const { tokens, complexity, chunks, table, ladder, levels } = plan;
  return {
    tokens: tokens.slice(start),
    complexity: complexity.slice(start),
    chunks: chunks
      .filter((chunk) => chunk.start >= start)
      .map((chunk) => ({ ...chunk, start: chunk.start - start, end: chunk.end - start })),
    table: table.slice(start),
    ...{ ladder, levels },
  };
}

/** Errors: `bad_request` where the plan is of another text than the one that begins with `tokens`. */
export function checkReplay({ tokens: planned }: ChunkPlan, tokens: readonly number[]): void {
  const bad = (reason: string): ChunkwiseError => new ChunkwiseError('bad_request', { field: 'plan', reason });
  if (planned.length < tokens.length) throw bad(`it plans ${planned.length} tokens of ${tokens.length}`);
  const at = tokens.findIndex((token, i) => token !== planned[i]);
  if (at >= 0) throw bad(`it is of another text: token ${at} is ${planned[at]} there, and ${tokens[at]} here`);
}
