/** What is told meanwhile. */
import type { KvMap } from '../../cache/kv-map.ts';
import type { MemoryReport } from '../../config/memory-report.ts';
import type { LoadProgress, PlanEvent as PlannedEvent } from '../../engine/types.ts';

/** One generated token, as it arrives. */
export interface TokenEvent {
  /** Milliseconds since the token before; for the first, since the request was taken up. Of tokens that a step gave together, a share each. */
  ms: number;
  /** Tokens the context now holds. */
  contextUsed: number;
  /** Of the response. */
  id: string;
  /** Where adapters are used: the level it takes of them, that level's mean rank, and how hard it was found to be. */
  level?: number | undefined;
  meanRank?: number | undefined;
  complexity?: number | undefined;
}

/** Tokens of a request whose ranks are known. */
export interface PlanEvent extends PlannedEvent {
  /** Of the response. */
  id: string;
}

/** How the keys and values of a request's text lie, when that has changed. */
export interface KvEvent extends KvMap {
  /** Of the response. */
  id: string;
}

export interface EngineEvents {
  progress: LoadProgress;
  plan: PlanEvent;
  kv: KvEvent;
  token: TokenEvent;
  memory: MemoryReport;
  devicelost: { reason: string };
}
