import type { ChunkPlan } from '../chunking/chunk-plan.ts';
import {
  type PlannedPart,
  type PlanRequest,
  PromptPlan,
  checkReplay,
  recordedPart,
  joinedParts,
  shiftedPart,
  unadaptedPart,
} from '../chunking/prompt-plan.ts';

/** Plans prompts, in this thread or in another. */
export interface PlanService {
  /** Errors: those of `Planner`; `scheduler_lost`. */
  begin(request: PlanRequest): Promise<PlanSession>;
}

/** The plan of one prompt, made in parts. */
export interface PlanSession extends Pick<ChunkPlan, 'levels' | 'ladder'> {
  /** The next tokens up to `end`; each token is asked for once. Errors: `scheduler_lost`. */
  part(end: number): Promise<PlannedPart>;
  close(): void;
}

/** Plans in this thread, between two steps. */
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
      const part = recordedPart(plan, start, end);
      start = end;
      return part;
    },
  };
}

/** Puts the tokens `before`, which take no adapter, in front of `plan`. Starts at token `from` of the whole text. */
export function withUntaken(plan: PlanSession, before: readonly number[], from: number): PlanSession {
  const { length } = before;
  let start = from;
  return {
    ...plan,
    part: async (end) => {
      const [first, isFirst] = [start, start === from];
      start = end;
      if (end <= length) return unadaptedPart(before, first, end, isFirst);
      const part = shiftedPart(await plan.part(end - length), length);
      return first < length ? joinedParts(unadaptedPart(before, first, length, isFirst), part) : part;
    },
  };
}
