import { StepCosts } from '../../../src/session/speculation/step-costs.ts';

/** Steps of several tokens, and drafts, cost almost nothing, so that every possible draft is made. */
export class FreeSteps extends StepCosts {
  constructor() {
    super({ variant: { lanes: 1 } } as never, () => undefined);
  }

  override of(): number {
    return 1e-3;
  }

  override ofDrafted(): number {
    return 0;
  }
}
