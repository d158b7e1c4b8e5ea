import { expect, it } from 'vitest';
import { AdapterArena, type ArenaAdapter } from '../../src/adapters/adapter-arena.ts';
import type { LadderModule } from '../../src/adapters/rank-ladder.ts';
import { LINEAR_NAMES, type LinearName } from '../../src/architectures/linears.ts';
import type { RampRow } from '../../src/chunking/ramps.ts';
import { loraBatch } from '../../src/session/adapter-mix.ts';
import type { BatchShape } from '../../src/layers/batch.ts';
import { Linear, linearsOf, Norm } from '../../src/layers/linear.ts';
import { LoraDelta, LoraLowering } from '../../src/layers/lora.ts';
import { halfToFloat, floatToHalf } from '../reference/half.ts';
import { linearDecode } from '../reference/kernels/linear-decode.ts';
import { rmsNorm } from '../reference/kernels/rms-norm.ts';
import { Random } from '../support/random.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { randomMatrix } from '../support/kernels/random-matrix.ts';
import { ALL_VARIANTS, CLASSES, describeVariants, type Runner } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';
import { gatedActivation } from '../reference/kernels/gated-activation.ts';

const HIDDEN = 96;
const INNER = 64;
const EPS = 1e-5;
const LAYER = 1;
const MOST_TOKENS = 72;
/** First token that uses all adapters instead of one: within a tile, and within the tokens decoded at once. */
const ACTIVATED = 2;
/** Scale of the linears that add to the residual stream. */
const SCALE = 0.22;
const QKV = { site: { first: 0, widths: [HIDDEN, 32, 16] }, low: 'lowNormed' } as const;
const OUTPUT = { site: { first: 3, widths: [HIDDEN] }, low: 'lowResidual' } as const;
const GATE_UP = { site: { first: 4, widths: [INNER, INNER] }, low: 'lowNormed' } as const;
const SHAPES: Partial<Record<LinearName, [number, number]>> = {
  attn_q: [HIDDEN, HIDDEN],
  attn_k: [32, HIDDEN],
  attn_v: [16, HIDDEN],
  attn_output: [HIDDEN, HIDDEN],
  ffn_gate: [INNER, HIDDEN],
  ffn_up: [INNER, HIDDEN],
};

function randomModule(random: Random, linear: LinearName, rank: number): LadderModule {
  const [outFeatures, inFeatures] = SHAPES[linear] as [number, number];
  const halves = (count: number, std: number) => Uint16Array.from(random.normals(count, std), floatToHalf);
  return {
    ...{ name: `blk.${LAYER}.${linear}`, layer: LAYER, linear, rank, inFeatures, outFeatures },
    a: halves(rank * inFeatures, 0.1),
    bTransposed: halves(rank * outFeatures, 0.3),
    singularValues: new Float64Array(rank),
  };
}

/**
 * Three adapters in one arena: one of rank 16, one of ranks 1 and 2 that lacks some linears, and one of rank 69, more
 * than a workgroup computes.
 */
function fill(arena: AdapterArena, random: Random): ArenaAdapter[] {
  const all = Object.keys(SHAPES) as LinearName[];
  const add = (linears: readonly LinearName[], ranks: (level: number, i: number) => number): ArenaAdapter => {
    const modules = linears.map((linear, i) => randomModule(random, linear, ranks(3, i)));
    return arena.add(
      modules,
      [0, 1, 2, 3].map((level) => modules.map((_, i) => ranks(level, i))),
    );
  };
  return [
    add(all, (level, i) => [i % 2, 3, 9, 16][level] as number),
    add(['attn_k', 'attn_output', 'ffn_up'], (level, i) => Math.min(level, 1 + (i % 2))),
    add(all, (level) => [2, 15, 17, 69][level] as number),
  ];
}

interface Use {
  adapter: ArenaAdapter;
  scale: number;
}

/** The adapters' part of one linear's output for a token, in f64. */
function added(
  uses: readonly Use[],
  linear: LinearName,
  { levelLo, levelHi, wLo, wHi }: RampRow,
  x: ArrayLike<number>,
): Float64Array {
  const [out, width] = SHAPES[linear] as [number, number];
  const y = new Float64Array(out);
  for (const { adapter, scale } of uses) {
    const index = adapter.modules.findIndex((module) => module.linear === linear);
    const module = adapter.modules[index];
    const ranks = adapter.tables[0]?.ranks;
    if (!module || !ranks) continue;
    const rankOf = (level: number): number => (ranks[Math.min(level, ranks.length - 1)] as number[])[index] as number;
    for (let k = 0; k < rankOf(levelHi); k++) {
      let h = 0;
      for (let i = 0; i < width; i++) h += halfToFloat(module.a[k * width + i] as number) * (x[i] as number);
      h *= scale * (k < rankOf(levelLo) ? wLo : wHi);
      for (let i = 0; i < out; i++)
        y[i] = (y[i] as number) + h * halfToFloat(module.bTransposed[k * out + i] as number);
    }
  }
  return y;
}

