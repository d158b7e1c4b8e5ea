import { afterAll, expect, test } from 'vitest';
import { napping } from '../../../tools/instruments/node-gpu.ts';
import { type Device, type DeviceClass, openDevice } from '../../../src/gpu/device.ts';
import { Recorder } from '../../../src/gpu/recorder.ts';
import { type Check, rightVariant } from '../../../src/gpu/self-check.ts';
import { checkUpload, kernelChecks } from '../../../src/models/checks/kernel-checks.ts';
import { pageChecks } from '../../../src/models/checks/page-checks.ts';
import { adapterChecks } from '../../../src/session/checks/adapter-checks.ts';
import { plainAdapterChecks } from '../../../src/session/checks/plain-adapter-checks.ts';
import { samplerChecks } from '../../../src/session/checks/sampler-checks.ts';
import { planModel } from '../../../src/session/model-plan.ts';
import { sourceOf } from '../../support/engine-under-test.ts';
import { lastingGpu } from '../../support/gpu/lasting-gpu.ts';
import { miscompiling } from '../../support/gpu/miscompiling.ts';
import { tinyModel, type TinyModelOptions } from '../../support/models/tiny-model.ts';

const LLAMA = tinyModel({
  architecture: 'llama',
  type: 'Q4_1',
  embeddingType: 'Q8_0',
  seed: 81,
  contextLength: 128,
  numLayers: 1,
});
const others = (architecture: TinyModelOptions['architecture'], type: TinyModelOptions['type']) =>
  tinyModel({ architecture, type, seed: 82, contextLength: 128, numLayers: 1 });
/** One matrix in each type of few bits. */
const FEW_BITS = tinyModel({
  ...{ architecture: 'llama', type: 'TQ1_0', embeddingType: 'IQ4_NL', seed: 83, contextLength: 128, numLayers: 3 },
  types: {
    'blk.0.attn_q': 'Q2_K',
    'blk.0.attn_k': 'Q3_K',
    'blk.0.attn_v': 'MXFP4',
    'blk.1.attn_q': 'IQ4_XS',
    'blk.1.attn_k': 'Q2_0',
    ffn_gate: 'Q1_0',
    ffn_up: 'TQ2_0',
    'blk.0.ffn_down': 'Q1_0',
    'blk.1.ffn_down': 'Q3_K',
    ffn_down: 'IQ3_XXS',
  },
});
const MODELS = {
  few: FEW_BITS,
  llama: LLAMA,
  qwen2: others('qwen2', 'Q5_K'),
  qwen3: others('qwen3', 'Q6_K'),
  granite: others('granite', 'Q4_0'),
  gemma3: others('gemma3', 'Q5_1'),
  lfm2: tinyModel({ architecture: 'lfm2', type: 'Q4_0', seed: 84, contextLength: 128, numLayers: 2 }),
  qwen35: tinyModel({
    architecture: 'qwen35',
    type: 'Q8_0',
    seed: 85,
    contextLength: 128,
    numLayers: 2,
    attending: [1],
  }),
  qwen3moe: tinyModel({ architecture: 'qwen3moe', type: 'Q4_0', seed: 87, contextLength: 128, numLayers: 1 }),
  olmoe: tinyModel({ architecture: 'olmoe', type: 'Q4_0', seed: 88, contextLength: 128, numLayers: 1 }),
  lfm2moe: tinyModel({ architecture: 'lfm2moe', type: 'Q4_0', seed: 86, contextLength: 128, numLayers: 2 }),
  gemma4: tinyModel({ architecture: 'gemma4', type: 'Q4_0', seed: 89, contextLength: 128, numLayers: 6 }),
};

/** Device and model on which a kernel is checked. */
interface Place {
  on?: DeviceClass;
  /** Subgroup size that the device reports, without operations across subgroups. */
  subgroupsOf?: 1 | 8;
  /** Prefill rounds its inputs. */
  roundsInputs?: boolean;
  model?: keyof typeof MODELS;
}

interface Broken extends Place {
  library: string;
  from: RegExp;
  to: string;
  /** Name in the error. */
  named: string;
}

const broken = (library: string, from: RegExp, to: string, named: string, more: Place = {}): Broken => ({
  library,
  from,
  to,
  named,
  ...more,
});
const onGpu = { on: 'gpu' } as const;
const hidden = { subgroupsOf: 1 } as const;
/** An invocation computes several pairs of rows only in subgroups of eight. */
const inPairs = { subgroupsOf: 8 } as const;
const rounding = { ...onGpu, roundsInputs: true } as const;
const few = { model: 'few' } as const;
const fewOnGpu = { ...few, ...onGpu } as const;

