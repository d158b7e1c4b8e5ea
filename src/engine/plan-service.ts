import type { ChunkPlan } from '../chunking/chunk-plan.ts';
import { type PlannedPart, type PlanRequest, PromptPlan } from '../chunking/prompt-plan.ts';
import { checkReplay, replayPart } from '../chunking/replay.ts';
import { joinedParts, movedPart, untakenPart } from '../chunking/untaken.ts';

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

/** `plan` is of what follows the tokens `before`, which take nothing of the adapters: the plan of all, from token `from` on. */
export function behind(plan: PlanSession, before: readonly number[], from: number): PlanSession {
  const { length } = before;
  let start = from;
  return {
    ...plan,
    part: async (end) => {
      const [first, isFirst] = [start, start === from];
      start = end;
      if (end <= length) return untakenPart(before, first, end, isFirst);
      const part = movedPart(await plan.part(end - length), length);
      return first < length ? joinedParts(untakenPart(before, first, length, isFirst), part) : part;
    },
  };
}
