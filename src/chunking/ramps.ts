/**
 * One token's use of an adapter with nested ranks. Components below the rank of `levelLo` have weight `wLo`, those up to
 * the rank of `levelHi` have `wHi`, and higher ones are not read. Each module maps rank levels to its own ranks. Outside
 * ramps both levels are equal and `wHi` is 0.
 */
export interface RampRow {
  levelLo: number;
  levelHi: number;
  wLo: number;
  wHi: number;
}

/** Rank level and scale of a run of tokens. */
export interface Dose {
  level: number;
  scale: number;
}

/** The part of a chunk that ramps need; `end` is exclusive. */
export interface DosedSpan extends Dose {
  start: number;
  end: number;
}

export interface RampOptions {
  /** Most tokens of a ramp between two chunks; limited to half of the shorter chunk. */
  rampWidth: number;
  /** Multiplies every chunk's scale. */
  requestScale: number;
  /** Prompts ramp `across` the boundary; decode ramps `after` it, since the tokens before are already cached. */
  placement: 'across' | 'after';
}

/** One row per token of `span`, with ramps from `previous` and to `next`. */
export function rampRows(
  previous: DosedSpan | undefined,
  span: DosedSpan,
  next: DosedSpan | undefined,
  { rampWidth, requestScale, placement }: RampOptions,
): RampRow[] {
  const into = previous && boundary(previous, span, rampWidth, placement);
  const outOf = next && boundary(span, next, rampWidth, placement);
  return Array.from({ length: span.end - span.start }, (_, i) => {
    const token = span.start + i;
    if (previous && into && token < into.start + into.width) {
      return blend(previous, span, progress(token - into.start, into.width), requestScale);
    }
    if (next && outOf && token >= outOf.start) {
      return blend(span, next, progress(token - outOf.start, outOf.width), requestScale);
    }
    return steady(span, requestScale);
  });
}

/** One row per token of consecutive chunks. */
export function rampTable(spans: readonly DosedSpan[], options: RampOptions): RampRow[] {
  return spans.flatMap((span, i) => rampRows(spans[i - 1], span, spans[i + 1], options));
}

/** Rows for decode, where the next token's level is known but not the chunk's length. */
export class DecodeRamp {
  private from: Dose;
  private to: Dose;
  /** Tokens since the last change. */
  private age = Infinity;

  constructor(
    start: Dose,
    private readonly rampWidth: number,
    private readonly requestScale = 1,
  ) {
    this.from = start;
    this.to = start;
  }

  /** The current level, or the target of the current ramp. */
  get level(): number {
    return this.to.level;
  }

  /** The next token's row. A change waits until two ramp widths after the last one, so that ramps never overlap. */
  next(wanted: Dose): RampRow {
    if (this.age >= 2 * this.rampWidth && !same(wanted, this.to)) {
      this.from = this.to;
      this.to = { level: wanted.level, scale: wanted.scale };
      this.age = 0;
    }
    const age = this.age++;
    return age < this.rampWidth
      ? blend(this.from, this.to, progress(age, this.rampWidth), this.requestScale)
      : steady(this.to, this.requestScale);
  }
}

/**
 * The next `count` decode rows after `last`, which follows `before`, if the level does not change: a ramp continues to its
 * end. Rounded to f32 like the GPU's.
 */
export function rampRowsAfter(before: RampRow | undefined, last: RampRow, rampWidth: number, count: number): RampRow[] {
  const { levelLo, levelHi, wLo, wHi } = last;
  if (levelLo === levelHi || !before) return new Array<RampRow>(count).fill(last);
  const isSameRamp = before.levelLo === levelLo && before.levelHi === levelHi;
  const rises = isSameRamp ? wHi > before.wHi : before.levelLo === levelLo; // otherwise the ramp has just begun
  const shareOf = (age: number): number => {
    const share = Math.fround(progress(age, rampWidth));
    return rises ? share : Math.fround(1 - share);
  };
  const steps = rampWidth + 1;
  const age = Math.round((rises ? wHi / wLo : 1 - wHi / wLo) * steps) - 1;
  const end = rises ? levelHi : levelLo;
  return Array.from({ length: count }, (_, i) =>
    age + 1 + i < rampWidth
      ? { ...last, wHi: Math.fround(wLo * shareOf(age + 1 + i)) }
      : { levelLo: end, levelHi: end, wLo, wHi: 0 },
  );
}

const same = (a: Dose, b: Dose): boolean => a.level === b.level && a.scale === b.scale;

/** Share of the right side at token `i` of a ramp; the tokens next to the ramp have 0 and 1. */
const progress = (i: number, width: number): number => (i + 1) / (width + 1);

function boundary(left: DosedSpan, right: DosedSpan, rampWidth: number, placement: RampOptions['placement']) {
  const shorter = Math.min(left.end - left.start, right.end - right.start);
  const width = same(left, right) ? 0 : Math.min(rampWidth, Math.floor(shorter / 2));
  return { start: placement === 'after' ? right.start : right.start - Math.floor(width / 2), width };
}

function steady({ level, scale }: Dose, requestScale: number): RampRow {
  return { levelLo: level, levelHi: level, wLo: scale * requestScale, wHi: 0 };
}

/** The row for (1 − alpha) · left output + alpha · right output. */
function blend(left: Dose, right: Dose, alpha: number, requestScale: number): RampRow {
  const leftWeight = (1 - alpha) * left.scale * requestScale;
  const rightWeight = alpha * right.scale * requestScale;
  const wLo = leftWeight + rightWeight;
  if (left.level === right.level) return { levelLo: left.level, levelHi: left.level, wLo, wHi: 0 };
  return left.level < right.level
    ? { levelLo: left.level, levelHi: right.level, wLo, wHi: rightWeight }
    : { levelLo: right.level, levelHi: left.level, wLo, wHi: leftWeight };
}
