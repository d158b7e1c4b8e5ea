import { describe, expect, it } from 'vitest';
import { DecodeRamp, rampRows, rampTable, rampRowsAfter } from '../../src/chunking/ramps.ts';
import type { Dose, DosedSpan, RampOptions, RampRow } from '../../src/chunking/ramps.ts';
import { Random } from '../support/random.ts';

const IN = 24;
const OUT = 20;
const RANK = 16;
const random = new Random(5);
/** Nested factors: A is [RANK, IN], B is [OUT, RANK], and the first k components are the adapter at rank k. */
const A = Array.from({ length: RANK }, (_, k) => [...random.normals(IN, 1 / (k + 1))]);
const B = Array.from({ length: OUT }, () => [...random.normals(RANK)]);
/** Rank of each level by module: one has two equal levels, one has rank 0 at level 0. */
const MODULES = [
  [2, 4, 8, 16],
  [3, 3, 3, 16],
  [0, 1, 12, 12],
];

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, each, i) => sum + each * b[i]!, 0);
const components = (x: readonly number[]) => A.map((row) => dot(row, x));

/** Ordinary LoRA at one rank. */
function lora(x: readonly number[], rank: number, scale: number): number[] {
  const hidden = components(x).slice(0, rank);
  return B.map((row) => scale * dot(row.slice(0, rank), hidden));
}

/** Output of a row as a kernel computes it. */
function byRow(x: readonly number[], { levelLo, levelHi, wLo, wHi }: RampRow, ranks: readonly number[]): number[] {
  const [low, high] = [ranks[levelLo]!, ranks[levelHi]!];
  const hidden = components(x).map((each, k) => each * (k < low ? wLo : k < high ? wHi : NaN));
  return B.map((row) => dot(row.slice(0, high), hidden.slice(0, high)));
}

/** The right side's share at each token of a ramp. */
const alpha = (i: number, width: number) => (i + 1) / (width + 1);

function expectClose(actual: readonly number[], expected: readonly number[]) {
  const size = Math.max(...expected.map(Math.abs), 1);
  actual.forEach((each, i) => expect(Math.abs(each - expected[i]!) / size).toBeLessThanOrEqual(1e-5));
}

function spansOf(...list: [length: number, level: number, scale: number][]): DosedSpan[] {
  let start = 0;
  return list.map(([length, level, scale]) => {
    const span = { start, end: start + length, level, scale };
    start = span.end;
    return span;
  });
}

// Up, down, a change of scale only, a chunk shorter than the ramp, one of a single token, one equal to its neighbour.
const SPANS = spansOf(
  [20, 0, 1],
  [30, 3, 1.3],
  [25, 1, 1],
  [3, 2, 1.3],
  [16, 2, 1],
  [1, 3, 1],
  [12, 0, 1.3],
  [9, 0, 1.3],
);
const TOTAL = SPANS.at(-1)!.end;
const INPUTS = Array.from({ length: TOTAL }, () => [...random.normals(IN)]);
const ramps = (options: Partial<RampOptions> = {}): RampOptions => ({
  rampWidth: 8,
  requestScale: 1,
  placement: 'across',
  ...options,
});

/** Start and width of the ramp between two chunks. */
function rampBetween(left: DosedSpan, right: DosedSpan, { rampWidth, placement }: RampOptions) {
  const width = Math.min(rampWidth, Math.floor(Math.min(left.end - left.start, right.end - right.start) / 2));
  return { first: placement === 'after' ? right.start : right.start - Math.floor(width / 2), width };
}

