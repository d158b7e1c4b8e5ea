import { BoundaryDetector } from './boundaries.ts';
import { meanRank } from './chunk-plan.ts';
import type { Chunk, ChunkPlan, LevelRule } from './chunk-plan.ts';
import { Chunker, DEFAULT_CHUNKER } from './chunker.ts';
import type { ChunkerOptions, Span } from './chunker.ts';
import { ESTIMATORS } from './complexity.ts';
import type { ComplexityEstimator, EstimatorName, Vocabulary } from './complexity.ts';
import { equalMeanChunks, shuffledChunks } from './controls.ts';
import { checkThresholds, DEFAULT_THRESHOLDS, nextLevel } from './levels.ts';
import type { LevelThresholds } from './levels.ts';
import { rampTable } from './ramps.ts';
import type { RampOptions } from './ramps.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/**
 * `chunkwise`: by complexity. Controls: `uniform`, the whole adapter everywhere; a number, that rank everywhere;
 * `shuffled`, the chunkwise plan's levels in random order, each with the length of its chunk: the mean rank stays.
 */
export type Ranks = 'chunkwise' | 'uniform' | 'shuffled' | number;

export interface PlanOptions {
  vocabulary: Vocabulary;
  /** Default `openness`. */
  estimator?: EstimatorName;
  chunker?: Partial<ChunkerOptions>;
  ramps?: Partial<RampOptions>;
  /** Default `DEFAULT_THRESHOLDS`. */
  thresholds?: LevelThresholds;
  /** How far past a threshold complexity must be to change the level; see `nextLevel`. Default 0. */
  hysteresis?: number;
  /** Default `chunkwise`. */
  ranks?: Ranks;
  /** Mean rank of each level that thresholds part, and of the whole adapter. `equalMeanRank` needs it. */
  ladder?: readonly number[];
  /** What the levels of the plan are, where it does not choose ranks of its own. Default: the adapter's default. */
  levels?: LevelRule | null;
  /** Gives `uniform` the mean rank of the chunkwise plan, by two neighbouring ranks. Default false. */
  equalMeanRank?: boolean;
  /** Of the order of `shuffled`. Default 0. */
  seed?: number;
  /** A chunk's own scale. Default 1. */
  chunkScale?: (span: Span, level: number) => number;
}

/** At a text's end. */
const LAST_TOKENS = 8;

/** The level of the whole adapter, behind those that thresholds part. */
const wholeLevel = (thresholds: LevelThresholds): number => thresholds.length + 1;

export const DEFAULT_RAMPS: RampOptions = { rampWidth: 4, requestScale: 1, placement: 'across' };

/** The plan of a whole text. Errors: as of `Planner`. */
export function planChunks(tokens: Iterable<number>, options: PlanOptions): ChunkPlan {
  const planner = new Planner(options);
  for (const token of tokens) planner.push(token);
  return planner.finish();
}

/** Plans a text as its tokens come. */
export class Planner {
  private readonly estimator: ComplexityEstimator;
  private readonly chunker: Chunker;
  private readonly boundaries = new BoundaryDetector();
  private readonly thresholds: LevelThresholds;
  readonly ramps: RampOptions;
  private readonly tokens: number[] = [];
  /** Of the tokens so far. */
  readonly complexity: number[] = [];
  private readonly chunks: Chunk[] = [];

  /** Errors: `bad_request` naming an option out of range. */
  constructor(private readonly options: PlanOptions) {
    this.thresholds = options.thresholds ?? DEFAULT_THRESHOLDS;
    this.ramps = { ...DEFAULT_RAMPS, ...options.ramps };
    checkOptions(options, this.ramps, this.thresholds);
    this.estimator = ESTIMATORS[options.estimator ?? 'openness'](options.vocabulary);
    this.chunker = new Chunker(options.chunker);
  }

  /**
   * Takes the next token; `entropy` as in `ComplexityEstimator`. Gives the chunks that are now known, each at most
   * `slack` tokens after its end. `shuffled` and `equalMeanRank` need the whole text: until `finish` the levels are the
   * chunkwise ones. Errors: `bad_request` for a token outside the vocabulary.
   */
  push(token: number, entropy?: number): Chunk[] {
    const complexity = this.estimator.push(token, entropy);
    this.tokens.push(token);
    this.complexity.push(complexity);
    return this.add(this.chunker.push(complexity, this.boundaries.push(this.options.vocabulary.text(token))));
  }

