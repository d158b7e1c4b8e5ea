import { expect, test } from 'vitest';
import { napping } from '../../../cli/node-gpu.ts';
import { type Device, openDevice } from '../../../src/gpu/device.ts';
import type { DeviceClass } from '../../../src/gpu/device-variant.ts';
import { Recorder } from '../../../src/gpu/recorder.ts';
import { type Check, rightVariant } from '../../../src/gpu/self-check.ts';
import { checkUpload, kernelChecks } from '../../../src/models/checks/kernel-checks.ts';
import { pageChecks } from '../../../src/models/checks/page-checks.ts';
import { adapterChecks } from '../../../src/session/checks/adapter-checks.ts';
import { planModel } from '../../../src/session/model-plan.ts';
import { sourceOf } from '../../support/engine-under-test.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import { miscompiling } from '../../support/gpu/miscompiling.ts';
import { tinyModel, type TinyModelOptions } from '../../support/models/tiny-model.ts';

const LLAMA = tinyModel({ architecture: 'llama', type: 'Q4_1', embeddingType: 'Q8_0', seed: 81, contextLength: 128, numLayers: 1 });
const others = (architecture: TinyModelOptions['architecture'], type: TinyModelOptions['type']) =>
  tinyModel({ architecture, type, seed: 82, contextLength: 128, numLayers: 1 });
const MODELS = { llama: LLAMA, qwen2: others('qwen2', 'Q5_K'), qwen3: others('qwen3', 'Q6_K'), granite: others('granite', 'Q4_0'), gemma3: others('gemma3', 'Q5_1') };

interface Broken {
  library: string;
  from: RegExp;
  to: string;
  /** What the error names. */
  named: string;
  on?: DeviceClass;
  model?: keyof typeof MODELS;
}

const broken = (library: string, from: RegExp, to: string, named: string, more: Pick<Broken, 'on' | 'model'> = {}): Broken => ({ library, from, to, named, ...more });
const onGpu = { on: 'gpu' } as const;

