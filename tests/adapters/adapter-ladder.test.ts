import { expect, test } from 'vitest';
import { type AdapterModules, readAdapter } from '../../src/adapters/adapter-file.ts';
import { buildAdapterLadder } from '../../src/adapters/rank-ladder.ts';
import { floatToHalf as toHalf } from '../../src/weights/float-tensor.ts';
import type { ModelConfig } from '../../src/config/model-config.ts';
import { floatToHalf, halfToFloat } from '../reference/half.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';
import { optimumOf, squaredErrors } from './ladder-products.ts';
import { ggufAdapter, peftSource, tinyAdapter, tinyConfig, WEIGHTS_FILE } from '../support/models/tiny-adapter.ts';
import type { TinyAdapter, TinyAdapterOptions } from '../support/models/tiny-adapter.ts';
import { restOnly } from '../support/tier.ts';

const tiny = await tinyConfig();
/** One layer of the default model's shapes. */
const real = await tinyConfig({ numLayers: 1, hiddenSize: 576, intermediateSize: 1536, numHeads: 9, numKvHeads: 3 });
const FOUR_SHAPES = ['q_proj', 'k_proj', 'up_proj', 'down_proj'];

/** Reads an adapter from its files; `change` may modify it first. */
async function made(
  { model = tiny, ...options }: TinyAdapterOptions & { model?: ModelConfig },
  change?: (adapter: TinyAdapter) => void,
): Promise<AdapterModules> {
  const adapter = tinyAdapter(model, options);
  change?.(adapter);
  return readAdapter(peftSource(adapter), { config: model });
}

/** Makes singular values fall from component to component, like those of trained adapters. */
function decay({ modules }: TinyAdapter): void {
  for (const { a, inFeatures } of modules) a.forEach((value, i) => (a[i] = value * 0.8 ** Math.floor(i / inFeatures)));
}

test.each(Array.from({ length: 16 }, (_, i) => i + 1))(
  "rank %d, the default model's shapes: every level is the best approximation of its rank, and the last is the whole adapter",
  async (rank) => {
    const adapter = await made({ seed: rank, rank, type: 'F16', targets: FOUR_SHAPES, model: real }, decay);
    const random = new Random(rank);
    const inputRms = new Map(
      adapter.modules.map(({ name, inFeatures }) => [name, random.normals(inFeatures).map((x) => Math.exp(1.5 * x))]),
    );
    for (const options of rank % 4 === 0 ? [{}, { inputRms }] : [{}]) {
      const ladder = buildAdapterLadder(adapter, options);
      expect(ladder.modules).toHaveLength(4);
      ladder.modules.forEach((module, m) => {
        const weights = options.inputRms?.get(module.name);
        const errors = squaredErrors(adapter.modules[m]!, module, weights);
        const optimum = optimumOf(adapter.modules[m]!, weights);
        expect([module.rank, errors.length]).toEqual([rank, rank + 1]);
        for (let k = 0; k < rank; k++) {
          const best = optimum.slice(k).reduce((sum, value) => sum + value ** 2, 0);
          expect(Math.abs(Math.sqrt(errors[k]! / best) - 1), `${module.name}, ${k}`).toBeLessThan(0.01);
          expect(Math.abs(module.singularValues[k]! / optimum[k]! - 1)).toBeLessThan(1e-4);
        }
        expect(errors[rank]! / errors[0]!).toBeLessThan(1e-6);
      });
    }
  },
);

restOnly(() =>
  test("rank 64 of the default model's shapes, and rank 256 of its largest shape: the same accuracy within the time limit", async () => {
    for (const [rank, targets] of [
      [64, FOUR_SHAPES],
      [256, ['down_proj']],
    ] as const) {
      const adapter = await made({ seed: rank, rank, targets, model: real });
      const start = performance.now();
      const ladder = buildAdapterLadder(adapter);
      console.log(`rank ${rank}, ${targets.length} modules: ${(performance.now() - start).toFixed(0)} ms`);
      ladder.modules.forEach((module, m) => {
        const errors = squaredErrors(adapter.modules[m]!, module);
        expect(errors[rank]! / errors[0]!).toBeLessThan(1e-6);
        // The reference takes ten seconds for rank 256.
        const optimum = rank === 64 ? optimumOf(adapter.modules[m]!) : Array.from(module.singularValues);
        for (let k = 0; k < rank; k++) {
          const best = optimum.slice(k).reduce((sum, value) => sum + value ** 2, 0);
          expect(Math.abs(Math.sqrt(errors[k]! / best) - 1), `${module.name}, ${k}`).toBeLessThan(0.01);
        }
      });
    }
  }),
);

