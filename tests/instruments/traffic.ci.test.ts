import { afterAll, beforeAll, expect, test } from 'vitest';
import { isMain, SECTORS_BAR, wastefulLoads } from '../../tools/instruments/bars.ts';
import { dispatchesOf, type PhasedDispatch } from '../../tools/instruments/paper-model.ts';
import { FEATURE_SETS, type NotedDispatch } from '../../tools/instruments/paper-gpu.ts';
import { type ShapeName, SHAPES } from '../../tools/instruments/shapes.ts';
import { tracedText } from '../../tools/instruments/traced-text.ts';
import { Tracer } from '../../tools/instruments/tracer.ts';
import { type Traffic, trafficOf } from '../../tools/instruments/traffic.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { SECTOR_EXCEPTIONS } from './exceptions.ts';

let tracer: Tracer;
beforeAll(async () => void (tracer = await Tracer.open()));
afterAll(() => tracer.close());

const KNOWN = `
@group(0) @binding(0) var<storage, read> table: array<vec2u>;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
struct Params { rows: u32 }
@group(1) @binding(0) var<uniform> params: Params;
// Not an access: x[0].
fn row(i: u32) -> f32 { let v = x[2u * table[i & 1u].y + i]; return v.x + x[i].w; }
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) all: vec3u) {
  if (id.x % 64u > 47u || all.x != 4u) { return; }
  y[id.x] = row(id.x);
  for (var k = 0u; k < params.rows; k++) { y[8u * id.x] += 1.0; }
}`;

test('a trace records every access of a workgroup; the traffic counts its sectors, lanes and reuse', async () => {
  const binding = (label: string, size: number, words?: readonly number[]) => ({
    label,
    size,
    contents: words && new Uint8Array(Uint32Array.from(words).buffer),
  });
  const dispatch: NotedDispatch = {
    kernel: 'known',
    code: KNOWN,
    bindings: [binding('a table', 16, [0, 5, 0, 6]), binding('inputs', 4096), binding('outputs', 4096)],
    params: new Uint8Array(Uint32Array.of(3).buffer),
    groups: [4, 1, 1],
  };
  const traffic = await trafficOf(tracer, dispatch);
  const of = (label: string, within: string, kind: Traffic['kind'] = 'load') =>
    traffic.filter((one) => one.label === label && one.within === within && one.kind === kind);
  // In each of 4 workgroups 48 lanes are active: the first 32, and 16 of the others.
  expect(of('a table', 'row')).toMatchObject([{ binding: 'table', bytes: 192 * 4, sectors: 1, lanes: 0.75 }]);
  // Every lane reads the same word of one of two entries.
  expect(of('a table', 'row')[0]?.distinct).toBe(4 * 2 * 4);
  // Each lane reads a vec4f, 10 or 12 after its index, and the last component of another.
  expect(of('inputs', 'row')[0]?.bytes).toBe(192 * (16 + 4));
  expect(of('outputs', 'main', 'store')).toMatchObject([
    { bytes: 192 * 4, reuse: 1, sectors: 1, fetched: 4 * 6 * 32, lanes: 0.75 },
  ]);
  expect(of('outputs', 'main', 'update')).toMatchObject([
    { bytes: 3 * 192 * 4, reuse: 3, sectors: 8, fetched: 3 * 192 * 32, lanes: 0.75 },
  ]);
});

test('a text that cannot be traced throws', () => {
  const kernel = (body: string) =>
    `@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(1) fn main() { ${body} }`;
  expect(() => tracedText(kernel('let all = &y; (*all)[1] = 0.0;'))).toThrow('pointer');
  expect(() => tracedText(kernel('let one = &y[2]; *one = 0.0;'))).toThrow('pointer');
  expect(() => tracedText(kernel('var y: array<u32, 4>; y[2] = 0u;'))).toThrow('another');
});

interface Case {
  shape: ShapeName;
  type: GgmlType;
  phase: 'prefill' | 'decode';
  promptTokens: number;
  /** Default: all that take much of a model's time. */
  kernel?: string;
}

/** Linears and attention of a model with many columns, and of one whose columns leave lanes idle. */
const CASES: Case[] = [
  { shape: '1B', type: 'Q4_K', phase: 'prefill', promptTokens: 128 },
  { shape: '1B', type: 'Q4_K', phase: 'decode', promptTokens: 128 },
  { shape: '135M', type: 'Q8_0', phase: 'decode', promptTokens: 128 },
  { shape: 'convolution', type: 'Q4_K', phase: 'prefill', promptTokens: 128, kernel: 'short-conv' },
];

/** One dispatch per kernel and set of bindings; the others differ only in sizes. */
async function mainDispatches({ shape, type, phase, promptTokens, kernel }: Case): Promise<PhasedDispatch[]> {
  const all = await dispatchesOf({
    config: SHAPES[shape],
    type,
    features: FEATURE_SETS.all,
    phases: [phase],
    promptTokens,
  });
  const isWanted = (name: string): boolean => (kernel === undefined ? isMain(name) : name === kernel);
  const formOf = ({ kernel, code }: PhasedDispatch): string =>
    `${kernel} ${(code.match(/var<storage.*/g) ?? []).join()}`;
  return [
    ...new Map(
      all.filter((one) => one.phase === phase && isWanted(one.kernel)).map((one) => [formOf(one), one]),
    ).values(),
  ];
}

test('loads of linears and attention fetch few sectors beyond those they need', async () => {
  const worst = new Map<string, number>();
  for (const one of CASES) {
    for (const dispatch of await mainDispatches(one)) {
      for (const { binding, within, sectors } of wastefulLoads(await trafficOf(tracer, dispatch, 2))) {
        const key = `${dispatch.kernel}: ${binding} (${within})`;
        worst.set(key, Math.max(sectors, worst.get(key) ?? 0));
      }
    }
  }
  console.info([...worst].map(([key, sectors]) => `${key}: ${sectors.toFixed(2)} of the sectors needed`).join('\n'));
  const worse = [...worst].filter(([key, sectors]) => sectors > (SECTOR_EXCEPTIONS[key] ?? SECTORS_BAR));
  expect(worse).toEqual([]);
  const needless = Object.keys(SECTOR_EXCEPTIONS).filter((key) => !worst.has(key));
  expect(needless, 'these meet the bar and need no exception').toEqual([]);
});

test.each(['Q4_0', 'Q5_K', 'Q6_K', 'Q8_0'] as const)(
  'a prefill fetches few more sectors of %s quants and scales than it needs',
  async (type) => {
    const [product] = await mainDispatches({ shape: '1B', type, phase: 'prefill', promptTokens: 64 });
    if (!product) throw new Error('no product');
    const weights = (await trafficOf(tracer, product, 2)).filter(
      ({ kind, binding }) => kind === 'load' && binding.startsWith('weight'),
    );
    const fetched = weights.reduce((sum, one) => sum + one.fetched, 0);
    const needed = weights.reduce((sum, one) => sum + one.fetched / one.sectors, 0);
    expect(fetched / needed).toBeLessThanOrEqual(SECTORS_BAR);
    // Kernels keep short runs of scales, so that they fetch few sectors of a workgroup twice.
    const once = weights.reduce((sum, one) => sum + one.fetchedOnce, 0);
    expect(fetched / once).toBeLessThanOrEqual(SECTORS_BAR);
  },
);
