import { expect, test } from 'vitest';
import { ISA_BARS, isMain, missesOf } from '../../tools/instruments/bars.ts';
import { FAMILIES, IsaCompiler } from '../../tools/instruments/isa.ts';
import { type IsaRow, surveyIsa } from '../../tools/instruments/isa-survey.ts';
import { FEATURE_SETS } from '../../tools/instruments/paper-gpu.ts';
import { dispatchesOf, type PhasedDispatch } from '../../tools/instruments/paper-model.ts';
import { SHAPES } from '../../tools/instruments/shapes.ts';
import { spirvOf } from '../../tools/instruments/spirv.ts';
import { ISA_EXCEPTIONS } from './exceptions.ts';

test('the compiler for other graphics cards reports spills, scratch memory, workgroup memory and waves', async () => {
  const kernel = (body: string): string => `
    @group(0) @binding(0) var<storage, read_write> y: array<u32>;
    @group(1) @binding(0) var<uniform> places: vec4u;
    var<workgroup> shared_words: array<u32, 256>;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { ${body} }`;
  const lean = kernel('y[i] = y[i + places.x] + 1u;');
  const scattered = kernel(
    'var kept: array<u32, 200>; for (var k = 0u; k < 200u; k++) { kept[y[k] % 200u] += k; } y[i] = kept[places.x % 200u];',
  );
  const sharing = kernel('shared_words[i] = y[i]; workgroupBarrier(); y[i] = shared_words[255u - i];');
  const compiler = new IsaCompiler();
  const [one, two, three] = await Promise.all(
    spirvOf([lean, scattered, sharing]).map((assembly) => compiler.compile(assembly, FAMILIES)),
  );
  compiler.close();
  expect(one).toMatchObject({
    navi31: { spilled: 0, scratch: 0, lds: 0, waves: 16, vmem: 2 },
    navi21: { spilled: 0, scratch: 0, lds: 0, waves: 16, vmem: 2 },
    renoir: { spilled: 0, scratch: 0, lds: 0, waves: 10, vmem: 2 },
  });
  for (const family of FAMILIES) {
    expect(two?.[family]?.scratch).toBeGreaterThanOrEqual(4 * 200);
    expect(three?.[family]?.lds).toBeGreaterThanOrEqual(4 * 256);
  }
  expect(() => spirvOf(['fn main() {']), 'a text that is not WGSL').toThrow('no SPIR-V');
});

test('a product of decode waits for its workgroup once beyond the zeroing of its memory, if the card has subgroups', async () => {
  const barriersOf = async (features: 'all' | 'no subgroups'): Promise<number[]> => {
    const all = await dispatchesOf({
      config: SHAPES['1B'],
      type: 'Q4_K',
      features: FEATURE_SETS[features],
      phases: ['decode'],
      promptTokens: 64,
    });
    const ofOneTile = ({ kernel, phase, bindings }: PhasedDispatch): boolean =>
      kernel === 'linear-shared' &&
      phase === 'decode' &&
      bindings.some(({ label }) => /^blk\.0\.(qkv|attn_output|ffn_gate_up)/.test(label));
    const texts = [...new Set(all.filter(ofOneTile).map(({ code }) => code))];
    const compiler = new IsaCompiler();
    const assemblies = await Promise.all(spirvOf(texts).map((one) => compiler.disassemble(one, 'navi31')));
    compiler.close();
    return assemblies.map((assembly) => assembly.split(/\bs_barrier\b/).length - 1);
  };
  const [shared, alone] = [await barriersOf('all'), await barriersOf('no subgroups')];
  expect(shared.length).toBeGreaterThan(0);
  expect(Math.max(...shared)).toBeLessThanOrEqual(2);
  expect(Math.min(...alone)).toBeGreaterThan(2);
});

/** Each kernel's worst figures. */
function worstOf(rows: readonly IsaRow[]): Map<string, IsaRow> {
  const worst = new Map<string, IsaRow>();
  for (const row of rows) {
    const key = `${row.kernel} on ${row.family}`;
    const known = worst.get(key) ?? row;
    const more = (of: 'spilled' | 'scratch'): number => Math.max(known[of], row[of]);
    worst.set(key, {
      ...known,
      spilled: more('spilled'),
      scratch: more('scratch'),
      waves: Math.min(known.waves, row.waves),
    });
  }
  return worst;
}

/** Without what differs only in bounds of loops over columns and in places of an adapter's factors. */
const formOf = (code: string): string => code.replace(/^const (BLOCKS|FIRST_LINEAR|LORA_\w+): .*$/gm, '');

