import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Strengths of boundaries after a token. */
export const BOUNDARY = { none: 0, sentence: 1, line: 2, block: 3 } as const;

const FENCE = /^[ \t]*(```|~~~)/;
const SENTENCE_END = /[.!?…。！？]["'”’)\]]*\s*$/u;
/** A likely decimal point, or the dot after an initial or a list number. */
const INNER_DOT = /(?:\d|(?:^|\s)\p{L})\.$/u;
/** Characters kept of a line's start, for fences, and of its end, for initials. */
const KEPT_CHARS = 16;

/** Boundary strengths directly before and after a token. */
interface Boundaries {
  before: number;
  after: number;
}

/**
 * Finds ends of sentences, lines, paragraphs and fenced code, given the text up to and including each token. A line ends
 * before its break; the break belongs to the next chunk.
 */
export class BoundaryDetector {
  /** Start and end of the current line. */
  private head = '';
  private tail = '';
  /** Only line breaks since the last line ended. */
  private isBroken = false;

  push(text: string): Boundaries {
    const newline = text.lastIndexOf('\n');
    if (newline >= 0) {
      const line = this.head + text.slice(0, text.indexOf('\n'));
      const isBlock = FENCE.test(line) || /\n\s*\n/.test(text);
      this.head = text.slice(newline + 1, newline + 1 + KEPT_CHARS);
      this.tail = text.slice(newline + 1).slice(-KEPT_CHARS);
      const before = this.isBroken ? BOUNDARY.none : isBlock ? BOUNDARY.block : BOUNDARY.line;
      this.isBroken = text.slice(newline).trim() === '';
      return { before, after: BOUNDARY.none };
    }
    this.isBroken &&= text.trim() === '';
    this.head = (this.head + text).slice(0, KEPT_CHARS);
    this.tail = (this.tail + text).slice(-KEPT_CHARS);
    const isSentence = SENTENCE_END.test(this.tail) && !INNER_DOT.test(this.tail) && text.trim() !== '';
    return { before: BOUNDARY.none, after: isSentence ? BOUNDARY.sentence : BOUNDARY.none };
  }
}

/** Options of chunk boundaries; lengths in tokens. */
export interface ChunkerOptions {
  /** A chunk ends when its complexities sum to this, so hard text makes short chunks. Default: 10. */
  budget: number;
  /** Least length, except for a text's last chunk. Default: 8. */
  minLength: number;
  /** Greatest length. Default: 128. */
  maxLength: number;
  /** Lookahead past a chunk's end. The end may move to a better boundary by half of it. Default: 16. */
  slack: number;
  /** A chunk also ends if the mean complexity of the next slack / 2 tokens differs by this much from the chunk's so far. Default: 0.35. */
  jump: number;
  /** Among equal boundaries, prefers a multiple of this, so that few kernel tiles span two chunks. Default: 4. */
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

/** A run of tokens; `end` is exclusive, `complexity` is the mean over its tokens. */
export interface Span {
  start: number;
  end: number;
  complexity: number;
}

/**
 * Cuts a text into chunks as its tokens arrive. A chunk that ends before token e is final once e + slack tokens have
 * arrived, or earlier if the cut needs no lookahead.
 */
export class Chunker {
  private readonly options: ChunkerOptions;
  private readonly reach: number;
  private start = 0;
  /** Complexities and boundary strengths from `start` on. */
  private complexities: number[] = [];
  private boundaries: number[] = [];
  /** Prefix sums of the complexities from `start` on, as far as scanned. */
  private sums = [0];
  /** Intended end of the chunk, relative to `start`. */
  private target: number | undefined;

  /** Errors: `bad_request` naming an option out of range. */
  constructor(options: Partial<ChunkerOptions> = {}) {
    this.options = checked({ ...DEFAULT_CHUNKER, ...options });
    this.reach = Math.floor(this.options.slack / 2);
  }

  /** Adds a token's complexity and the boundary strengths at its sides; returns the chunks that became final. */
  push(complexity: number, { before, after }: Boundaries): Span[] {
    const last = this.boundaries.length - 1;
    if (last >= 0) this.boundaries[last] = Math.max(this.boundaries[last]!, before);
    this.complexities.push(complexity);
    this.boundaries.push(after);
    return this.cut(false);
  }

  /** The remaining chunks at the end of the text. */
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

  /** Scans to the chunk's intended end. False if the tokens run out first. */
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

  /** Whether the latest tokens differ from the rest of the chunk. */
  private jumps(length: number): boolean {
    const before = length - this.reach;
    if (this.reach === 0 || before < this.options.minLength) return false;
    const sum = this.sums[before]!;
    return Math.abs((this.sums[length]! - sum) / this.reach - sum / before) > this.options.jump;
  }

  /** Position of the jump among the latest tokens: the split that explains most of the variance. */
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

  /** The best end near the target: strongest boundary, then a multiple of the tile, then the nearest. */
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