  /** The plan of all tokens; none can be pushed after it. */
  finish(): ChunkPlan {
    const spans = this.chunker.finish();
    const last = spans.pop();
    this.add(spans);
    if (last) this.addLast(last);
    const { tokens, complexity } = this;
    const { chunks, ladder, levels } = this.controlled();
    return { tokens, complexity, chunks, table: rampTable(chunks, this.ramps), ladder, levels };
  }

  /** `given`: where complexity decides, the level these spans have instead. */
  private add(spans: Span[], given?: number): Chunk[] {
    const chunks = spans.map((span) => {
      const level = this.levelOf(span, given);
      return { ...span, level, scale: this.options.chunkScale?.(span, level) ?? 1 };
    });
    for (const chunk of chunks) this.chunks.push(chunk);
    return chunks;
  }

  /**
   * What comes after the text, an answer to a prompt, begins from its last tokens: they are a chunk of their own, which
   * takes the whole adapter.
   */
  private addLast(span: Span): void {
    const { minLength } = { ...DEFAULT_CHUNKER, ...this.options.chunker };
    const cut = span.end - LAST_TOKENS;
    if (cut - span.start < minLength) return void this.add([span], wholeLevel(this.thresholds));
    this.add([this.spanOf(span.start, cut)]);
    this.add([this.spanOf(cut, span.end)], wholeLevel(this.thresholds));
  }

  private spanOf(start: number, end: number): Span {
    const sum = this.complexity.slice(start, end).reduce((total, complexity) => total + complexity, 0);
    return { start, end, complexity: sum / (end - start) };
  }

  private levelOf({ complexity }: Span, given?: number): number {
    const { ranks, equalMeanRank = false, hysteresis = 0 } = this.options;
    if (typeof ranks === 'number') return 0;
    if (ranks === 'uniform' && !equalMeanRank) return wholeLevel(this.thresholds);
    if (given !== undefined) return given;
    const previous = this.chunks.at(-1)?.level;
    return nextLevel(previous ?? 0, complexity, this.thresholds, previous === undefined ? 0 : hysteresis);
  }

  private controlled(): Pick<ChunkPlan, 'chunks' | 'ladder' | 'levels'> {
    const { ranks, equalMeanRank = false, seed = 0, levels = null } = this.options;
    const { chunks, complexity } = this;
    const ladder = this.options.ladder ? [...this.options.ladder] : null;
    if (typeof ranks === 'number') return { chunks, ladder: [ranks], levels: { ranks: [ranks] } };
    if (ranks === 'shuffled') return { chunks: shuffledChunks(chunks, complexity, seed), ladder, levels };
    if (ranks === 'uniform' && equalMeanRank) {
      const equal = equalMeanChunks(chunks, meanRank(rampTable(chunks, this.ramps), ladder!));
      return { ...equal, levels: { ranks: equal.ladder } };
    }
    return { chunks, ladder, levels };
  }
}

function checkOptions(options: PlanOptions, ramps: RampOptions, thresholds: LevelThresholds): void {
  checkThresholds(thresholds);
  const { estimator, ladder, ranks, equalMeanRank = false, hysteresis = 0 } = options;
  const require = (holds: boolean, field: string, reason: string) => {
    if (!holds) throw new ChunkwiseError('bad_request', { field, reason });
  };
  const known = Object.keys(ESTIMATORS);
  require(estimator === undefined || known.includes(estimator), 'estimator', `must be one of ${known.join(', ')}`);
  require(typeof ranks !== 'number' ||
    (Number.isInteger(ranks) && ranks >= 0), 'ranks', 'must be a whole number of at least 0');
  require(Number.isInteger(ramps.rampWidth) &&
    ramps.rampWidth >= 0, 'rampWidth', 'must be a whole number of at least 0');
  require(Number.isFinite(ramps.requestScale), 'requestScale', 'must be finite');
  require(hysteresis >= 0, 'hysteresis', 'must be at least 0');
  require(!equalMeanRank || ladder !== undefined, 'ladder', 'equalMeanRank needs the rank of each level');
  if (!ladder) return;
  const levels = wholeLevel(thresholds) + 1;
  require(ladder.length === levels, 'ladder', `${ladder.length} ranks for ${levels} levels`);
  const ascends = ladder.every((rank, i) => rank >= (ladder[i - 1] ?? 0) && Number.isFinite(rank));
  require(ascends, 'ladder', 'ranks must ascend');
}
