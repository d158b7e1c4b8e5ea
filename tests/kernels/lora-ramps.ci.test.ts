import { expect, it } from 'vitest';
import { AdapterArena } from '../../src/adapters/adapter-arena.ts';
import { type DosedSpan, rampTable } from '../../src/chunking/ramps.ts';
import { loraBatch } from '../../src/session/adapter-mix.ts';
import { Linear } from '../../src/layers/linear.ts';
import { LoraDelta, LoraLowering } from '../../src/layers/lora.ts';
import { floatToHalf, halfToFloat } from '../reference/half.ts';
import { Random } from '../support/random.ts';
import { randomMatrix } from '../support/kernels/random-matrix.ts';
import { describeVariants, type Runner } from '../support/kernels/runner.ts';

const WIDTH = 64;
const OUTPUT = { site: { first: 3, widths: [WIDTH] }, low: 'lowResidual' } as const;
/** A site without this test's adapter; decode also computes A of the linears after. */
const AFTER = { site: { first: 4, widths: [WIDTH] }, low: 'lowNormed' } as const;
const RANKS = [1, 4, 9, 16];
const MAX_RANK = 16;
const RAMP = 8;
/** The third chunk is shorter than a ramp; the fifth differs from the fourth only in scale. */
const SPANS: DosedSpan[] = [
  { start: 0, end: 13, level: 0, scale: 1 },
  { start: 13, end: 29, level: 3, scale: 1.3 },
  { start: 29, end: 32, level: 1, scale: 1 },
  { start: 32, end: 46, level: 2, scale: 1.3 },
  { start: 46, end: 60, level: 2, scale: 1 },
];
const TOKENS = 60;

interface Case {
  a: Uint16Array<ArrayBuffer>;
  bTransposed: Uint16Array<ArrayBuffer>;
  x: Float32Array;
}

function randomCase(seed: number, sameInput = false): Case {
  const random = new Random(seed);
  const halves = () => Uint16Array.from(random.normals(MAX_RANK * WIDTH, 0.2), floatToHalf);
  const x = random.normals(TOKENS * WIDTH);
  if (sameInput) for (let token = 1; token < TOKENS; token++) x.copyWithin(token * WIDTH, 0, WIDTH);
  return { a: halves(), bTransposed: halves(), x };
}

/** LoRA of one rank and scale, in f64. */
function lora({ a, bTransposed, x }: Case, token: number, rank: number, scale: number): Float64Array {
  const y = new Float64Array(WIDTH);
  for (let k = 0; k < rank; k++) {
    let h = 0;
    for (let i = 0; i < WIDTH; i++) h += halfToFloat(a[k * WIDTH + i] as number) * (x[token * WIDTH + i] as number);
    for (let i = 0; i < WIDTH; i++)
      y[i] = (y[i] as number) + scale * h * halfToFloat(bTransposed[k * WIDTH + i] as number);
  }
  return y;
}

/** Blend of the outputs of the two chunks at a boundary. */
function blended(input: Case, token: number): Float64Array {
  const output = ({ level, scale }: DosedSpan) => lora(input, token, RANKS[level] as number, scale);
  for (const [i, right] of SPANS.entries()) {
    const left = SPANS[i - 1];
    if (!left) continue;
    const width = Math.min(RAMP, Math.floor(Math.min(left.end - left.start, right.end - right.start) / 2));
    const alpha = (token - (right.start - Math.floor(width / 2)) + 1) / (width + 1);
    if (alpha <= 0 || alpha >= 1) continue;
    const [from, to] = [output(left), output(right)];
    return from.map((value, j) => (1 - alpha) * value + alpha * (to[j] as number));
  }
  return output(SPANS.find(({ end }) => token < end) as DosedSpan);
}

