import { readFile, writeFile } from 'node:fs/promises';
import type { ChunkPlan } from '../src/chunking/chunk-plan.ts';
import { type EstimatorName, ESTIMATORS } from '../src/chunking/complexity.ts';
import { loadPlan, savePlan } from '../src/chunking/plan-file.ts';
import type { Ranks } from '../src/chunking/planner.ts';
import type { PlanEvent, RankOptions } from '../src/engine/types.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import { choiceFlag, numberFlag, readText, wholeFlag } from './flags.ts';
import { join } from 'node:path';
import type { LadderBuilder } from '../src/adapters/rank-ladder.ts';
import type { LadderStore } from '../src/adapters/ladder-cache.ts';
import { laddersHere } from '../src/node/open-adapter.ts';
import { writeWhole } from '../src/node/cache-folder.ts';

interface RankFlags {
  ranks?: string;
  estimator?: string;
  'equal-mean-rank'?: boolean;
  'rank-error-budget'?: string;
  plan?: string;
  seed?: string;
}

/** Parses rank flags. Errors: `bad_request`; `bad_file` for the plan. */
export async function rankOptions(flags: RankFlags): Promise<RankOptions> {
  const { ranks } = flags;
  const modes: readonly Ranks[] = ['chunkwise', 'uniform', 'shuffled'];
  const mode = modes.find((known) => known === ranks) ?? wholeFlag('ranks', ranks);
  const estimator = choiceFlag('estimator', flags.estimator, Object.keys(ESTIMATORS) as EstimatorName[]);
  const rankErrorBudget = numberFlag('rank-error-budget', flags['rank-error-budget'], 0, 1);
  const planSeed = wholeFlag('seed', flags.seed);
  return {
    ...(mode !== undefined && { ranks: mode }),
    ...(estimator !== undefined && { estimator }),
    ...(flags['equal-mean-rank'] && { equalMeanRank: true }),
    ...(rankErrorBudget !== undefined && { rankErrorBudget }),
    ...(planSeed !== undefined && { planSeed }),
    ...(flags.plan !== undefined && { plan: loadPlan(await readText(flags.plan), flags.plan) }),
  };
}

/** Collects the plans of consecutive texts as their parts arrive. */
export class PlanRecorder {
  readonly plan: ChunkPlan = { tokens: [], complexity: [], chunks: [], table: [], ladder: null, levels: null };
  #start = 0;

  readonly add = ({ start, tokens, complexity, rows, chunks, ladder, levels }: PlanEvent): void => {
    const { plan } = this;
    if (start === 0) this.#start = plan.tokens.length;
    plan.tokens.push(...tokens);
    plan.complexity.push(...complexity);
    plan.table.push(...rows);
    for (const { start, end, complexity, level, scale } of chunks) {
      plan.chunks.push({ start: this.#start + start, end: this.#start + end, complexity, level, scale });
    }
    Object.assign(plan, { ladder, levels });
  };

  /** Errors: `bad_request`. */
  save(file: string | undefined): Promise<void> {
    return writePlan(file, this.plan);
  }
}

/** Writes a plan to the flag's file, if given. Errors: `bad_request`. */
export async function writePlan(file: string | undefined, plan: ChunkPlan): Promise<void> {
  if (file === undefined) return;
  await writeFile(file, savePlan(plan)).catch((cause: unknown) => {
    const reason = `cannot be written: ${String(cause)}`;
    throw new ChunkwiseError('bad_request', { file, field: '--save-plan', reason }, { cause });
  });
}

/** Stores rank ladders as files in a folder. */
export const ladderStore = (folder: string): LadderStore => ({
  async get(key) {
    const { buffer, byteOffset, byteLength } = await readFile(join(folder, `${key}.ladder`));
    return buffer.slice(byteOffset, byteOffset + byteLength);
  },

  async put(key, bytes) {
    await writeWhole(join(folder, `${key}.ladder`), bytes);
  },
});

/** Loads rank ladders from `ladders/` in the model's folder, or builds them. */
export const buildLadders = (folder: string): LadderBuilder => laddersHere(ladderStore(join(folder, 'ladders')));
