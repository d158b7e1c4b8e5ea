import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Chunk, ChunkPlan } from './chunk-plan.ts';
import { Planner, type PlanOptions } from './planner.ts';
import { type RampRow, rampRows } from './ramps.ts';

/** Inputs of planning a prompt; can be sent to another thread. */
export interface PlanRequest {
  tokens: readonly number[];
  /** First token whose row is wanted; earlier ones are cached and keep their rows. */
  from: number;
  /** Text of every token in `tokens`. */
  texts: ReadonlyMap<number, string>;
  vocabSize: number;
  options: PlanSettings;
}

/** The planning options that can be sent to another thread. */
export type PlanSettings = Omit<PlanOptions, 'vocabulary' | 'chunkScale'>;

/** Rows of the tokens from `start` up to `end` (exclusive), and the chunks that became known with them. */
export interface PlannedPart {
  start: number;
  end: number;
  tokens: number[];
  complexity: number[];
  rows: RampRow[];
  /** A chunk is listed in the first part that has a token of it; it may begin before and end after the part. */
  chunks: Chunk[];
}

/** Plans a prompt piece by piece, only as far as needed; the rows equal those of planning the whole prompt at once. */
export class PromptPlan {
  private readonly planner: Planner;
  /** Shuffled plans and the like: rows are known only after the whole text. */
  private readonly isWhole: boolean;
  private rows: RampRow[] = [];
  private chunks: Chunk[] = [];
  private pushed = 0;
  private finished: ChunkPlan | undefined;
  private taken: number;
  private takenChunks = 0;

  /** Errors: those of `Planner`. */
  constructor(private readonly request: PlanRequest) {
    const { from, texts, vocabSize, options } = request;
    this.planner = new Planner({
      ...options,
      vocabulary: { size: vocabSize, text: (token) => texts.get(token) ?? '' },
    });
    this.isWhole = options.ranks === 'shuffled' || options.equalMeanRank === true;
    if (this.isWhole) this.pushUntil(Infinity);
    this.taken = from;
  }

  /** Rule of the rank levels, and their mean ranks if known. */
  get levels(): Pick<ChunkPlan, 'levels' | 'ladder'> {
    const { levels = null, ladder = null, ranks } = this.request.options;
    if (typeof ranks === 'number') return { levels: { ranks: [ranks] }, ladder: [ranks] };
    return this.finished ?? { levels, ladder: ladder && [...ladder] };
  }

  /** The next part, up to `end`. Each token is returned once. */
  part(end: number): PlannedPart {
    this.pushUntil(end);
    const start = this.taken;
    this.taken = Math.min(end, this.rows.length);
    const known = this.chunks.slice(this.takenChunks).filter((chunk) => chunk.start < this.taken);
    this.takenChunks += known.length;
    return {
      start,
      end: this.taken,
      tokens: this.request.tokens.slice(start, this.taken),
      complexity: this.planner.complexity.slice(start, this.taken),
      rows: this.rows.slice(start, this.taken),
      chunks: known.filter((chunk) => chunk.end > start),
    };
  }

  private pushUntil(end: number): void {
    const { tokens } = this.request;
    while (this.rows.length < end && this.pushed < tokens.length) this.push(tokens[this.pushed++]!);
    if (this.rows.length >= end || this.finished) return;
    this.finished = this.planner.finish();
    this.chunks = this.finished.chunks;
    this.rows = this.finished.table;
  }

  /** A chunk's rows are known once the next chunk is. */
  private push(token: number): void {
    for (const chunk of this.planner.push(token)) {
      this.chunks.push(chunk);
      const [previous, span, next] = [this.chunks.at(-3), this.chunks.at(-2), this.chunks.at(-1)];
      if (span && !this.isWhole)
        for (const row of rampRows(previous, span, next, this.planner.ramps)) this.rows.push(row);
    }
  }
}

const NOTHING: RampRow = { levelLo: 0, levelHi: 0, wLo: 0, wHi: 0 };

/**
 * The part from `start` up to `end` of tokens that run without the adapter: a chunk of scale 0. `isFirst`: the part lists
 * the chunk.
 */
export function unadaptedPart(tokens: readonly number[], start: number, end: number, isFirst: boolean): PlannedPart {
  const taken = tokens.slice(start, end);
  return {
    ...{ start, end, tokens: taken, complexity: taken.map(() => 0), rows: taken.map(() => NOTHING) },
    chunks: isFirst ? [{ start: 0, end: tokens.length, complexity: 0, level: 0, scale: 0 }] : [],
  };
}

/** The part with all positions shifted by `by` tokens. */
export function shiftedPart({ start, end, chunks, ...part }: PlannedPart, by: number): PlannedPart {
  const moved = chunks.map((chunk) => ({ ...chunk, start: chunk.start + by, end: chunk.end + by }));
  return { ...part, start: start + by, end: end + by, chunks: moved };
}

/** Concatenates two consecutive parts. */
export function joinedParts(first: PlannedPart, second: PlannedPart): PlannedPart {
  return {
    ...{ start: first.start, end: second.end },
    tokens: [...first.tokens, ...second.tokens],
    complexity: [...first.complexity, ...second.complexity],
    rows: [...first.rows, ...second.rows],
    chunks: [...first.chunks, ...second.chunks],
  };
}

/** The part of a recorded plan from `start` up to `end`. */
export function recordedPart(
  { tokens, complexity, chunks, table }: ChunkPlan,
  start: number,
  end: number,
): PlannedPart {
  return {
    start,
    end,
    tokens: tokens.slice(start, end),
    complexity: complexity.slice(start, end),
    rows: table.slice(start, end),
    chunks: chunks.filter((chunk) => chunk.start >= start && chunk.start < end),
  };
}

/** The plan from token `start` on, where a chunk begins; positions are counted from there. */
export function planFrom(plan: ChunkPlan, start: number): ChunkPlan {
  if (start === 0) return plan;
  const { tokens, complexity, chunks, table, ladder, levels } = plan;
  return {
    tokens: tokens.slice(start),
    complexity: complexity.slice(start),
    chunks: chunks
      .filter((chunk) => chunk.start >= start)
      .map((chunk) => ({ ...chunk, start: chunk.start - start, end: chunk.end - start })),
    table: table.slice(start),
    ...{ ladder, levels },
  };
}

/** Errors: `bad_request` if the plan's text does not begin with `tokens`. */
export function checkReplay({ tokens: planned }: ChunkPlan, tokens: readonly number[]): void {
  const bad = (reason: string): ChunkwiseError => new ChunkwiseError('bad_request', { field: 'plan', reason });
  if (planned.length < tokens.length) throw bad(`it plans ${planned.length} tokens of ${tokens.length}`);
  const at = tokens.findIndex((token, i) => token !== planned[i]);
  if (at >= 0) throw bad(`it is of another text: token ${at} is ${planned[at]} there, and ${tokens[at]} here`);
}
