import { expect, test } from 'vitest';
import { OPTIONAL_FEATURES, VARIANTS } from '../../src/gpu/device.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { DEFAULT_LIMITS } from '../../tools/instruments/paper-gpu.ts';
import { ALL_PHASES, dispatchesOf, fits } from '../../tools/instruments/paper-model.ts';
import { SHAPE_NAMES, type ShapeName, SHAPES } from '../../tools/instruments/shapes.ts';
import { workgroupOf } from '../../tools/instruments/workgroup.ts';
import { byTier } from '../support/tier.ts';

/** Types with one, two and three weight buffers, one of them with twice as many parts. */
const TYPES: readonly GgmlType[] = ['F16', 'Q4_K', 'Q5_0', 'Q6_K', 'TQ1_0'];
const CLASSES = Object.keys(VARIANTS) as (keyof typeof VARIANTS)[];

/** Requests of a model beyond WebGPU's default limits, with adapters, page forms, drafts and an encoder of its size. */
async function asked(shape: ShapeName, type: GgmlType): Promise<string[]> {
  const over = new Set<string>();
  for (const deviceClass of CLASSES) {
    const gpu = { limits: DEFAULT_LIMITS, deviceClass, onOver: (what: string) => void over.add(what) };
    await dispatchesOf({ config: SHAPES[shape], type, features: OPTIONAL_FEATURES, phases: ALL_PHASES, gpu });
  }
  return [...over];
}

test.each<ShapeName>(byTier(['biases'], SHAPE_NAMES))(
  'a model stays within the default limits of WebGPU: %s',
  async (shape) => {
    const fitting = TYPES.filter((type) => fits(SHAPES[shape], type));
    // The type of the largest bindings, and of the fitting ones that with the most buffers.
    const few = shape === '1B' ? fitting : (['F16', fitting.includes('Q6_K') ? 'Q6_K' : 'Q5_0'] as const);
    for (const type of byTier(fitting.slice(-1), few)) expect(await asked(shape, type), type).toEqual([]);
  },
);

test('requests over a limit are reported', async () => {
  const over: string[] = [];
  const limits = {
    ...DEFAULT_LIMITS,
    maxStorageBuffersPerShaderStage: 4,
    maxComputeWorkgroupStorageSize: 8192,
    maxComputeInvocationsPerWorkgroup: 128,
    maxStorageBufferBindingSize: 2 ** 20,
  };
  const config = SHAPES['135M'];
  const gpu = { limits, onOver: (what: string) => void over.push(what) };
  await dispatchesOf({ config, type: 'Q8_0', features: [], phases: ['decode'], gpu });
  expect(over).toContain('linear-shared: maxStorageBuffersPerShaderStage is 4, but 5 are needed');
  expect(over).toContain('linear-tiled: maxComputeInvocationsPerWorkgroup is 128, but 256 are needed');
  expect(over).toContainEqual(expect.stringMatching(/^linear-tiled: maxComputeWorkgroupStorageSize is 8192, but/));
  expect(over).toContainEqual(expect.stringMatching(/^\S+: \S+: maxStorageBufferBindingSize is 1048576, but/));
});

test('workgroup memory is the size of the variables in WGSL', () => {
  const code = `
const LANES: u32 = 96u; // const LANES: u32 = 1u;
const PARTS: u32 = LANES / 7u % 5u;
alias Part = vec3f;
struct Sum { low: f32, high: vec2f, count: u32 }
var<workgroup> parts: array<Part, max(PARTS, 2u)>;
var<workgroup> sums: array<Sum, select(4u, 6u, PARTS == 3u && LANES > 95u)>;
var<workgroup> counts: array<atomic<u32>, (LANES + 1u) / 32u>;
@compute @workgroup_size(LANES / 2u, 2u)
fn main() {}`;
  // 3 × 16; 6 × 24 since a vec2f begins at a multiple of 8; 3 × 4, which take 16.
  expect(workgroupOf(code)).toEqual({ size: [48, 2, 1], bytes: 3 * 16 + 6 * 24 + 16 });
  expect(() => workgroupOf(code.replace('LANES / 7u', 'pow(LANES)'))).toThrow('pow');
});
