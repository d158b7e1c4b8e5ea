import { buildAdapterLadder, type LadderBuilder } from '../adapters/ladder/adapter-ladder.ts';
import { cachedLadders, type LadderStore } from '../adapters/ladder/ladder-cache.ts';

/** Rank ladders as they lie in `store`, or built in this thread. */
export const laddersHere = (store: LadderStore): LadderBuilder =>
  cachedLadders(store, async (adapter, options) => buildAdapterLadder(adapter, options));
