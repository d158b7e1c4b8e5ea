import { type AdaptedSpan, BASE_SPANS } from '../cache/adapted-span.ts';
import type { Chunk, LevelRule } from '../chunking/chunk-plan.ts';
import { DEFAULT_THRESHOLDS } from '../chunking/levels.ts';
import { DEFAULT_RAMPS } from '../chunking/planner.ts';
import type { PlanSettings } from '../chunking/prompt-plan.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { followedFrom } from '../chunking/replay.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { AdaptedText } from '../session/adapted-text.ts';
import { type AdapterMix, FULL_ROW, NO_ADAPTERS } from '../session/adapter-mix.ts';
import { type ActiveUse, spansOf } from './activation.ts';
import type { AdapterRegistry } from './adapter-registry.ts';
import { behind, type PlanService, type PlanSession, replay } from './plan-service.ts';
import type { Session } from '../session/session.ts';
import type { AdapterUse, PlanEvent, RankOptions } from './types.ts';

/** How the tokens of a request take its adapters. */
export interface Adaptation {
  /** What a text is computed with: it goes on from a cached sequence as far as that was computed alike. */
  spans(tokens: readonly number[]): readonly AdaptedSpan[];
  /** Plans `tokens`, of which those before `from` are cached. Errors: `bad_request`, `scheduler_lost`. */
  begin(tokens: readonly number[], from: number): Promise<AdaptedText>;
}

const NO_PLAN = {
  rows: async () => [],
  later: [],
  decodeRow: FULL_ROW,
  ladder: [],
  levels: null,
  close: () => undefined,
};

/** `mix` for every token, without a plan. */
const unplanned = (mix: AdapterMix, spans: readonly AdaptedSpan[]): Adaptation => ({
  spans: () => spans,
  begin: async () => ({ mix, spans, ...NO_PLAN }),
});

export const UNADAPTED: Adaptation = unplanned(NO_ADAPTERS, BASE_SPANS);

/** All of the adapters for every token, without a plan: adapters in their plain form have no ranks. */
export const wholeAdapters = (mix: AdapterMix): Adaptation => unplanned(mix, [{ from: 0, key: mix.key }]);

export interface PlanningOptions extends RankOptions {
  session: Session;
  registry: AdapterRegistry;
  uses: readonly AdapterUse[];
  service: PlanService;
  vocabSize: number;
  /** The text of a token. */
  text: (token: number) => string;
  onPlan?: ((event: PlanEvent) => void) | undefined;
}

/** Adapters whose ranks follow a plan. */
export function planned(options: PlanningOptions): Adaptation {
  const { session, registry, uses, plan, onPlan } = options;
  const settings = settingsOf(options);
  const isChunkwise = !plan && (options.ranks ?? 'chunkwise') === 'chunkwise';
  // A recorded plan need not go on as another one did.
  const how = plan ? `plan ${nextPlan++}` : JSON.stringify(settings);
  const spans = (active: readonly ActiveUse[]): AdaptedSpan[] =>
    spansOf(active, (some) => `${registry.key(some)} ${registry.ladder(some, settings.levels ?? null).join()} ${how}`);
  /** Texts follow each other in a recorded plan. */
  let replayed = 0;
  return {
    spans: (tokens) => spans(registry.active(uses, tokens)),
    async begin(tokens, from) {
      const recorded = plan && followedFrom(plan, replayed);
      replayed += tokens.length;
      const active = registry.active(uses, tokens);
      const told = { spans: spans(active), invokedAt: registry.invokedAt(uses, active) };
      if (active.length === 0) return { mix: NO_ADAPTERS, ...NO_PLAN, ...told };
      const made = recorded
        ? replay(recorded, tokens, from)
        : await makePlan(options, settings, active, { tokens, from });
      const { levels } = made;
      const ladder = registry.ladder(active, levels);
      const { mix, release } = await registry.mixByRule(session, active, levels).catch((error: unknown) => {
        made.close();
        throw error;
      });
      const rampWidth = options.rampWidth ?? DEFAULT_RAMPS.rampWidth;
      // An answer begins at the highest level that thresholds part.
      const follow = { options: { ...FOLLOW, rampWidth }, start: { level: FOLLOW.thresholds.length, complexity: 1 } };
      return {
        ...{ mix, ...told, ladder, levels },
        ...(isChunkwise ? { decodeRow: 'stream', follow } : { decodeRow: topRow(ladder) }),
        later: recorded?.table.slice(tokens.length) ?? [],
        async rows(end) {
          const part = await made.part(end);
          const meanRank = ({ level, scale }: Chunk): number =>
            scale === 0 ? 0 : (ladder[level] ?? ladder.at(-1) ?? 0);
          const chunks = part.chunks.map((chunk) => ({ ...chunk, meanRank: meanRank(chunk) }));
          onPlan?.({ ...part, chunks, ladder, levels, texts: part.tokens.map(options.text) });
          return part.rows;
        },
        close() {
          made.close();
          release();
        },
      };
    },
  };
}

/** Has a text planned, from the first token on that takes any adapter. Errors: those of `PlanService`. */
async function makePlan(
  { registry, service, vocabSize, text }: PlanningOptions,
  settings: PlanSettings,
  active: readonly ActiveUse[],
  { tokens, from }: { tokens: readonly number[]; from: number },
): Promise<PlanSession> {
  const first = active.reduce((least, use) => Math.min(least, use.from), Infinity);
  const taking = tokens.slice(first);
  const plan = await service.begin({
    ...{ tokens: taking, from: Math.max(0, from - first), vocabSize },
    texts: new Map([...new Set(taking)].map((token) => [token, text(token)])),
    options: { ...settings, ladder: registry.ladder(active, settings.levels ?? null) },
  });
  return behind(plan, tokens.slice(0, first), from);
}

let nextPlan = 1;

/** Whether the texts of a key follow a recorded plan: the key is not used again. */
export const followsRecordedPlan = (key: string): boolean => / plan \d+$/.test(key);

/** In decoding the level follows the model's own entropy, smoothed: a single sure token in hard text does not lower it. */
export const FOLLOW = { thresholds: DEFAULT_THRESHOLDS, hysteresis: 0.03, smoothing: 0.25 };

const topRow = ({ length }: readonly number[]): RampRow => ({
  levelLo: length - 1,
  levelHi: length - 1,
  wLo: 1,
  wHi: 0,
});

/** What the planner is told; the ladder comes with it. */
export function settingsOf(options: RankOptions): PlanSettings {
  const { ranks, estimator, equalMeanRank, rankErrorBudget, chunks, rampWidth, planSeed } = options;
  // All ranks: a loss of nothing. The default levels of an adapter may have less of it.
  const budget = ranks === 'uniform' && !equalMeanRank ? 0 : rankErrorBudget;
  const levels: LevelRule | null = budget === undefined ? null : { rankErrorBudget: budget };
  if (equalMeanRank && ranks !== 'uniform') {
    throw new ChunkwiseError('bad_request', { field: 'equalMeanRank', reason: 'is only allowed with uniform ranks' });
  }
  return {
    levels,
    ...(ranks !== undefined && { ranks }),
    ...(estimator !== undefined && { estimator }),
    ...(equalMeanRank !== undefined && { equalMeanRank }),
    ...(chunks && { chunker: chunks }),
    ...(rampWidth !== undefined && { ramps: { rampWidth } }),
    ...(planSeed !== undefined && { seed: planSeed }),
  };
}
