import type { ChunkPlan } from '../chunking/chunk-plan.ts';
import { type PlannedPart, type PlanRequest, PromptPlan } from '../chunking/prompt-plan.ts';
import { checkReplay, replayPart } from '../chunking/replay.ts';

/** Plans prompts: here, or in a thread of its own. */
export interface PlanService {
  /** Errors: those of `Planner`; `scheduler_lost`. */
  begin(request: PlanRequest): Promise<PlanSession>;
}

/** The plan of one prompt, made piece by piece. */
export interface PlanSession extends Pick<ChunkPlan, 'levels' | 'ladder'> {
  /** The next tokens up to `end`; each is asked for once. Errors: `scheduler_lost`. */
  part(end: number): Promise<PlannedPart>;
  close(): void;
}

/** Plans in this thread, between two steps of the GPU. */
export const inlinePlans: PlanService = {
  async begin(request) {
    const plan = new PromptPlan(request);
    return { ...plan.levels, part: async (end) => plan.part(end), close: () => undefined };
  },
};

/** A recorded plan of `tokens`, from token `from` on. Errors: `bad_request` when it is of another text. */
export function replay(plan: ChunkPlan, tokens: readonly number[], from: number): PlanSession {
  checkReplay(plan, tokens);
  const { levels, ladder } = plan;
  let start = from;
  return {
    ...{ levels, ladder, close: () => undefined },
    part: async (end) => {
      const part = replayPart(plan, start, end);
      start = end;
      return part;
    },
  };
}
