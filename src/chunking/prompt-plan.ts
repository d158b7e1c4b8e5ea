import type { Chunk, ChunkPlan } from './chunk-plan.ts';
import type { PlanOptions } from './planner.ts';
import { Planner } from './planner.ts';
import type { RampRow } from './ramps.ts';
import { rampRows } from './ramps.ts';

/** What planning a prompt takes; can be sent to another thread. */
export interface PlanRequest {
  tokens: readonly number[];
  /** The first token whose row is wanted; those before it are in the cache and keep the rows they were computed with. */
  from: number;
  /** Text of every token in `tokens`. */
  texts: ReadonlyMap<number, string>;
  vocabSize: number;
  options: PlanSettings;
}

/** How to plan, as far as it can be sent to another thread. */
export type PlanSettings = Omit<PlanOptions, 'vocabulary' | 'chunkScale'>;

/** Rows of the tokens from `start` to `end`, which is exclusive, and the chunks that became known with them. */
export interface PlannedPart {
  start: number;
  end: number;
  tokens: number[];
  complexity: number[];
  rows: RampRow[];
  /** A chunk stands in the first part that has a token of it, and may begin before and end after it. */
  chunks: Chunk[];
}

/** Plans a prompt piece by piece, no further ahead than it must; the rows are those of planning all of it at once. */
export class PromptPlan {
  private readonly planner: Planner;
  /** Shuffled plans and such: rows are known when all of it is. */
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

  /** What its levels are, and their mean ranks where they are known. */
  get levels(): Pick<ChunkPlan, 'levels' | 'ladder'> {
    const { levels = null, ladder = null, ranks } = this.request.options;
    if (typeof ranks === 'number') return { levels: { ranks: [ranks] }, ladder: [ranks] };
    return this.finished ?? { levels, ladder: ladder && [...ladder] };
  }

  /** The next tokens up to `end`. Each is handed out once. */
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

  /** A chunk's rows are known when the chunk after it is. */
  private push(token: number): void {
    for (const chunk of this.planner.push(token)) {
      this.chunks.push(chunk);
      const [previous, span, next] = [this.chunks.at(-3), this.chunks.at(-2), this.chunks.at(-1)];
      if (span && !this.isWhole)
        for (const row of rampRows(previous, span, next, this.planner.ramps)) this.rows.push(row);
    }
  }
}