test('linears and attention spill no registers, and a SIMD has enough waves', async () => {
  const phases = ['prefill', 'decode', 'two streams', 'page forms', 'adapters', 'encoder'] as const;
  // RDNA 3 has half as many registers again as RDNA 2.
  const shared = { families: ['navi21', 'renoir'], features: ['all'], phases, wants: isMain, formOf } as const;
  // The bars of RDNA 2 and of GCN 5 allow the same 64 registers, so that one card shows what a type takes.
  const ofType = { ...shared, families: ['navi21'], wants: (kernel: string) => kernel.startsWith('linear') } as const;
  const large = await surveyIsa({ ...shared, families: FAMILIES, shapes: ['1B'], types: ['Q4_K'] });
  const small = await surveyIsa({
    ...ofType,
    phases: ['prefill', 'decode', 'two streams', 'adapters'],
    shapes: ['135M'],
    types: ['Q8_0'],
  });
  // The types of few bits that need the most registers.
  const few = await surveyIsa({
    ...ofType,
    phases: ['prefill', 'decode'],
    shapes: ['1B'],
    types: ['Q2_K', 'TQ1_0', 'IQ3_XXS'],
  });
  // A shape whose sums share workgroup memory with inputs.
  const narrow = await surveyIsa({
    ...ofType,
    phases: ['decode'],
    shapes: ['135M'],
    types: ['Q4_1', 'Q5_0'],
  });
  // The heads whose quantized pages need the most registers.
  const coded = await surveyIsa({
    ...shared,
    wants: (kernel) => kernel === 'attention-decode',
    phases: ['page forms'],
    shapes: ['4B', 'gated attention'],
    types: ['Q4_K'],
  });
  expect(coded.length).toBeGreaterThan(0);
  const convolutions = await surveyIsa({
    ...shared,
    wants: (kernel) => kernel === 'short-conv',
    phases: ['prefill', 'decode'],
    shapes: ['convolution'],
    types: ['Q4_K'],
  });
  expect(convolutions.length).toBeGreaterThan(0);
  const wide = await surveyIsa({
    ...shared,
    wants: (kernel) => kernel.startsWith('attention-texts'),
    phases: ['encoder'],
    shapes: ['head 256'],
    types: ['Q8_0'],
  });
  expect(wide.length).toBeGreaterThan(0);
  const ofDeltaNets = ['causal-conv', 'delta-rule', 'gated-norm'];
  const deltaNets = await surveyIsa({
    ...shared,
    wants: (kernel) => ofDeltaNets.includes(kernel),
    phases: ['prefill', 'decode'],
    shapes: ['delta net'],
    types: ['Q4_K'],
  });
  expect([...new Set(deltaNets.map(({ kernel }) => kernel))].sort()).toEqual([...ofDeltaNets].sort());
  const experts = await surveyIsa({ ...shared, phases: ['prefill', 'decode'], shapes: ['experts'], types: ['Q4_K'] });
  expect(new Set(experts.map(({ kernel }) => kernel))).toContain('route-experts');
  const ofLayerInputs = /^(attention|take-input|cap-logits)/;
  const layerInputs = await surveyIsa({
    ...shared,
    wants: (kernel) => ofLayerInputs.test(kernel),
    phases: ['prefill', 'decode', 'sampling'],
    shapes: ['layer inputs'],
    types: ['Q4_K'],
  });
  for (const name of ['attention-decode', 'attention-prefill', 'take-input', 'cap-logits'])
    expect(layerInputs.some(({ kernel }) => kernel === name)).toBe(true);
  const worst = worstOf([
    ...large,
    ...small,
    ...few,
    ...narrow,
    ...coded,
    ...convolutions,
    ...wide,
    ...deltaNets,
    ...experts,
    ...layerInputs,
  ]);
  console.info(
    [...worst]
      .map(
        ([key, { spilled, scratch, waves }]) =>
          `${key}: ${spilled} spilled, ${scratch} bytes of scratch, ${waves} waves`,
      )
      .join('\n'),
  );
  const wrong: string[] = [];
  for (const [key, row] of worst) {
    const exception = ISA_EXCEPTIONS[row.kernel]?.[row.family];
    const misses = missesOf(row, exception ?? ISA_BARS[row.family]);
    if (misses.length > 0) wrong.push(`${key}: ${misses.join(', ')}`);
    if (exception && missesOf(row, ISA_BARS[row.family]).length === 0)
      wrong.push(`${key} meets the bars and needs no exception`);
  }
  for (const kernel of Object.keys(ISA_EXCEPTIONS))
    if (![...worst.values()].some((row) => row.kernel === kernel))
      wrong.push(`${kernel}: no kernel has this exception`);
  expect(wrong).toEqual([]);
});
