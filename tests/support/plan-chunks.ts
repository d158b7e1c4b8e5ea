import type { ChunkPlan } from '../../src/chunking/chunk-plan.ts';
import { Planner, type PlanOptions } from '../../src/chunking/planner.ts';

/** Plans a whole text. Errors: those of `Planner`. */
export function planChunks(tokens: Iterable<number>, options: PlanOptions): ChunkPlan {
  const planner = new Planner(options);
  for (const token of tokens) planner.push(token);
  return planner.finish();
}
