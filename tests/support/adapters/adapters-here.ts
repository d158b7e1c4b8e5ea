import type { AdapterModules } from '../../../src/adapters/adapter-file.ts';
import { buildAdapterLadder } from '../../../src/adapters/rank-ladder.ts';
import { inlinePlans } from '../../../src/engine/plan-service.ts';

/** Options of an engine that builds the ladders of its adapters and plans prompts in this thread. */
export const ADAPTERS_HERE = {
  buildLadders: async (adapter: AdapterModules) => buildAdapterLadder(adapter),
  plans: inlinePlans,
};