test('the ladder reports its error in binary16', async () => {
  for (const [gain, limit] of [
    [0.5, 1e-6],
    [1e-9, 1],
  ] as const) {
    const adapter = await made({ seed: 21, rank: 8, gain }, decay);
    const { modules, halfError, warnings } = buildAdapterLadder(adapter);
    const errors = modules.map((module, i) => squaredErrors(adapter.modules[i]!, module));
    const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
    const measured = sum(errors.map((list) => list.at(-1)!)) / sum(errors.map((list) => list[0]!));
    console.log(`gain ${gain}: ${measured.toExponential(2)} lost, ${halfError.toExponential(2)} expected`);
    expect(measured).toBeLessThan(limit);
    expect(measured / halfError).toBeGreaterThan(0.8);
    expect(measured / halfError).toBeLessThan(1.25);
    expect(warnings).toEqual(halfError > 1e-6 ? [expect.stringContaining(WEIGHTS_FILE)] : []);
  }
});

test('the PEFT and GGUF files of an adapter give equal ladders', async () => {
  const adapter = tinyAdapter(tiny, { seed: 22, type: 'F16' });
  const peft = await readAdapter(peftSource(adapter), { config: tiny });
  const gguf = await readAdapter({ gguf: new BytesSource('a.gguf', ggufAdapter(adapter, tiny)) }, { config: tiny });
  expect(buildAdapterLadder(gguf).modules).toEqual(buildAdapterLadder(peft).modules);
});

test('factors at the limits of binary16 are rebalanced', async () => {
  const adapter = await made({ seed: 23 }, ({ modules }) => {
    for (const { a, b } of modules) {
      a.forEach((value, i) => (a[i] = value * 1e12));
      b.forEach((value, i) => (b[i] = value * 1e-12));
    }
  });
  buildAdapterLadder(adapter).modules.forEach((module, i) => {
    const errors = squaredErrors(adapter.modules[i]!, module);
    expect(errors.at(-1)! / errors[0]!).toBeLessThan(1e-6);
  });
});

test.each([1e12, 1e300])(
  "a delta too large for binary16 is refused with its tensor's name: alpha %d",
  async (alpha) => {
    const adapter = await made({ seed: 24, targets: ['up_proj'], alpha });
    await expectError(() => buildAdapterLadder(adapter), 'unsupported', {
      file: WEIGHTS_FILE,
      field: 'base_model.model.model.layers.0.mlp.up_proj.lora_B.weight',
      reason: /half precision/,
    });
  },
);

test.each([0, 1e-300, 5e-324, -1e-3])('zero, tiny and negative scales give finite factors: alpha %d', async (alpha) => {
  const { modules, halfError } = buildAdapterLadder(await made({ seed: 25, alpha }));
  expect(halfError).toBeGreaterThanOrEqual(0);
  for (const { rank, a, bTransposed, singularValues } of modules) {
    expect(rank).toBe(alpha === 0 ? 0 : alpha === 5e-324 ? rank : 4);
    expect([...a, ...bTransposed, ...singularValues].every((value) => Number.isFinite(value))).toBe(true);
    expect([...a, ...bTransposed].every((half) => Number.isFinite(halfToFloat(half)))).toBe(true);
  }
});

test('untrained adapters, and those of lower numerical rank, are truncated', async () => {
  const adapter = await made({ seed: 26, rank: 6 }, ({ modules }) => {
    modules[0]!.b.fill(0);
    const { a, inFeatures } = modules[1]!;
    a.copyWithin(0, inFeatures, 3 * inFeatures); // rows 1, 2, 2, 3, 4, 5
  });
  const [first, second, third] = buildAdapterLadder(adapter).modules;
  expect([first!.rank, second!.rank, third!.rank]).toEqual([0, 5, 6]);
  expect([first!.a.length, second!.a.length]).toEqual([0, 5 * second!.inFeatures]);
});

test('halves are rounded to the nearest, ties to even', () => {
  for (let half = 0; half < 0x7c00; half++) {
    const value = halfToFloat(half);
    const next = half + 1 < 0x7c00 ? halfToFloat(half + 1) : value;
    const middle = (value + next) / 2;
    const step = (next - value) / 8;
    for (const between of [value, middle, middle - step, middle + step]) {
      if (toHalf(between) === floatToHalf(between) && toHalf(-between) % 0x8000 === toHalf(between)) continue;
      expect.fail(`${between}: ${toHalf(between)}`);
    }
  }
  expect([toHalf(-1.5), toHalf(0)]).toEqual([0xbe00, 0]);
});
