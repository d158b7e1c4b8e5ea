import type { Boundaries } from './boundaries.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Where chunks end. Lengths in tokens. */
export interface ChunkerOptions {
  /** A chunk is full when its tokens' complexities sum up to this: hard text makes short chunks. Default: 10. */
  budget: number;
  /** Only the last chunk of a text may be shorter. Default: 8. */
  minLength: number;
  /** No chunk is longer. Default: 128. */
  maxLength: number;
  /** How far past a chunk's end its choice may look. Half of it is how far an end may move to a better boundary. Default: 16. */
  slack: number;
  /** A chunk also ends where the mean complexity of the next slack / 2 tokens is this far from the chunk's so far. Default: 0.35. */
  jump: number;
  /** Among equal boundaries a multiple of this is preferred, so that a kernel's tile seldom lies in two chunks. Default: 4. */
  tile: number;
}

export const DEFAULT_CHUNKER: ChunkerOptions = {
  budget: 10,
  minLength: 8,
  maxLength: 128,
  slack: 16,
  jump: 0.35,
  tile: 4,
};

/** A run of tokens; `end` is exclusive, `complexity` the mean of its tokens'. */
export interface Span {
  start: number;
  end: number;
  complexity: number;
}

/**
 * Cuts a text into chunks as its tokens come. A chunk that ends before token e is known, and does not change any more,
 * once e + slack tokens have come (fewer, where the cut needs no look ahead).
 */
export class Chunker {
  private readonly options: ChunkerOptions;
  private readonly reach: number;
  private start = 0;
  /** Complexities and boundary strengths from `start` on. */
  private complexities: number[] = [];
  private boundaries: number[] = [];
  /** Sums of the first n complexities from `start` on, as far as they have been walked. */
  private sums = [0];
  /** Where the chunk should end, counted from `start`. */
  private target: number | undefined;

  /** Errors: `bad_request` naming an option out of range. */
  constructor(options: Partial<ChunkerOptions> = {}) {
    this.options = checked({ ...DEFAULT_CHUNKER, ...options });
    this.reach = Math.floor(this.options.slack / 2);
  }

  /** Takes the next token's complexity, and how good boundaries lie at its sides; gives the chunks that are now known. */
  push(complexity: number, { before, after }: Boundaries): Span[] {
    const last = this.boundaries.length - 1;
    if (last >= 0) this.boundaries[last] = Math.max(this.boundaries[last]!, before);
    this.complexities.push(complexity);
    this.boundaries.push(after);
    return this.cut(false);
  }

  /** The chunks that are left at the end of the text. */
  finish(): Span[] {
    const spans = this.cut(true);
    if (this.complexities.length > 0) spans.push(this.close(this.complexities.length));
    return spans;
  }

  private cut(isLast: boolean): Span[] {
    const spans: Span[] = [];
    while (this.walk()) {
      const known = this.complexities.length;
      if (known < Math.min(this.target! + this.reach, this.options.maxLength) && !isLast) break;
      spans.push(this.close(this.choose(known)));
    }
    return spans;
  }

  /** Goes on until the chunk should end. False when the tokens run out before. */
  private walk(): boolean {
    const { budget, minLength, maxLength } = this.options;
    while (this.target === undefined && this.sums.length <= this.complexities.length) {
      const length = this.sums.length;
      const sum = this.sums[length - 1]! + this.complexities[length - 1]!;
      this.sums.push(sum);
      if (length === maxLength || (length >= minLength && sum >= budget)) this.target = length;
      else if (this.jumps(length)) this.target = this.jump(length);
    }
    return this.target !== undefined;
  }

  /** Whether the last tokens differ from the chunk before them. */
  private jumps(length: number): boolean {
    const before = length - this.reach;
    if (this.reach === 0 || before < this.options.minLength) return false;
    const sum = this.sums[before]!;
    return Math.abs((this.sums[length]! - sum) / this.reach - sum / before) > this.options.jump;
  }

  /** Where among the last tokens it jumped: the split that explains most of the variance. */
  private jump(length: number): number {
    const gain = (split: number) => {
      const left = this.sums[split]! / split;
      const right = (this.sums[length]! - this.sums[split]!) / (length - split);
      return ((split * (length - split)) / length) * (left - right) ** 2;
    };
    let best = length - this.reach;
    for (let split = best + 1; split < length; split++) if (gain(split) > gain(best)) best = split;
    return best;
  }

  /** The best end near the target: the strongest boundary, then a tile's edge, then the nearest. */
  private choose(known: number): number {
    const { minLength, maxLength, tile } = this.options;
    const target = this.target!;
    const last = Math.min(target + this.reach, maxLength, known);
    const rank = (end: number) => {
      const onTile = (this.start + end) % tile === 0 ? 1 : 0;
      return (this.boundaries[end - 1]! * 2 + onTile) * (this.reach + 1) - Math.abs(end - target);
    };
    let best = target;
    for (let end = Math.max(minLength, target - this.reach); end <= last; end++) {
      if (rank(end) > rank(best)) best = end;
    }
    return best;
  }

  private close(length: number): Span {
    const sum = this.complexities.slice(0, length).reduce((total, complexity) => total + complexity, 0);
    const span = { start: this.start, end: this.start + length, complexity: sum / length };
    this.start = span.end;
    this.complexities = this.complexities.slice(length);
    this.boundaries = this.boundaries.slice(length);
    this.sums = [0];
    this.target = undefined;
    return span;
  }
}

function checked(options: ChunkerOptions): ChunkerOptions {
  const bad = (field: keyof ChunkerOptions, reason: string) => new ChunkwiseError('bad_request', { field, reason });
  for (const field of ['minLength', 'maxLength', 'tile', 'slack'] as const) {
    const least = field === 'slack' ? 0 : 1;
    if (!(Number.isInteger(options[field]) && options[field] >= least)) {
      throw bad(field, `must be a whole number of at least ${least}, not ${options[field]}`);
    }
  }
  if (options.maxLength < options.minLength) throw bad('maxLength', `is below minLength, ${options.minLength}`);
  for (const field of ['budget', 'jump'] as const) {
    if (!(options[field] > 0)) throw bad(field, `must be above 0, not ${options[field]}`);
  }
  return options;
}
