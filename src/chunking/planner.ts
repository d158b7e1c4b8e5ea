import { mixedBits } from '../util/numbers.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import {
  checkThresholds,
  type Chunk,
  type ChunkPlan,
  DEFAULT_THRESHOLDS,
  type LevelRule,
  type LevelThresholds,
  meanRank,
  nextLevel,
} from './chunk-plan.ts';
import { BoundaryDetector, Chunker, type ChunkerOptions, DEFAULT_CHUNKER, type Span } from './chunker.ts';
import { type ComplexityEstimator, type EstimatorName, ESTIMATORS, type Vocabulary } from './complexity.ts';
import { type RampOptions, rampTable } from './ramps.ts';

/**
 * `chunkwise`: rank level by complexity. Controls: `uniform`, the whole adapter for every token; a number, that rank for
 * every token; `shuffled`, the chunkwise plan's chunks in random order, which keeps the mean rank.
 */
export type Ranks = 'chunkwise' | 'uniform' | 'shuffled' | number;

export interface PlanOptions {
  vocabulary: Vocabulary;
  /** Default `ngramEntropy`. */
  estimator?: EstimatorName;
  chunker?: Partial<ChunkerOptions>;
  ramps?: Partial<RampOptions>;
  /** Default `DEFAULT_THRESHOLDS`. */
  thresholds?: LevelThresholds;
  /** Margin by which complexity must pass a threshold to change the level; see `nextLevel`. Default 0. */
  hysteresis?: number;
  /** Default `chunkwise`. */
  ranks?: Ranks;
  /** Mean rank of each level, the whole adapter's last. `equalMeanRank` needs it. */
  ladder?: readonly number[];
  /** Definition of the plan's rank levels, unless `ranks` fixes them. Default: the adapter's default. */
  levels?: LevelRule | null;
  /** Gives `uniform` the mean rank of the chunkwise plan, with two neighbouring ranks. Default false. */
  equalMeanRank?: boolean;
  /** Seed of the order of `shuffled`. Default 0. */
  seed?: number;
  /** Scale of a chunk. Default 1. */
  chunkScale?: (span: Span, level: number) => number;
}

/** Tokens at a text's end that always use the whole adapter. */
const LAST_TOKENS = 8;

/** The level of the whole adapter: one above those of the thresholds. */
const wholeLevel = (thresholds: LevelThresholds): number => thresholds.length + 1;

export const DEFAULT_RAMPS: RampOptions = { rampWidth: 4, requestScale: 1, placement: 'across' };

/** Plans a text as its tokens arrive. */
export class Planner {
  private readonly estimator: ComplexityEstimator;
  private readonly chunker: Chunker;
  private readonly boundaries = new BoundaryDetector();
  private readonly thresholds: LevelThresholds;
  readonly ramps: RampOptions;
  private readonly tokens: number[] = [];
  /** Complexity of the tokens so far. */
  readonly complexity: number[] = [];
  private readonly chunks: Chunk[] = [];

  /** Errors: `bad_request` naming an option out of range. */
  constructor(private readonly options: PlanOptions) {
    this.thresholds = options.thresholds ?? DEFAULT_THRESHOLDS;
    this.ramps = { ...DEFAULT_RAMPS, ...options.ramps };
    checkOptions(options, this.ramps, this.thresholds);
    this.estimator = ESTIMATORS[options.estimator ?? 'ngramEntropy'](options.vocabulary);
    this.chunker = new Chunker(options.chunker);
  }

  /**
   * Adds the next token; `entropy` as in `ComplexityEstimator`. Returns the chunks that became final, each at most `slack`
   * tokens after its end. `shuffled` and `equalMeanRank` need the whole text: until `finish` the levels are the chunkwise
   * ones. Errors: `bad_request` for a token outside the vocabulary.
   */
  push(token: number, entropy?: number): Chunk[] {
    const complexity = this.estimator.push(token, entropy);
    this.tokens.push(token);
    this.complexity.push(complexity);
    return this.add(this.chunker.push(complexity, this.boundaries.push(this.options.vocabulary.text(token))));
  }

  /** The plan of all tokens; afterwards no token can be added. */
  finish(): ChunkPlan {
    const spans = this.chunker.finish();
    const last = spans.pop();
    this.add(spans);
    if (last) this.addLast(last);
    const { tokens, complexity } = this;
    const { chunks, ladder, levels } = this.controlled();
    return { tokens, complexity, chunks, table: rampTable(chunks, this.ramps), ladder, levels };
  }

  /** `given`: level of these spans that overrides complexity. */
  private add(spans: Span[], given?: number): Chunk[] {
    const chunks = spans.map((span) => {
      const level = this.levelOf(span, given);
      return { ...span, level, scale: this.options.chunkScale?.(span, level) ?? 1 };
    });
    for (const chunk of chunks) this.chunks.push(chunk);
    return chunks;
  }

  /**
   * The answer to a prompt starts from the prompt's last tokens: they form a chunk of their own with the whole adapter.
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

/** Control plan: the chunks' (level, length) pairs in random order, so that every level covers the same number of tokens. */
function shuffledChunks(chunks: readonly Chunk[], complexity: readonly number[], seed: number): Chunk[] {
  const random = generator(seed);
  const order = [...chunks];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  let start = 0;
  return order.map(({ level, scale, end: oldEnd, start: oldStart }) => {
    const end = start + oldEnd - oldStart;
    const sum = complexity.slice(start, end).reduce((total, each) => total + each, 0);
    const chunk = { start, end, complexity: sum / (end - start), level, scale };
    start = end;
    return chunk;
  });
}

/** Control plan: two neighbouring whole ranks, assigned to chunks so that their mean over tokens stays close to `rank`. */
function equalMeanChunks(chunks: readonly Chunk[], rank: number): { chunks: Chunk[]; ladder: number[] } {
  const low = Math.floor(rank);
  if (low === rank) return { chunks: chunks.map((chunk) => ({ ...chunk, level: 0 })), ladder: [rank] };
  let owed = 0;
  const dealt = chunks.map((chunk) => {
    const length = chunk.end - chunk.start;
    owed += length * (rank - low);
    const level = owed >= length / 2 ? 1 : 0;
    owed -= length * level;
    return { ...chunk, level };
  });
  return { chunks: dealt, ladder: [low, low + 1] };
}

/** Uniform numbers in [0, 1), reproducible by seed: a counter through murmur3's finalizer. */
function generator(seed: number): () => number {
  let state = Math.imul(seed | 0, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    return mixedBits(state) / 2 ** 32;
  };
}