/** The adapter's outputs for each token on the GPU, `[TOKENS][WIDTH]`. */
async function delta(
  runner: Runner,
  input: Case,
  rampWidth: number,
  kind: 'prefill' | 'decode',
): Promise<Float32Array[]> {
  const { device, recorder } = runner;
  const arena = new AdapterArena(device, 1, 64);
  const module = {
    ...({ name: 'blk.0.attn_output', layer: 0, linear: 'attn_output', rank: MAX_RANK } as const),
    ...{ inFeatures: WIDTH, outFeatures: WIDTH, a: input.a, bTransposed: input.bTransposed },
    singularValues: new Float64Array(MAX_RANK),
  };
  const adapter = arena.add(
    [module],
    RANKS.map((rank) => [rank]),
  );
  const mix = { adapters: [{ adapter, table: '', scale: 1 }], loras: [], key: '' };
  const doses = rampTable(SPANS, { rampWidth, requestScale: 1, placement: 'across' }).map((row) => ({
    mix,
    slot: 0,
    row,
  }));
  const { buffers } = arena;
  const { matrix } = await randomMatrix(device, 'F16', WIDTH, WIDTH, new Random(1));
  const results: Float32Array[] = [];
  const step = kind === 'prefill' ? TOKENS : 4;
  for (let start = 0; start < TOKENS; start += step) {
    const x = runner.upload(
      new Float32Array([...input.x.subarray(start * WIDTH, (start + step) * WIDTH), ...new Float32Array(8 * WIDTH)]),
    );
    const y = async (adapted: boolean): Promise<Float32Array> => {
      const batch = adapted ? loraBatch(arena, doses.slice(start, start + step)) : undefined;
      if (batch) arena.writeRows(batch.rows);
      const shape = { kind, tokens: step, lora: batch?.lora };
      const sum = runner.empty((step + 8) * WIDTH * 4);
      const own = { ...OUTPUT, layer: 0, buffers };
      if (adapted && kind === 'prefill')
        new LoraLowering({ device, layer: 0 }, { x, columns: WIDTH, inputs: OUTPUT }, buffers).record(recorder, shape);
      const linear = { x, y: sum, accumulate: true, ...(adapted && { lora: own }) };
      new Linear(device, matrix, linear).record(recorder, shape);
      if (!adapted || kind === 'prefill') return runner.floats(sum);
      const after = runner.empty(step * WIDTH * 4);
      const norm = runner.upload(new Float32Array(WIDTH));
      const options = { x: sum, y: after, width: WIDTH, adds: OUTPUT, lowers: AFTER, normWeight: norm, isLast: true };
      new LoraDelta({ device, layer: 0 }, options, buffers).record(recorder, shape);
      return runner.floats(after);
    };
    const [base, adapted] = [await y(false), await y(true)];
    for (let t = 0; t < step; t++) {
      results.push(
        Float32Array.from(
          { length: WIDTH },
          (_, i) => (adapted[t * WIDTH + i] as number) - (base[t * WIDTH + i] as number),
        ),
      );
    }
  }
  arena.remove(adapter);
  return results;
}

const norm = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value ** 2, 0));
const difference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  norm(Array.from(a, (value, i) => value - (b[i] as number)));

// lora.test.ts has the kernels of both classes with rows of any two levels and weights.
describeVariants(['cpu'], (getRunner) => {
  it.each(['prefill', 'decode'] as const)(
    'rows of a ramp give the blend of two LoRA outputs, in a %s',
    async (kind) => {
      const input = randomCase(5);
      const got = await delta(getRunner(), input, RAMP, kind);
      const want = got.map((_, token) => blended(input, token));
      const largest = Math.max(...want.map(norm));
      got.forEach((values, token) => {
        expect(difference(values, want[token] as Float64Array) / largest).toBeLessThan(1e-5);
      });
    },
  );

  it('the output changes in larger steps without ramps', async () => {
    const input = randomCase(6, true);
    const largestStep = (values: Float32Array[]): number =>
      Math.max(...values.slice(1).map((value, i) => difference(value, values[i] as Float32Array)));
    const ramped = largestStep(await delta(getRunner(), input, RAMP, 'prefill'));
    const hard = largestStep(await delta(getRunner(), input, 0, 'prefill'));
    expect(ramped).toBeLessThan(0.6 * hard);
  });
});