const plus = (a: ArrayLike<number>, b: ArrayLike<number>): Float64Array =>
  Float64Array.from(a, (value, i) => value + (b[i] as number));

describeVariants(ALL_VARIANTS, (getRunner, variant) => {
  // How invocations sum and how halves are read do not depend on the number of tokens.
  const isClass = CLASSES.includes(variant);
  const TOKENS = {
    // Kernels compute one, two or four tokens at once, those of class `cpu` one or two.
    few: isClass ? byTier([1, 3], variant === 'cpu' ? [1, 3] : [1, 2, 3]) : [3],
    many: isClass ? byTier([19], [1, 8, 19, 70]) : [19],
  };

  async function setUp(runner: Runner, random: Random, tokens: number, kind: BatchShape['kind']) {
    const { device } = runner;
    const arena = new AdapterArena(device, 2, MOST_TOKENS);
    const adapters = fill(arena, random);
    const { buffers } = arena;
    const mixes = Array.from({ length: tokens }, () => {
      const order = [0, 1, 2].sort(() => random.next() - 0.5);
      return order.slice(0, random.below(3)).map((i) => ({
        adapter: adapters[i] as ArenaAdapter,
        table: '',
        scale: i + 0.5,
        from: i === 0 ? 0 : ACTIVATED,
      }));
    });
    if (!mixes[0]?.some(({ from }) => from === 0))
      mixes[0] = [{ adapter: adapters[0] as ArenaAdapter, table: '', scale: 1, from: 0 }];
    const rows = mixes.map((): RampRow => {
      const levelLo = random.below(4);
      const levelHi = levelLo + random.below(4 - levelLo);
      return { levelLo, levelHi, wLo: random.normal(), wHi: random.normal() };
    });
    const doses = mixes.map((mix, i) => ({
      mix: { adapters: mix, loras: [], key: '' },
      slot: i % 4,
      row: rows[i] as RampRow,
      position: i,
    }));
    const batch = loraBatch(arena, doses, kind);
    if (!batch) throw new Error('no adapters');
    arena.writeRows(batch.rows);
    const shape: BatchShape = { kind, tokens, lora: batch.lora };
    const x = random.normals(MOST_TOKENS * HIDDEN);
    const normWeight = random.normals(HIDDEN, 0.3, 1);
    const normed = runner.empty(MOST_TOKENS * HIDDEN * 4);
    const gpuX = runner.upload(x);
    const norm = new Norm(device, runner.upload(normWeight), EPS, { x: gpuX, output: normed });
    const tokenOf = (values: Float32Array, token: number, width: number) =>
      values.subarray(token * width, (token + 1) * width);
    const expectRows = (got: Float32Array, width: number, want: (token: number) => ArrayLike<number>): void => {
      for (let token = 0; token < tokens; token++) expectClose('lora', tokenOf(got, token, width), want(token));
    };
    const add = (linear: LinearName, token: number, input: ArrayLike<number>): Float64Array =>
      added(
        (mixes[token] ?? []).filter(({ from }) => from <= token),
        linear,
        rows[token] as RampRow,
        input,
      );
    return {
      device,
      arena,
      buffers,
      shape,
      x,
      gpuX,
      norm,
      normWeight,
      tokenOf,
      expectRows,
      add,
      rows,
      mixes,
      adapters,
    };
  }

  it.each(TOKENS.many)('a prefill of %i tokens: A · x before the linear, B in it', async (tokens) => {
    const runner = getRunner();
    const random = new Random(40 + tokens);
    const { device, buffers, shape, x, gpuX, norm, normWeight, tokenOf, expectRows, add } = await setUp(
      runner,
      random,
      tokens,
      'prefill',
    );
    const { matrix, weights } = await randomMatrix(device, 'Q4_1', HIDDEN + 48, HIDDEN, random);
    const y = runner.empty(MOST_TOKENS * (HIDDEN + 48) * 4);
    const lora = { ...QKV, layer: LAYER, buffers };
    const [linear] = linearsOf(device, [matrix], { x: gpuX, y, norm, lora });
    norm.record(runner.recorder, tokens);
    new LoraLowering({ device, layer: LAYER }, { x: norm.output, columns: HIDDEN, inputs: QKV }, buffers).record(
      runner.recorder,
      shape,
    );
    linear?.record(runner.recorder, shape, SCALE);
    expectRows(await runner.floats(y), HIDDEN + 48, (token) => {
      const input = rmsNorm(tokenOf(x, token, HIDDEN), normWeight, EPS);
      const parts = LINEAR_NAMES.slice(0, 3).flatMap((name) => [...add(name, token, input)]);
      return plus(linearDecode(weights, Float32Array.from(input)), parts).map((value) => value * SCALE);
    });
  });

  it.each(TOKENS.few)('%i tokens decoded: A is computed with the linear, or between two linears', async (tokens) => {
    const runner = getRunner();
    const random = new Random(50 + tokens);
    const { device, buffers, shape, x, gpuX, norm, normWeight, tokenOf, expectRows, add, mixes, rows } = await setUp(
      runner,
      random,
      tokens,
      'decode',
    );
    const qkv = await randomMatrix(device, 'Q4_1', HIDDEN + 48, HIDDEN, random);
    const output = await randomMatrix(device, 'F16', HIDDEN, HIDDEN, random);
    const gateUp = await randomMatrix(device, 'Q4_1', 2 * INNER, HIDDEN, random);
    const attended = random.normals(4 * HIDDEN);
    const [gpuQkv, between, gated] = [HIDDEN + 48, HIDDEN, INNER].map((width) => runner.empty(4 * width * 4));
    if (!gpuQkv || !between || !gated) throw new Error('no buffers');
    const { recorder } = runner;
    const withLora = { layer: LAYER, buffers };
    const first = { x: gpuX, y: between, width: HIDDEN, lowers: QKV, normWeight: norm.weight };
    new LoraDelta({ device, layer: LAYER }, first, buffers).record(recorder, shape);
    linearsOf(device, [qkv.matrix], { x: gpuX, y: gpuQkv, norm, lora: { ...QKV, ...withLora } })[0]?.record(
      recorder,
      shape,
    );
    expectRows(await runner.floats(gpuQkv), HIDDEN + 48, (token) => {
      const input = rmsNorm(tokenOf(x, token, HIDDEN), normWeight, EPS);
      const parts = LINEAR_NAMES.slice(0, 3).flatMap((name) => [...add(name, token, input)]);
      return plus(linearDecode(qkv.weights, Float32Array.from(input)), parts);
    });
    const outputOptions = { x: runner.upload(attended), y: gpuX, accumulate: true, lora: { ...OUTPUT, ...withLora } };
    new Linear(device, output.matrix, outputOptions).record(recorder, shape, SCALE);
    const next = {
      x: gpuX,
      y: between,
      width: HIDDEN,
      adds: OUTPUT,
      scale: SCALE,
      lowers: GATE_UP,
      normWeight: norm.weight,
    };
    new LoraDelta({ device, layer: LAYER }, next, buffers).record(recorder, shape);
    const gateUpOptions = {
      x: between,
      y: gated,
      norm,
      gate: 'silu',
      kind: 'decode',
      lora: { ...GATE_UP, ...withLora },
    } as const;
    new Linear(device, gateUp.matrix, gateUpOptions).record(recorder, shape);
    const residual = (token: number): Float64Array => {
      const input = tokenOf(attended, token, HIDDEN);
      const product = plus(linearDecode(output.weights, input), add('attn_output', token, input));
      return plus(
        product.map((value) => value * SCALE),
        tokenOf(x, token, HIDDEN),
      );
    };
    expectRows(await runner.floats(between), HIDDEN, residual);
    expectRows(await runner.floats(gated), INNER, (token) => {
      const input = rmsNorm(Float32Array.from(residual(token)), normWeight, EPS);
      const both = [...add('ffn_gate', token, input), ...add('ffn_up', token, input)];
      return gatedActivation(plus(linearDecode(gateUp.weights, Float32Array.from(input)), both), INNER);
    });
    // A · x was computed for six linears, each at its own rank.
    const counted = new Uint32Array(await runner.read(buffers.counters));
    const want = new Uint32Array(counted.length);
    mixes.forEach((mix, token) => {
      for (const { adapter, from } of mix) {
        if (from > token) continue;
        adapter.modules.forEach((_, module) => {
          want[2 * token] =
            (want[2 * token] ?? 0) +
            ((adapter.tables[0]?.ranks[(rows[token] as RampRow).levelHi] as number[])[module] as number);
        });
      }
    });
    expect(counted.filter((_, i) => i % 2 === 0)).toEqual(want.filter((_, i) => i % 2 === 0));
  });
});
