/**
 * What one token takes of an adapter whose ranks are nested. Components below the rank of `levelLo` get weight `wLo`,
 * those from there to the rank of `levelHi` get `wHi`, and those above are not read. Which rank a level is, each module
 * says for itself. Outside of ramps both levels are the same and `wHi` is 0.
 */
export interface RampRow {
  levelLo: number;
  levelHi: number;
  wLo: number;
  wHi: number;
}

/** How much of the adapter a run of tokens takes, and times what. */
export interface Dose {
  level: number;
  scale: number;
}

/** A chunk as far as ramps go; `end` is exclusive. */
export interface DosedSpan extends Dose {
  start: number;
  end: number;
}

export interface RampOptions {
  /** Tokens from one dose to the next, at most; never more than half the shorter of the two chunks. */
  rampWidth: number;
  /** Multiplies every chunk's scale. */
  requestScale: number;
  /** `across` the boundary for a prompt; `after` it in decoding, where the tokens before are cached already. */
  placement: 'across' | 'after';
}

/** One row a token for the tokens of `span`, which lies between `previous` and `next`. */
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

/** One row a token for chunks that follow each other. */
export function rampTable(spans: readonly DosedSpan[], options: RampOptions): RampRow[] {
  return spans.flatMap((span, i) => rampRows(spans[i - 1], span, spans[i + 1], options));
}

/** The rows of decoding, where the level of the next token is known but not how long it lasts. */
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

  /** The level held now, or being ramped to. */
  get level(): number {
    return this.to.level;
  }

  /** The row of the next token. A change is put off until the last one is two ramps ago, so that ramps never meet. */
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
 * The `count` rows of decoding behind `last`, which comes after `before`, as long as no level changes: a ramp goes on to its
 * end. In f32, as the GPU has them.
 */
export function rowsBehind(before: RampRow | undefined, last: RampRow, rampWidth: number, count: number): RampRow[] {
  const { levelLo, levelHi, wLo, wHi } = last;
  if (levelLo === levelHi || !before) return new Array<RampRow>(count).fill(last);
  const isSameRamp = before.levelLo === levelLo && before.levelHi === levelHi;
  const rises = isSameRamp ? wHi > before.wHi : before.levelLo === levelLo; // else it has just begun
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

/** The right side's share at a ramp's token `i`; the tokens beside the ramp would be 0 and 1. */
const progress = (i: number, width: number): number => (i + 1) / (width + 1);

function boundary(left: DosedSpan, right: DosedSpan, rampWidth: number, placement: RampOptions['placement']) {
  const shorter = Math.min(left.end - left.start, right.end - right.start);
  const width = same(left, right) ? 0 : Math.min(rampWidth, Math.floor(shorter / 2));
  return { start: placement === 'after' ? right.start : right.start - Math.floor(width / 2), width };
}

function steady({ level, scale }: Dose, requestScale: number): RampRow {
  return { levelLo: level, levelHi: level, wLo: scale * requestScale, wHi: 0 };
}

/** (1 − alpha) of the left output plus alpha of the right one. */
function blend(left: Dose, right: Dose, alpha: number, requestScale: number): RampRow {
  const leftWeight = (1 - alpha) * left.scale * requestScale;
  const rightWeight = alpha * right.scale * requestScale;
  const wLo = leftWeight + rightWeight;
  if (left.level === right.level) return { levelLo: left.level, levelHi: left.level, wLo, wHi: 0 };
  return left.level < right.level
    ? { levelLo: left.level, levelHi: right.level, wLo, wHi: rightWeight }
    : { levelLo: right.level, levelHi: left.level, wLo, wHi: leftWeight };
}