describe.each(['across', 'after'] as const)('ramps %s the boundary', (placement) => {
  it.each([1, 1.3])('equal blending two LoRA outputs, request scale %d', (requestScale) => {
    const options = ramps({ placement, requestScale });
    const table = rampTable(SPANS, options);
    expect(table).toHaveLength(TOTAL);
    let blended = 0;
    for (const ranks of MODULES) {
      const output = ({ level, scale }: Dose, x: readonly number[]) => lora(x, ranks[level]!, scale * requestScale);
      for (let token = 0; token < TOTAL; token++) {
        const x = INPUTS[token]!;
        const at = SPANS.findIndex(({ end }) => token < end);
        let expected = output(SPANS[at]!, x);
        for (const right of [at, at + 1].filter((i) => i > 0 && i < SPANS.length)) {
          const pair = [SPANS[right - 1]!, SPANS[right]!] as const;
          const { first, width } = rampBetween(...pair, options);
          if (token < first || token >= first + width) continue;
          const share = alpha(token - first, width);
          const [leftOutput, rightOutput] = pair.map((span) => output(span, x));
          expected = leftOutput!.map((each, i) => (1 - share) * each + share * rightOutput![i]!);
          blended++;
        }
        expectClose(byRow(x, table[token]!, ranks), expected);
      }
    }
    expect(blended).toBeGreaterThan(50);
  });

  it('are at most half the shorter chunk wide, and leave every other token alone', () => {
    const table = rampTable(SPANS, ramps({ placement, rampWidth: 100 }));
    const steady = (token: number, { level, scale }: Dose) =>
      JSON.stringify(table[token]) === JSON.stringify({ levelLo: level, levelHi: level, wLo: scale, wHi: 0 });
    SPANS.forEach((span) => {
      const kept = INPUTS.filter((_, token) => token >= span.start && token < span.end && steady(token, span)).length;
      expect(kept).toBeGreaterThanOrEqual(Math.floor((span.end - span.start) / 2));
    });
    if (placement === 'after') for (let token = 0; token < 20; token++) expect(steady(token, SPANS[0]!)).toBe(true);
  });

  it('change the delta in smaller steps than hard switching', () => {
    const [x] = INPUTS;
    for (const ranks of MODULES) {
      const largestStep = (rampWidth: number) => {
        const deltas = rampTable(SPANS.slice(0, 3), ramps({ placement, rampWidth })).map((row) =>
          byRow(x!, row, ranks),
        );
        return Math.max(
          ...deltas.slice(1).map((delta, i) => Math.hypot(...delta.map((each, j) => each - deltas[i]![j]!))),
        );
      };
      expect(largestStep(8)).toBeLessThan(largestStep(0) / 5);
    }
  });

  it('are equal chunk by chunk, given the neighbours', () => {
    const pieces = SPANS.map((span, i) => rampRows(SPANS[i - 1], span, SPANS[i + 1], ramps({ placement })));
    expect(pieces.flat()).toEqual(rampTable(SPANS, ramps({ placement })));
  });
});

describe('in decode', () => {
  const rowsOf = (doses: Dose[], rampWidth: number, requestScale?: number) => {
    const ramp = new DecodeRamp(doses[0]!, rampWidth, requestScale);
    return doses.map((dose) => ramp.next(dose));
  };

  it('rows equal those of a plan with ramps after the boundaries', () => {
    const spans = spansOf([10, 1, 1], [16, 3, 1.3], [20, 0, 1], [12, 0, 1.3]);
    const doses = spans.flatMap(({ start, end, level, scale }) => Array<Dose>(end - start).fill({ level, scale }));
    const table = rampTable(spans, ramps({ placement: 'after', rampWidth: 4, requestScale: 1.3 }));
    expect(rowsOf(doses, 4, 1.3)).toEqual(table);
  });

  it('a change waits until two ramp widths after the last one', () => {
    const doses = [1, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].map((level) => ({ level, scale: 1 }));
    const rows = rowsOf(doses, 3);
    expect(rows.map(({ levelLo, levelHi }) => `${levelLo}${levelHi}`).join(' ')).toBe(
      '11 11 13 13 13 33 33 33 03 03 03 00 00 00 00',
    );
    expect(rows.map(({ wHi }) => wHi * 4)).toEqual([0, 0, 1, 2, 3, 0, 0, 0, 3, 2, 1, 0, 0, 0, 0]);
  });

  it('the level changes at once without a ramp', () => {
    const doses = [0, 2, 1, 1].map((level) => ({ level, scale: 1.3 }));
    expect(rowsOf(doses, 0)).toEqual(doses.map(({ level }) => ({ levelLo: level, levelHi: level, wLo: 1.3, wHi: 0 })));
  });
});

it.each([0, 1, 2, 4, 7])(
  'the rows after a given row equal those of decode while the level is constant, with ramps of %d tokens',
  (rampWidth) => {
    const levels = new Random(rampWidth + 3);
    const scale = 0.75;
    const dose = (level: number): Dose => ({ level, scale });
    for (let run = 0; run < 200; run++) {
      const changes = Array.from({ length: 1 + levels.below(40) }, () => levels.below(3));
      const ramp = new DecodeRamp(dose(1), rampWidth);
      const before = [1, ...changes].map((level) => ramp.next(dose(level)));
      const behind = Array.from({ length: 12 }, () => ramp.next(dose(ramp.level)));
      const expected = rampRowsAfter(before.at(-2), before.at(-1)!, rampWidth, behind.length);
      behind.forEach(({ levelLo, levelHi, wLo, wHi }, i) => {
        expect({ ...expected[i], wLo: 0, wHi: 0 }).toEqual({ levelLo, levelHi, wLo: 0, wHi: 0 });
        expect(expected[i]!.wLo).toBeCloseTo(wLo, 6);
        expect(expected[i]!.wHi).toBeCloseTo(wHi, 6);
      });
    }
  },
);
