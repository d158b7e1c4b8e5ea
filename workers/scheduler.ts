import { type PlannedPart, type PlanRequest, PromptPlan } from '../src/chunking/prompt-plan.ts';

/** Plans of prompts by id, as their thread keeps them. */
export interface Scheduler {
  /** Errors: those of `Planner`. */
  begin(id: number, request: PlanRequest): PromptPlan['levels'];
  part(id: number, end: number): PlannedPart;
  end(id: number): void;
}

export function createScheduler(): Scheduler {
  const plans = new Map<number, PromptPlan>();
  return {
    begin(id, request) {
      const plan = new PromptPlan(request);
      plans.set(id, plan);
      return plan.levels;
    },

    part(id, end) {
      const plan = plans.get(id);
      if (!plan) throw new Error(`no plan ${id}`);
      return plan.part(end);
    },

    end: (id) => void plans.delete(id),
  };
}