const LOADED: Broken[] = [
  broken('rotated-value', /countOneBits\(i & k\)/, 'countOneBits(i ^ k)', 'store-kv'),
  broken('reduce-sum/single', /return value; \}/, 'return value * 0.9; }', 'rms-norm'),
  broken('reduce-sum/workgroup', /i < REDUCE_COLUMNS; i\+\+/, 'i + 1u < REDUCE_COLUMNS; i++', 'rms-norm', onGpu),
  broken('codes/8bit', /8388608\.0, 0\.0\);/, '0.0, 0.0);', 'linear-decode Q8_0'),
  broken('nibbles', /nibbles4\(w\.w >> 16u\)/, 'nibbles4(w.w)', 'linear-decode Q4_1'),
  broken('scales/affine', /dm\.xxy/, 'dm.xxx', 'linear-decode Q4_1'),
  broken('block', /dot\(x\.h, y\.h\)\);/, 'dot(x.h, x.h));', 'linear-decode'),
  broken('input/normed', /return x\[i\] \* norm_weight\[i % \(BLOCKS \* 8u\)\];/, 'return x[i] * norm_weight[i];', 'linear-decode'),
  broken('bias/vector', /return bias_values\[row\];/, 'return bias_values[row & ~1u];', 'linear-decode', { model: 'qwen2' }),
  broken('activation/silu', /exp\(min\(-x, 88\.0\)\)/, 'exp(x)', 'linear-decode'),
  broken('activation/gelu', /\(1\.0 \+ tanh/, '(1.0 - tanh', 'linear-decode', { model: 'gemma3' }),
  broken('rms-norm that adds', /if \(ACCUMULATE\) \{ value \+= y/, 'if (false) { value += y', 'rms-norm', { model: 'gemma3' }),
  broken('window/latest', /max\(position, WINDOW - 1u\) - \(WINDOW - 1u\);/, 'max(position, WINDOW) - WINDOW;', 'attention', { model: 'gemma3' }),
  broken('window/latest of tiles', /return queries - i32\(position\) < .*;/, 'return vec4<bool>(true);', 'attention', { ...onGpu, model: 'gemma3' }),
  broken('weight-block', /w\.h \* high \+ offset/, 'w.h * high', 'linear-prefill'),
  broken('tile-product', /sums\[#r\] \+= part#r|sums\[0\] \+= part0;/, 'sums[0] = part0;', 'linear-prefill', onGpu),
  broken('tile-inputs', /let last = \(params\.tokens - 1u\)/, 'let last = (params.tokens - 2u)', 'linear-prefill', onGpu),
  broken('silu-mul', /let up = x\[\(id\.y \* 2u \+ 1u\)/, 'let up = x[(id.y * 2u)', 'silu-mul'),
  broken('embed', /tokens\[batch_table\[token\]\.x\]/, 'tokens[token]', 'embed'),
  broken('stored-half', /pack_half4\(clamp\(v,/, 'pack_half4(clamp(v.yxzw,', 'store-kv'),
  broken('store-kv', /a \* sine \+ b \* cosine/, 'b * cosine', 'store-kv'),
  broken('qk-norm/heads', /return key_norm_weight\[i\];/, 'return query_norm_weight[i];', 'store-kv', { model: 'qwen3' }),
  broken('qk-norm/heads of queries', /return query_norm_weight\[i\];/, 'return key_norm_weight[i];', 'attention', { model: 'qwen3' }),
  broken('page-attention', /let query = Query\(start, position - page\.z\);/, 'let query = Query(start, position);', 'attention'),
  broken('page-half', /score\[0\] \+= inner\(queries\.q0_1, k1\);/, '', 'attention'),
  broken('page-scores', /let cosine = rope\[distance \*/, 'let cosine = rope[', 'attention', onGpu),
  broken('page-units', /NUM_KV_HEADS \+ kv_head, j\) \+ i\]\)/, 'NUM_KV_HEADS, j) + i])', 'attention', onGpu),
  broken('store-token/own', /kv\[key \+ HALF4 \+ i\] = stored_half\(a \* sine \+ b \* cosine\);/, 'kv[key + HALF4 + i] = stored_half(b);', 'attention', onGpu),
  broken('attention-merge', /output \+= weight \* partial_outputs/, 'output += partial_outputs', 'attention'),
  ...(['nibbles', 'bytes'] as const).map((unit) => broken(`repack-unit/${unit}`, /repack_scales\(i, at\);/, 'repack_scales(i + 2u, at);', 'repack', onGpu)),
  broken('repack-unit/super', /fn source_of\(i: u32\) -> u32 \{/, '$& if (i == 5u) { return 4u; }', 'repack Q5_K', { ...onGpu, model: 'qwen2' }),
  broken('repack-unit/super6', /fn source_of\(i: u32\) -> u32 \{/, '$& if (i == 5u) { return 4u; }', 'repack Q6_K', { ...onGpu, model: 'qwen3' }),
  broken('raw-words', /2u \* \(place - half\) \+ 1u, 2u \* place/, '2u * (place - half), 2u * place', 'repack', onGpu),
];

/** Of what is checked when the first adapter comes. */
const ADAPTED: Broken[] = [
  broken('lora-half', /unpack2x16float\(packed\.y\)\); \}/, 'unpack2x16float(packed.x)); }', 'with adapters'),
  broken('lora-linear', /sum \+= low_component\(at, k\)/, 'sum += low_component(at, k & ~1u)', 'linear-decode'),
  broken('lora-table', /return \(factors\.ranks\[level \/ 2u\]/, 'return (factors.ranks[0]', 'with adapters', {}),
  broken('lora-low/blocks', /select\(vec2f\(row\.weight_hi\), vec2f\(row\.weight_lo\), below\)/, 'row.weight_lo', 'linear-decode'),
  broken('lora-low/vectors', /total\[local\] \* select\(row\.weight_hi, row\.weight_lo, .*\);/, 'total[local] * row.weight_lo);', 'linear-decode', onGpu),
  broken('rides/low', /token_work;$/m, 'token_work + 1u;', 'linear-decode'),
  broken('lora-delta', /x\[i\] \+ SCALE \* lora_add/, 'x[i] + lora_add', 'linear-decode', { model: 'granite' }),
  broken('lora-prefill', /if \(start \+ WORKGROUP < rank\)/, 'if (false)', 'linear-prefill'),
  broken('lora-tile/columns', /lora_column\(b \+ \(k \+ 3u\) \* step, is_own\)/, 'lora_column(b + k * step, is_own)', 'linear-prefill'),
  broken('low-columns', /return Columns\(all_tokens\(h\.x\), all_tokens\(h\.y\)\);/, 'return Columns(all_tokens(h.x), all_tokens(h.x));', 'linear-prefill'),
  broken('lora-tiled', /component < rank_at\(factors, row\.level_lo\)\)\);/, 'true));', 'linear-prefill', onGpu),
  broken('tile-lora/columns', /if \(k >= rank\) \{ return 0\.0; \}/, '', 'linear-prefill', onGpu),
];

/** Of what is checked before a page takes another form. */
const PAGED: Broken[] = [
  broken('quantize-page', /<< vec4u\(0u, 4u, 0u, 4u\);/, '<< vec4u(4u, 0u, 0u, 4u);', 'in q4'),
  broken('quantize-page of an upper bit', /\(bits_of\(bits, wider, n\) - 1u\)\) & LOWEST_BITS/, '(bits_of(bits, wider, n) - 2u)) & LOWEST_BITS', 'in q3'),
  broken('quantize-page of an order', /order\[i\] \| \(rank_of\(i\) << 8u\)/, 'i | (i << 8u)', 'in q4'),
  broken('quantize-page of two bits', /<< vec4u\(0u, 2u, 4u, 6u\);/, '<< vec4u(0u, 2u, 4u, 0u);', 'in q4'),
  broken('page-quantized', /quad_of\(vec4u\(kv\[row \+ 2u \* n\], kv\[row \+ 2u \* n \+ 1u\]\)\)/, 'quad_of(vec4u(kv[row + 2u * n], kv[row + 2u * n]))', 'in q8'),
  broken('page-quantized of scales', /let weights = scores\[j\] \* \(f32\(code\) \* scale\);/, 'let weights = scores[j] * scale;', 'in q8'),
  broken('page-layout', /fn row_of\(bits: u32\) -> u32 \{/, '$& if (bits == 2u) { return 1u; }', 'in k3v2', onGpu),
  broken('page-units of codes', /\* steps\.minimum \+ steps\.lowest\);/, '* steps.minimum);', 'in q8', onGpu),
  broken('probe-page', /by#n = plus|let weight = select\(-1\.0, 1\.0, \(t & 1u\) == 1u\) \*/, 'let weight = select(-1.0, 0.5, (t & 1u) == 1u) *', 'probe-page'),
  broken('probe-page-shared', /let by = moved \/ whole - y;/, 'let by = moved - y;', 'probe-page', onGpu),
];

type ChecksOf = (device: Device, model: keyof typeof MODELS) => Promise<Check[]>;

const loaded: ChecksOf = async (device, model) => {
  const { config, tensors } = await planModel(device, [sourceOf(MODELS[model])], {});
  const groups = await kernelChecks(device, new Recorder(device), config, tensors);
  return groups.flatMap(({ checks }) => checks);
};

const adapted: ChecksOf = async (device, model) => {
  const { config, tensors } = await planModel(device, [sourceOf(MODELS[model])], {});
  const { decode, prefill } = await adapterChecks(device, checkUpload(device, new Recorder(device)), config, tensors);
  return [...prefill, ...decode];
};

/** Holds the class's own variant against what is right. */
async function check(checksOf: ChecksOf, gpu: GPU, { on = 'cpu', model = 'llama' }: Pick<Broken, 'on' | 'model'>): Promise<void> {
  const device = await openDevice(gpu, { deviceClass: on, wait: napping });
  try {
    await rightVariant(device, new Recorder(device), [{ candidates: [], checks: await checksOf(device, model) }]);
  } finally {
    device.close();
  }
}

const paged: ChecksOf = async (device, model) => pageChecks(device, (await planModel(device, [sourceOf(MODELS[model])], {})).config);

const ALL = [
  ...LOADED.map((each) => ({ ...each, checksOf: loaded })),
  ...ADAPTED.map((each) => ({ ...each, checksOf: adapted })),
  ...PAGED.map((each) => ({ ...each, checksOf: paged })),
];

test.each((['cpu', 'gpu'] as const).flatMap((on) => (Object.keys(MODELS) as (keyof typeof MODELS)[]).map((model) => ({ on, model }))))(
  'what is right counts as right, $model on class $on',
  async (place) => {
    for (const checksOf of [loaded, adapted, paged]) await check(checksOf, lastingGpu(), place);
  },
);

test.each(ALL)('$library computed wrong is found', async ({ checksOf, from, to, named, on, model }) => {
  const { gpu, changed } = miscompiling(from, to);
  await expect(check(checksOf, gpu, { on, model })).rejects.toMatchObject({ code: 'wrong_results', detail: { field: expect.stringContaining(named) as string } });
  expect(changed()).toBeGreaterThan(0);
});