const LOADED: Broken[] = [
  broken('rotated-value', /countOneBits\(i & k\)/, 'countOneBits(i ^ k)', 'store-kv'),
  broken('reduce-sum/single', /return value; \}/, 'return value * 0.9; }', 'rms-norm'),
  broken('reduce-sum/workgroup', /i < REDUCE_COLUMNS; i\+\+/, 'i + 1u < REDUCE_COLUMNS; i++', 'rms-norm', onGpu),
  broken('decode-sums/subgroups', /sums \+= subgroupShuffleXor\(sums, 2u\);/, '', 'linear-decode Q4_1', onGpu),
  broken(
    'packed-words/nibbles',
    /vec2u\(0u, 4u\)\) & vec2u/,
    'vec2u(4u, 0u)) & vec2u',
    'linear-prefill Q4_1',
    rounding,
  ),
  broken('packed-words/bytes', /\^ vec2u\(0x00808080u\)/, '', 'linear-prefill Q8_0', rounding),
  broken('store-product', /sum \* params\.scale \+ bias/, 'sum + bias', 'linear-prefill Q4_1', rounding),
  broken('codes/8bit', /8388608\.0, 0\.0\);/, '0.0, 0.0);', 'linear-decode Q8_0'),
  broken('nibbles', /nibbles4\(w\.w >> 16u\)/, 'nibbles4(w.w)', 'linear-decode Q4_1'),
  broken('scales/affine', /dm\.xxy/, 'dm.xxx', 'linear-decode Q4_1'),
  broken('block', /dot\(x\.h, y\.h\)\);/, 'dot(x.h, x.h));', 'linear-decode'),
  broken(
    'input/normed',
    /return x\[i\] \* norm_weight\[i % \(BLOCKS \* 8u\)\];/,
    'return x[i] * norm_weight[i];',
    'linear-decode',
  ),
  broken('bias/behind-norm', /\[\(BIAS_START \+ row\) % 4u\]/, '[row & 2u]', 'linear-decode', { model: 'qwen2' }),
  broken('bias/vector', /return bias_values\[row\];/, 'return bias_values[row & ~1u];', 'linear-prefill', {
    model: 'qwen2',
  }),
  broken('activation/silu', /exp\(min\(-x, 88\.0\)\)/, 'exp(x)', 'linear-decode'),
  broken('activation/gelu', /\(1\.0 \+ tanh/, '(1.0 - tanh', 'linear-decode', { model: 'gemma3' }),
  broken('rms-norm that adds', /if \(ACCUMULATE\) \{ value \+= y/, 'if (false) { value += y', 'rms-norm', {
    model: 'gemma3',
  }),
  broken('rms-norm that scales', /= value \* params\.scale;/, '= value;', 'rms-norm'),
  broken(
    'window/latest',
    /max\(position, WINDOW - 1u\) - \(WINDOW - 1u\);/,
    'max(position, WINDOW) - WINDOW;',
    'attention',
    { model: 'gemma3' },
  ),
  broken('window/latest of tiles', /return queries - i32\(position\) < .*;/, 'return vec4<bool>(true);', 'attention', {
    ...onGpu,
    model: 'gemma3',
  }),
  broken('weight-block', /w\.h \* high \+ scale\.w/, 'w.h * high', 'linear-prefill'),
  broken('tile-product', /sums\[#r\] \+= part#r|sums\[0\] \+= part0;/, 'sums[0] = part0;', 'linear-prefill', onGpu),
  broken('linear-tiled of runs', /round % RUN_ROUNDS == 0u/, 'round == 0u', 'linear-prefill Q8_0', onGpu),
  broken('scales/symmetric-runs', /\(i \/ \(2u \* SCALE_SPAN\)\) % RUN_WORDS/, '0u', 'linear-prefill Q8_0', onGpu),
  broken(
    'scales/affine-runs',
    /\(words\.x, words\.y, \(i & 2u\)/,
    '(words.x, words.y, (i & 4u)',
    'linear-prefill Q4_1',
    onGpu,
  ),
  broken('scales/super-runs', /8u \* \(i & 2u\)/, '16u * (i & 1u)', 'linear-prefill Q5_K', {
    ...onGpu,
    model: 'qwen2',
  }),
  broken('codes/5bit-runs', /before\.later, 0u/, '0u, 0u', 'linear-prefill Q5_K', { ...onGpu, model: 'qwen2' }),
  broken('five-word-runs', /\(own\.y << 16u\)/, '(own.x << 16u)', 'linear-prefill Q6_K', { ...onGpu, model: 'qwen3' }),
  broken('scales/super6-runs', /quad\.zw, \(i & 4u\) != 0u/, 'quad.zw, (i & 1u) != 0u', 'linear-prefill Q6_K', {
    ...onGpu,
    model: 'qwen3',
  }),
  broken(
    'tile-inputs',
    /let last = \(params\.tokens - 1u\)/,
    'let last = (params.tokens - 2u)',
    'linear-prefill',
    onGpu,
  ),
  broken('gated-activation', /let up = x\[\(id\.y \* 2u \+ 1u\)/, 'let up = x[(id.y * 2u)', 'gated-activation'),
  broken('short-conv of its batch', /return taken\(t - back, column\);/, 'return taken(t, column);', 'short-conv', {
    model: 'lfm2',
  }),
  broken('short-conv of a page', /position \/ PAGE_TOKENS\]/, 'entry.y / PAGE_TOKENS]', 'short-conv', {
    model: 'lfm2',
  }),
  broken('short-conv of another text', /other\.z == entry\.z && /, '', 'short-conv', { model: 'lfm2' }),
  broken('causal-conv of its batch', /if \(t >= 0\)/, 'if (t > 0)', 'delta-rule', { model: 'qwen35' }),
  broken('causal-conv of a state', /\(back - tail - 1u\)/, '(back - 1u)', 'delta-rule', { model: 'qwen35' }),
  broken('causal-conv of a tail', /\(tail - back\)/, '(back - 1u)', 'delta-rule', { model: 'qwen35' }),
  broken(
    'causal-conv of what it leaves',
    /\] = brought\(first, place, t - i32\(back\)/,
    '] = brought(first, place, t',
    'delta-rule',
    { model: 'qwen35' },
  ),
  broken('causal-conv of a draft', /t > last\)/, 't > last + 1)', 'delta-rule', { model: 'qwen35' }),
  broken('delta-rule of a tail', /params\.past \+ n - tail/, 'params.past + n', 'delta-rule', { model: 'qwen35' }),
  broken('delta-rule of a draft', /n \+ 1u == kept/, 'n + 1u == count', 'delta-rule', { model: 'qwen35' }),
  broken('delta-rule of what is forgotten', /s1 \*= decay;/, '', 'delta-rule', { model: 'qwen35' }),
  broken('delta-rule of key heads', /head % NUM_KEY_HEADS, TILED/, 'head / 2u, TILED', 'delta-rule', {
    model: 'qwen35',
  }),
  broken('delta-rule of what is shared out', /sum \+= sums\[turn \+ i\];/, 'sum += sums[turn + lane];', 'delta-rule', {
    ...onGpu,
    model: 'qwen35',
  }),
  broken('gated-norm', /scale \* norm_weight\[i\] \* vec4f/, 'scale * norm_weight[0] * vec4f', 'delta-rule', {
    model: 'qwen35',
  }),
  broken('sigmoid-mul', /\[id\.y \* ROW4 \+ GATE4 \+ column\]/, '[id.y * ROW4 + column]', 'sigmoid-mul', {
    model: 'qwen35',
  }),
  broken('route-experts of equal scores', /other < i\)/, 'other > i)', 'route-experts', { model: 'qwen3moe' }),
  broken('route-experts', /if \(place < EXPERTS_USED\)/, 'if (place < EXPERTS_USED - 1u)', 'route-experts', {
    model: 'qwen3moe',
  }),
  broken('expert-share/softmax', /exp\(score - highest\)/, 'exp(highest - score)', 'route-experts', {
    model: 'qwen3moe',
  }),
  broken('expert-share/sigmoid', / \+ expert_bias\[expert\]/, '', 'route-experts', { model: 'lfm2moe' }),
  broken('sum-experts', /bitcast<f32>\(routes\[i\]\.y\) \* x/, 'x', 'sum-experts', { model: 'qwen3moe' }),
  ...([{}, onGpu] as const).map((on) =>
    broken(
      'expert/routed',
      /\(routes\[token\]\.x - params\.firstExpert\) \* params/,
      '(routes[token].x - params.firstExpert + 1u) % 3u * params',
      'linear-decode Q4_0 × 256 of experts',
      { ...on, model: 'qwen3moe' },
    ),
  ),
  broken('expert/grouped', /min\(routes\[place\]\.y/, 'min(place', 'linear-prefill Q4_0 × 256 of experts', {
    ...onGpu,
    model: 'qwen3moe',
  }),
  broken('rides/routed', /firstExpert >= params/, 'firstExpert < params', 'linear-decode Q4_0 × 256 of experts', {
    model: 'qwen3moe',
  }),
  broken('group-experts', /at % TILE != 0u/, 'at % 2u != 0u', 'group-experts', { model: 'qwen3moe' }),
  broken('expert/routed of its input', /token \/ EXPERTS_USED/, 'token', 'linear-decode Q4_0 × 256 of experts', {
    model: 'qwen3moe',
  }),
  broken('norm-qk', /select\(QUERY4, KEY4, is_key\)/, 'QUERY4', 'norm-qk', { model: 'olmoe' }),
  broken('norm-qk of its weights', /norm_weight\[start \+ i\]/, 'norm_weight[i]', 'norm-qk', { model: 'olmoe' }),
  broken('store-kv of normed values', /scale = inverse_rms\(source\);/, 'scale = 1.0;', 'store-kv', {
    model: 'gemma4',
  }),
  broken('store-kv-shared of normed values', /value_scale = inverseSqrt\(.*;/, 'value_scale = 1.0;', 'store-kv', {
    ...onGpu,
    model: 'gemma4',
  }),
  broken('take-input', /params\.start4 \+ column/, 'column', 'take-input', { model: 'gemma4' }),
  broken(
    'cap-logits',
    /clamp\(logits\[at\] \/ CAP, -15\.0, 15\.0\)/,
    'clamp(logits[at] / CAP, -1.0, 1.0)',
    'cap-logits',
    { model: 'gemma4' },
  ),
  broken('embed', /tokens\[batch_table\[token\]\.x\]/, 'tokens[token]', 'embed'),
  broken('stored-half', /pack_half4\(clamp\(v,/, 'pack_half4(clamp(v.yxzw,', 'store-kv'),
  broken('store-kv', /a \* sine \+ b \* cosine/, 'b * cosine', 'store-kv'),
  broken('qk-norm/heads', /return key_norm_weight\[i\];/, 'return query_norm_weight[i];', 'store-kv', {
    model: 'qwen3',
  }),
  broken('qk-norm/heads of queries', /return query_norm_weight\[i\];/, 'return key_norm_weight[i];', 'attention', {
    model: 'qwen3',
  }),
  broken(
    'page-attention',
    /let query = Query\(start, position, position - page\.z\);/,
    'let query = Query(start, position, position);',
    'attention',
  ),
  broken('page-half', /score\[0\] \+= inner\(queries\.q0_1, k1\);/, '', 'attention'),
  broken('page-scores', /let cosine = rope\[distance \*/, 'let cosine = rope[', 'attention', onGpu),
  broken('page-units', /NUM_KV_HEADS \+ kv_head, j\) \+ i\]\)/, 'NUM_KV_HEADS, j) + i])', 'attention', onGpu),
  broken(
    'store-token/own',
    /kv\[key \+ HALF4 \+ i\] = stored_half\(a \* sine \+ b \* cosine\);/,
    'kv[key + HALF4 + i] = stored_half(b);',
    'attention',
    onGpu,
  ),
  broken('attention-merge', /output \+= weight \* partial_outputs/, 'output += partial_outputs', 'attention'),
  broken('attention-merge-alone', /block\[i\] \+= weight \*/, 'block[i] +=', 'attention'),
  ...(['nibbles', 'bytes'] as const).map((unit) =>
    broken(`repack-unit/${unit}`, /repack_scales\(i, at\);/, 'repack_scales(i + 2u, at);', 'repack', onGpu),
  ),
  broken('repack-unit/super', /fn source_of\(i: u32\) -> u32 \{/, '$& if (i == 5u) { return 4u; }', 'repack Q5_K', {
    ...onGpu,
    model: 'qwen2',
  }),
  broken('repack-unit/super6', /fn source_of\(i: u32\) -> u32 \{/, '$& if (i == 5u) { return 4u; }', 'repack Q6_K', {
    ...onGpu,
    model: 'qwen3',
  }),
  broken('five-words', /run % 4u \* 4u/, 'run % 2u * 4u', 'repack Q6_K', { ...onGpu, model: 'qwen3' }),
  broken('raw-words', /2u \* \(place - half\) \+ 1u, 2u \* place/, '2u * (place - half), 2u * place', 'repack', onGpu),
];

/** Libraries of types of few bits. */
const FEW: Broken[] = [
  broken('codes/curve', /- 8\.0;/, '- 9.0;', 'linear-decode', few),
  broken('pairs', /vec4u\(3u, 12u, 48u, 192u\)/, 'vec4u(3u, 12u, 48u, 64u)', 'linear-decode', few),
  broken('codes/3bit', /vec4f\(vec4i\(bits\)\) - 1\.0/, 'vec4f(vec4i(bits))', 'linear-decode Q3_K', few),
  broken('codes/1bit', /vec4u\(1u, 2u, 4u, 8u\)/, 'vec4u(1u, 2u, 4u, 0u)', 'linear-decode Q1_0', few),
  broken('codes/ternary', /select\(1u, 81u, \(n & 4u\) != 0u\)/, '1u', 'linear-decode TQ1_0', few),
  broken('codes/grid', /countOneBits\(bits & 127u\) & 1u/, '0u', 'linear-decode IQ3_XXS', few),
  broken('grid', /GRID\[index & 255u\]/, 'GRID[index & 127u]', 'linear-decode IQ3_XXS', few),
  broken('scales/super2', /-d\.yy\);/, 'd.yy);', 'linear-decode Q2_K', few),
  broken('scales/super3', /pair - 32/, 'pair - 31', 'linear-decode Q3_K', few),
  broken('scales/super4', /i32\(scale\) - 32/, 'i32(scale) - 31', 'linear-decode IQ4_XS', few),
  broken('scales/exponents', /max\(exponent, 1u\) - 1u/, 'exponent', 'linear-decode MXFP4', few),
  broken('scales/grid', /\* 0\.5 \+ 0\.25/, '* 0.5', 'linear-decode IQ3_XXS', few),
  broken(
    'scales/symmetric of several blocks',
    /\(row \* BLOCKS \+ block\) \/ SCALE_SPAN/,
    'row * BLOCKS + block',
    'linear-decode',
    few,
  ),
  broken('next-codes/bits', /before\.next\.x, before/, 'before.next.y, before', 'linear-prefill Q1_0', fewOnGpu),
  broken(
    'next-codes/two-blocks',
    /codes_of\(before\.next\.xy, before\.next\.z/,
    'codes_of(before.next.xy, 0u',
    'linear-prefill',
    fewOnGpu,
  ),
  broken('codes/3bit-runs', /raw\.high >> 8u, raw\.next/, 'raw.high >> 4u, raw.next', 'linear-prefill Q3_K', fewOnGpu),
  broken('codes/grid-runs', /\* 0\.5 \+ 0\.25, next/, '* 0.5, next', 'linear-prefill IQ3_XXS', fewOnGpu),
  broken('scales/super3-runs', /16u \+ 4u \* \(i & 1u\)/, '16u', 'linear-prefill Q3_K', fewOnGpu),
  broken('scales/super2-runs', /4u \* \(i & 4u\)/, '4u * (i & 2u)', 'linear-prefill Q2_K', fewOnGpu),
  broken(
    'linear-shared of a minimum for each half',
    /\.w \* block_sums/,
    '.z * block_sums',
    'linear-decode Q2_K',
    fewOnGpu,
  ),
  broken(
    'linear-tiled of a minimum for each half',
    /MINIMA == 2u && is_behind/,
    'false',
    'linear-prefill Q2_K',
    fewOnGpu,
  ),
  broken('repack-unit/pairs', /block & 3u\), sixteen/, 'block & 2u), sixteen', 'repack', fewOnGpu),
  broken('repack-unit/ternary', /words_at\(at \+ 32u\)/, 'words_at(at + 16u)', 'repack TQ1_0', fewOnGpu),
  broken('repack-unit/eights', /8u \* \(origin % SCALE_SPAN\)/, '4u * (origin % SCALE_SPAN)', 'repack', fewOnGpu),
  broken('repack-unit/bits', /4u \* \(origin % SCALE_SPAN\)/, '8u * (origin % SCALE_SPAN)', 'repack Q1_0', fewOnGpu),
  broken('repack-recode/signed', /\(signs \* 7u\)/, 'signs', 'repack MXFP4', fewOnGpu),
  broken('repack-high/signs', /66u \+ 4u \*/, '66u + 2u *', 'repack IQ3_XXS', fewOnGpu),
  broken('repack-scales/halves', /half_at\(at \+ SCALE_AT\)/, 'half_at(at)', 'repack TQ', fewOnGpu),
  broken('repack-scales/exponents', /i % 4u != 0u/, 'i % 8u != 0u', 'repack MXFP4', fewOnGpu),
  broken('repack-scales/super2', /word_at\(at \+ 80u\)/, 'word_at(at + 76u)', 'repack Q2_K', fewOnGpu),
  broken('repack-scales/super3', /words\.z >> 6u/, 'words.z >> 4u', 'repack Q3_K', fewOnGpu),
  broken('repack-scales/super4', /= words_at\(at\)\.xy/, '= words_at(at).xx', 'repack IQ4_XS', fewOnGpu),
];

/** Libraries that are checked when the first adapter loads. */
const ADAPTED: Broken[] = [
  broken('lora-half', /unpack2x16float\(packed\.y\)\); \}/, 'unpack2x16float(packed.x)); }', 'with adapters'),
  broken('lora-linear', /sum \+= low_component\(at, k\)/, 'sum += low_component(at, k & ~1u)', 'linear-decode'),
  broken('lora-table', /return \(factors\.ranks\[level \/ 2u\]/, 'return (factors.ranks[0]', 'with adapters', {}),
  broken(
    'lora-table of a lower level',
    /select\(row\.weight_hi, row\.weight_lo, k < below\)/,
    'row.weight_lo',
    'linear-prefill',
  ),
  ...([{}, onGpu] as const).map((on) =>
    broken('lora-low', /run\.row, run\.below\)/, 'run.row, 100u)', 'linear-decode', on),
  ),
  broken('lora-pair', /store_low\(run, k \+ 1u, sums\.y\)/, 'store_low(run, k + 1u, sums.x)', 'linear-decode'),
  broken(
    'lora-run/pairs of few ranks',
    /sums0 \+= pair_dot\(rows0, block, load_block/,
    'sums0 = pair_dot(rows0, block, load_block',
    'linear-decode',
    inPairs,
  ),
  broken('lora-run/pairs of more', /sums1 \+= pair_dot/, 'sums1 = pair_dot', 'linear-decode', inPairs),
  broken('lora-run/pairs of most', /sums3 \+= pair_dot/, 'sums3 = pair_dot', 'linear-decode', inPairs),
  broken('lora-run/one-pair', /sums \+= pair_dot/, 'sums = pair_dot', 'linear-decode', hidden),
  broken('lora-run/vectors', /total\[local\]\); \}/, 'total.x); }', 'linear-decode', onGpu),
  broken('rides/low', /token_work;$/m, 'token_work + 1u;', 'linear-decode'),
  broken('lora-delta', /x\[i\] \+ SCALE \* lora_add/, 'x[i] + lora_add', 'linear-decode', { model: 'granite' }),
  broken('lora-prefill', /if \(start \+ WORKGROUP < rank\)/, 'if (false)', 'linear-prefill'),
  broken(
    'lora-tile/columns',
    /lora_column\(b \+ \(k \+ 3u\) \* step, is_own\)/,
    'lora_column(b + k * step, is_own)',
    'linear-prefill',
  ),
  broken('sample-level of a ramp', /select\(1\.0 - share, share, state\.y == hi\)/, 'share', 'sample-level'),
  broken('sample-level of hysteresis', /min\(highest, max\(lowest, state\.y\)\)/, 'highest', 'sample-level'),
  broken(
    'sample-level of smoothing',
    /mix\(bitcast<f32>\(state\.w\), newest, params\.smoothing\)/,
    'newest',
    'sample-level',
  ),
  broken('sample-level of what is put off', /state\.z >= 2u \* params\.rampWidth/, 'state.z >= 2u', 'sample-level'),
  broken('low-columns', /(all|four)_tokens\(h\.y\)/, '$1_tokens(h.x)', 'linear-prefill'),
  broken('lora-tiled', /row, rank_at\(factors, row\.level_lo\)\);/, 'row, 100u);', 'linear-prefill', onGpu),
  broken('tile-lora/columns', /if \(k >= rank\) \{ return 0\.0; \}/, '', 'linear-prefill', onGpu),
];

/** Libraries that are checked when the first adapter in plain form loads. */
const PLAIN: Broken[] = [
  broken(
    'codes/16bit',
    /half4\(p\.xy\), half4\(p\.zw\), half4\(q/,
    'half4(p.xy), half4(p.xy), half4(q',
    'plain adapters, linear-decode',
  ),
  broken(
    'codes/16bit of a part',
    /Block\(half4\(p\.xy\), half4\(p\.zw\), vec4f/,
    'Block(half4(p.xy), half4(p.xy), vec4f',
    'plain adapters, linear-decode',
    onGpu,
  ),
  broken(
    'codes/16bit in tiles',
    /half4\(raw\.words\.xy\), half4\(raw\.words\.zw\)/,
    'half4(raw.words.xy), half4(raw.words.xy)',
    'plain adapters, linear-prefill',
    onGpu,
  ),
];

/** Libraries that are checked before a page changes form. */
const PAGED: Broken[] = [
  broken('quantize-page', /<< vec4u\(0u, 4u, 0u, 4u\);/, '<< vec4u(4u, 0u, 0u, 4u);', 'in q4'),
  broken(
    'quantize-page of an upper bit',
    /\(c >> vec4u\(own - 1u\)\) & vec4u\(LOWEST_BITS\)/,
    '(c >> vec4u(own - 2u)) & vec4u(LOWEST_BITS)',
    'in q4',
  ),
  broken('quantize-page of an order', /order\[i\] \| \(rank_of\(i\) << 8u\)/, 'i | (i << 8u)', 'in q4'),
  broken('quantize-page of two bits', /<< vec4u\(0u, 2u, 4u, 6u\);/, '<< vec4u(0u, 2u, 4u, 0u);', 'in q4'),
  // Keys at the ends of their range would not reveal this fault: all bits of such a code are equal.
  broken(
    'quantize-page of upper bits of keys',
    /(quad\[c\]) = packed_bytes\(codes\(x, bytes_of.*;/,
    '$& if (bits == 4u) { $1 = ($1 & 0x17171717u) | (($1 << 1u) & 0x08080808u); }',
    'in q4',
  ),
  broken(
    'page-quantized',
    /quad_of\(vec4u\(kv\[row \+ 2u \* n\], kv\[row \+ 2u \* n \+ 1u\]\)\)/,
    'quad_of(vec4u(kv[row + 2u * n], kv[row + 2u * n]))',
    'in q8',
  ),
  broken(
    'page-quantized of scales',
    /let weights = scores\[j\] \* \(f32\(code\) \* scale\);/,
    'let weights = scores[j] * scale;',
    'in q8',
  ),
  broken('page-layout', /fn row_of\(bits: u32\) -> u32 \{/, '$& if (bits == 2u) { return 1u; }', 'in k3v2', onGpu),
  broken('page-units of codes', /\* steps\.minimum \+ steps\.lowest\);/, '* steps.minimum);', 'in q8', onGpu),
  broken(
    'probe-page',
    /by#n = plus|let weight = select\(-1\.0, 1\.0, \(t & 1u\) == 1u\) \*/,
    'let weight = select(-1.0, 0.5, (t & 1u) == 1u) *',
    'probe-page',
  ),
  broken('probe-page-shared', /let by = moved \/ whole - y;/, 'let by = moved - y;', 'probe-page', onGpu),
];

/** Libraries of the sampling kernels. */
const SAMPLED: Broken[] = [
  broken(
    'sample-adjust of the prompt',
    /let count = seen & ~PROMPT_FLAG;/,
    'let count = (seen & 0xffu) + (seen >> 31u);',
    'sampler',
  ),
  broken('sample-adjust of the answer', /params\.frequency \* f32\(count\)/, 'params.frequency', 'sampler'),
  broken(
    'sample-adjust of negative logits',
    /select\(logit \* params\.repetition, logit \/ params\.repetition, logit > 0\.0\)/,
    'logit / params.repetition',
    'sampler',
  ),
  broken('sample-adjust of a bias', /max\(logit \+ token_bias\[mine \+ i\], MASKED\)/, 'max(logit, MASKED)', 'sampler'),
  broken('sample-pick of what was sampled', /counts\[params\.slot \* VOCAB \+ found\.token\] \+= 1u;/, '', 'sampler'),
  broken(
    'sample-token of a seed',
    /h = \(h \^ \(h >> 13u\)\) \* 0xc2b2ae35u;/,
    'h = (h ^ (h >> 12u)) * 0xc2b2ae35u;',
    'sampler',
  ),
  broken('sample-token', /scaled - log\(exponential\(/, 'scaled - 0.5 * log(exponential(', 'sampler'),
  broken('sample-token of min-p', /\|\| scaled < params\.logMinP/, '', 'sampler'),
  broken('sample-mask', /if \(key < search\.key\)/, 'if (key < search.key && (i & 1u) == 0u)', 'sampler'),
  broken(
    'sample-mask of ties',
    /!is_less\(carried\(search\.above \+ rank \* each\), search\.goal\)/,
    'false',
    'sampler',
  ),
  broken('filter-cut', /\(logit - maximum\) \* params\.inverseTemperature, -100/, '(logit - maximum), -100', 'sampler'),
];

type ChecksOf = (device: Device, model: keyof typeof MODELS) => Promise<Check[]>;

const loaded: ChecksOf = async (device, model) => {
  const { config, tensors } = await planModel(device, [sourceOf(MODELS[model])], {});
  const groups = await kernelChecks(device, new Recorder(device), config, tensors);
  return groups.flatMap(({ checks }) => checks);
};

const adapted: ChecksOf = async (device, model) => {
  const { config, tensors } = await planModel(device, [sourceOf(MODELS[model])], {});
  const { decode, prefill, level } = await adapterChecks(
    device,
    checkUpload(device, new Recorder(device)),
    config,
    tensors,
  );
  return [...prefill, ...decode, level];
};

const plain: ChecksOf = async (device, model) => {
  const { config } = await planModel(device, [sourceOf(MODELS[model])], {});
  return plainAdapterChecks(device, checkUpload(device, new Recorder(device)), config);
};

const sampled: ChecksOf = async (device, model) => {
  const { config } = await planModel(device, [sourceOf(MODELS[model])], {});
  return [...samplerChecks(device, config.vocabSize).checks];
};

const paged: ChecksOf = async (device, model) =>
  pageChecks(device, (await planModel(device, [sourceOf(MODELS[model])], {})).config);

const ALL = [
  ...[...LOADED, ...FEW].map((each) => ({ ...each, checksOf: loaded })),
  ...ADAPTED.map((each) => ({ ...each, checksOf: adapted })),
  ...PLAIN.map((each) => ({ ...each, checksOf: plain })),
  ...SAMPLED.map((each) => ({ ...each, checksOf: sampled })),
  ...PAGED.map((each) => ({ ...each, checksOf: paged })),
];

type Found = (typeof ALL)[number];

/** A device of the class's own variant, with its checks in order. */
interface Checked {
  device: Device;
  checks: readonly Check[];
}

async function checkedOn(gpu: GPU, found: Found): Promise<Checked> {
  const { checksOf, on = 'cpu', subgroupsOf, roundsInputs = false, model = 'llama' } = found;
  const opened = await openDevice(gpu, { deviceClass: on, wait: napping });
  const features = new Set([...opened.features].filter((name) => name !== 'subgroups'));
  const device = subgroupsOf ? { ...opened, subgroupSize: subgroupsOf, features } : opened;
  device.variant = { ...device.variant, roundsInputs };
  return { device, checks: await checksOf(device, model) };
}

/** Throws `wrong_results` unless the check passes. */
const run = ({ device, checks }: Checked, place: number): Promise<unknown> =>
  rightVariant(device, new Recorder(device), [{ candidates: [], checks: [checks[place]!] }]);

/** Devices without a fault, and the checks that they have passed. Faults of one place share a device. */
const right = new Map<string, Promise<Checked & { passed: Set<number> }>>();

async function expectPassed(found: Found, place: number): Promise<void> {
  const { checksOf, on, subgroupsOf, roundsInputs, model } = found;
  const key = [checksOf.name, model, on, subgroupsOf, roundsInputs].join();
  const opening =
    right.get(key) ?? checkedOn(lastingGpu(), found).then((checked) => ({ ...checked, passed: new Set<number>() }));
  right.set(key, opening);
  const checked = await opening;
  if (!checked.passed.has(place)) await run(checked, place);
  checked.passed.add(place);
}

afterAll(async () => {
  for (const { device } of await Promise.all(right.values())) device.close();
});

test.each(ALL)('wrong results of $library are detected, and right ones pass', async (found) => {
  const { gpu, changed } = miscompiling(found.from, found.to);
  const checked = await checkedOn(gpu, found);
  // One after another, so that no more is compiled with the fault than the first check that finds it.
  const places = checked.checks.flatMap(({ name }, place) => (name.includes(found.named) ? [place] : []));
  let last = -1;
  const runAll = async (): Promise<void> => {
    for (last of places) await run(checked, last);
  };
  await expect(runAll()).rejects.toMatchObject({
    code: 'wrong_results',
    detail: { field: expect.stringContaining(found.named) as string },
  });
  checked.device.close();
  expect(changed()).toBeGreaterThan(0);
  await expectPassed(found, last);
});
