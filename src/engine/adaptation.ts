import type { LevelRule } from '../chunking/chunk-plan.ts';
import { DEFAULT_THRESHOLDS } from '../chunking/levels.ts';
import { DEFAULT_RAMPS } from '../chunking/planner.ts';
import type { PlanSettings } from '../chunking/prompt-plan.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { followedFrom } from '../chunking/replay.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { AdaptedText } from '../session/adapted-text.ts';
import { type AdapterMix, FULL_ROW, NO_ADAPTERS } from '../session/adapter-mix.ts';
import type { AdapterRegistry } from './adapter-registry.ts';
import { type PlanService, replay } from './plan-service.ts';
import type { Session } from '../session/session.ts';
import type { AdapterUse, PlanEvent, RankOptions } from './types.ts';

/** How the tokens of a request take its adapters. */
export interface Adaptation {
  /** A cached sequence is gone on from only where this is the same. */
  key: string;
  /** Plans `tokens`, of which those before `from` are cached. Errors: `bad_request`, `scheduler_lost`. */
  begin(tokens: readonly number[], from: number): Promise<AdaptedText>;
}

const NO_PLAN = { rows: async () => [], later: [], decodeRow: FULL_ROW, ladder: [], levels: null, close: () => undefined };

export const UNADAPTED: Adaptation = { key: '', begin: async () => ({ mix: NO_ADAPTERS, ...NO_PLAN }) };

/** All of the adapters for every token, without a plan: adapters in their plain form have no ranks. */
export const wholeAdapters = (mix: AdapterMix): Adaptation => ({
  key: mix.key,
  begin: async () => ({ mix, ...NO_PLAN }),
});

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
  const { session, registry, uses, service, plan, onPlan } = options;
  const settings = settingsOf(options);
  const isChunkwise = !plan && (options.ranks ?? 'chunkwise') === 'chunkwise';
  // A recorded plan need not go on as another one did.
  const key = `${registry.key(uses)} ${plan ? `plan ${nextPlan++}` : JSON.stringify(settings)}`;
  /** Texts follow each other in a recorded plan. */
  let replayed = 0;
  return {
    key,
    async begin(tokens, from) {
      const recorded = plan && followedFrom(plan, replayed);
      replayed += tokens.length;
      const made = recorded
        ? replay(recorded, tokens, from)
        : await service.begin({
            ...{ tokens, from, vocabSize: options.vocabSize },
            texts: new Map([...new Set(tokens)].map((token) => [token, options.text(token)])),
            options: { ...settings, ladder: registry.ladder(uses, settings.levels ?? null) },
          });
      const { levels } = made;
      const ladder = registry.ladder(uses, levels);
      const { mix, release } = await registry.mixByRule(session, uses, levels).catch((error: unknown) => {
        made.close();
        throw error;
      });
      const rampWidth = options.rampWidth ?? DEFAULT_RAMPS.rampWidth;
      // An answer begins at the highest level that thresholds part.
      const follow = { options: { ...FOLLOW, rampWidth }, start: { level: FOLLOW.thresholds.length, complexity: 1 } };
      return {
        mix: { ...mix, key },
        ...(isChunkwise ? { decodeRow: 'stream', follow } : { decodeRow: topRow(ladder) }),
        later: recorded?.table.slice(tokens.length) ?? [],
        ladder,
        levels,
        async rows(end) {
          const part = await made.part(end);
          const chunks = part.chunks.map((chunk) => ({ ...chunk, meanRank: ladder[chunk.level] ?? ladder.at(-1) ?? 0 }));
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

let nextPlan = 1;

/** Whether the texts of a key follow a recorded plan: the key is not used again. */
export const followsRecordedPlan = (key: string): boolean => / plan \d+$/.test(key);

/** In decoding the level follows the model's own entropy, smoothed: a single sure token in hard text does not lower it. */
export const FOLLOW = { thresholds: DEFAULT_THRESHOLDS, hysteresis: 0.03, smoothing: 0.25 };


const topRow = ({ length }: readonly number[]): RampRow => ({ levelLo: length - 1, levelHi: length - 1, wLo: 1, wHi: 0 });

/** What the planner is told; the ladder comes with it. */
export function settingsOf(options: RankOptions): PlanSettings {
  const { ranks, estimator, equalMeanRank, rankErrorBudget, chunks, rampWidth, planSeed } = options;
  const levels: LevelRule | null = rankErrorBudget === undefined ? null : { rankErrorBudget };
  if (equalMeanRank && ranks !== 'uniform') {
    throw new ChunkwiseError('bad_request', { field: 'equalMeanRank', reason: 'is for uniform ranks' });
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
