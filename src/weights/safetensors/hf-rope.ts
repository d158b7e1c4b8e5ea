import type { Architecture } from '../../architectures/architecture.ts';
import type { GgufValue } from '../gguf/gguf-metadata.ts';
import { LONG_ROPE, magnitude } from '../rope-config.ts';
import { wholeHeadDim } from './hf-layer-sizes.ts';
import type { JsonFields } from './json-file.ts';

const DEFAULT_ROPE_THETA = 10_000;

/**
 * Converts a config.json's rotation to GGUF's keys (transformers, modeling_rope_utils.py). Throws `unsupported` for
 * other types of scaling.
 */
export function addRope(
  config: JsonFields,
  architecture: Architecture,
  set: (key: string, value: GgufValue) => void,
): void {
  set('rope.freq_base', ropeTheta(config));
  const rotaryDim = rotaryDimOf(config, architecture);
  if (rotaryDim !== headDimOf(config, architecture)) set('rope.dimension_count', rotaryDim);
  const rope = ropeOf(config);
  if (!rope) return;
  const type = ropeType(rope);
  const temperature = rope.optional('llama_4_scaling_beta', (key) => rope.number(key)) ?? 0;
  if (temperature !== 0) set('attention.temperature_scale', rope.positive('llama_4_scaling_beta'));
  if (temperature !== 0 || type === 'yarn' || type === 'longrope')
    set('rope.scaling.original_context_length', originalContext(config, rope));
  if (type === 'linear') {
    set('rope.scaling.type', 'linear');
    set('rope.scaling.factor', rope.positive('factor'));
  } else if (type === 'yarn') {
    addYarn(config, rope, set);
  } else if (type === 'longrope') {
    set('rope.scaling.type', 'longrope');
    set('rope.scaling.attn_factor', longRopeScale(config, rope));
  } else if (type !== 'default' && type !== 'llama3' && type !== 'proportional') {
    rope.fail(
      'rope_type',
      `${JSON.stringify(type.slice(0, 40))} is not supported; default, linear, llama3, yarn, longrope and proportional are`,
      'unsupported',
    );
  }
}

function addYarn(config: JsonFields, rope: JsonFields, set: (key: string, value: GgufValue) => void): void {
  const optional = (field: string): number | undefined => rope.optional(field, (key) => rope.positive(key));
  const factor = rope.values['factor'] === null ? stretch(config, rope) : rope.positive('factor');
  const [mscale = 0, all = 0] = ['mscale', 'mscale_all_dim'].map((field) =>
    rope.optional(field, (key) => rope.number(key)),
  );
  const own = mscale !== 0 && all !== 0 ? magnitude(factor, mscale) / magnitude(factor, all) : magnitude(factor);
  set('rope.scaling.type', 'yarn');
  set('rope.scaling.factor', factor);
  set('rope.scaling.attn_factor', (optional('attention_factor') ?? own) / magnitude(factor));
  set('rope.scaling.yarn_beta_fast', optional('beta_fast') ?? 32);
  set('rope.scaling.yarn_beta_slow', optional('beta_slow') ?? 1);
}

/** YaRN's `truncate`; undefined if the config.json omits it. */
export function yarnTruncates(config: JsonFields): boolean | undefined {
  const rope = ropeOf(config);
  return rope?.optional('truncate', (key) =>
    typeof rope.values[key] === 'boolean' ? rope.values[key] : rope.fail(key, 'must be true or false'),
  );
}

function longRopeScale(config: JsonFields, rope: JsonFields): number {
  const given = rope.optional('attention_factor', (key) => rope.positive(key));
  const factor = rope.optional('factor', (key) => rope.positive(key)) ?? stretch(config, rope);
  return given ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext(config, rope))));
}

/** Factor of the context extension. */
const stretch = (config: JsonFields, rope: JsonFields): number =>
  config.positive('max_position_embeddings') / originalContext(config, rope);

/** A top-level field has priority over the rope's (standardize_rope_params). */
const originalContext = (config: JsonFields, rope: JsonFields): number =>
  [config, rope]
    .map((fields) => fields.optional('original_max_position_embeddings', (key) => fields.size(key, 2 ** 30)))
    .find((tokens) => tokens !== undefined) ?? config.positive('max_position_embeddings');

/** Rope fields of full-attention layers. */
const headDimOf = (config: JsonFields, { hasPerLayerInputs }: Architecture): number =>
  hasPerLayerInputs
    ? wholeHeadDim(config)
    : (config.optional('head_dim', (key) => config.number(key)) ??
      Math.floor(config.number('hidden_size') / config.number('num_attention_heads')));

/** Rotated components of a head. */
function rotaryDimOf(config: JsonFields, architecture: Architecture): number {
  const { rotatesPart } = architecture;
  const headDim = headDimOf(config, architecture);
  const rope = ropeOf(config);
  if (rope && ropeType(rope) === 'proportional') return headDim; // the other frequencies are 0
  const share = [ropeOf(config), config].find((fields) => fields?.has('partial_rotary_factor'));
  const part = share?.number('partial_rotary_factor') ?? 1;
  if (share && part !== 1 && !rotatesPart)
    share.fail('partial_rotary_factor', 'partial rotation is not supported in this model', 'unsupported');
  if (share && !(part > 0 && part <= 1))
    share.fail('partial_rotary_factor', `must be above 0 and at most 1, but is ${part}`);
  const rotaryDim = Math.trunc(headDim * part);
  if (!share || rotaryDim === headDim || (rotaryDim > 0 && rotaryDim % 8 === 0)) return rotaryDim;
  return share.fail(
    'partial_rotary_factor',
    `${rotaryDim} of ${headDim} components are rotated, which is not a multiple of 8`,
    'unsupported',
  );
}

/** `rope_scaling` has priority; before version 5 of transformers there was nothing else. */
function ropeOf(config: JsonFields): JsonFields | undefined {
  const given = ['rope_scaling', 'rope_parameters'].map((name) => config.optional(name, (key) => config.fields(key)));
  const rope = given.find((fields) => fields && Object.keys(fields.values).length > 0);
  // If layers differ, full-attention layers have their own fields.
  return rope?.optional('full_attention', (key) => rope.fields(key)) ?? rope;
}

/** The rope's own field has priority (configuration_utils.py and modeling_rope_utils.py, standardize_rope_params). */
function ropeTheta(config: JsonFields): number {
  const place = [ropeOf(config), config].find((fields) => fields?.has('rope_theta'));
  return place?.number('rope_theta') ?? DEFAULT_ROPE_THETA;
}

/** Before version 4.45 of transformers the field was `type`, and LongRoPE had other names with the same factors. */
export function ropeType(rope: JsonFields): string {
  if (rope.has('long_factor') || rope.has('short_factor')) return 'longrope';
  return (
    rope.optional('rope_type', (key) => rope.string(key)) ??
    rope.optional('type', (key) => rope.string(key)) ??
    'default'
  );
}

/** Frequency divisors, `[rotaryDim / 2]`, by the names of GGUF's tensors. */
export function ropeDivisors(config: JsonFields, architecture: Architecture): Map<string, Float32Array> {
  const rope = ropeOf(config);
  const type = rope && ropeType(rope);
  const divisors = new Map<string, Float32Array>();
  if (rope && type === 'llama3')
    divisors.set('rope_freqs.weight', llama3Divisors(config, rope, rotaryDimOf(config, architecture)));
  if (rope && type === 'proportional')
    divisors.set('rope_freqs.weight', proportionalDivisors(rope, headDimOf(config, architecture)));
  if (rope && type === 'longrope') {
    const fields = ['short_factor', 'long_factor'] as const;
    LONG_ROPE.forEach((name, i) => divisors.set(name, listed(rope, fields[i]!, rotaryDimOf(config, architecture) / 2)));
  }
  return divisors;
}

function listed(rope: JsonFields, field: string, length: number): Float32Array {
  const values = rope.list(field);
  const isDivisor = (value: unknown): boolean =>
    typeof value === 'number' && Math.fround(value) > 0 && Math.fround(value) < Infinity;
  if (values.length !== length || !values.every(isDivisor)) rope.fail(field, `must be ${length} numbers above 0`);
  return Float32Array.from(values as number[]);
}

/** Divisor that turns a frequency to 0; GGUF files use the same value. */
const STILL = 1e30;

/** The later frequencies are 0 (transformers, modeling_rope_utils.py, _compute_proportional_rope_parameters). */
function proportionalDivisors(rope: JsonFields, headDim: number): Float32Array {
  const part = rope.optional('partial_rotary_factor', (key) => rope.positive(key)) ?? 1;
  if (part > 1) rope.fail('partial_rotary_factor', `must be above 0 and at most 1, but is ${part}`);
  const factor = rope.optional('factor', (key) => rope.positive(key)) ?? 1;
  const turning = Math.floor(Math.trunc(part * headDim) / 2);
  return Float32Array.from({ length: headDim / 2 }, (_, i) => (i < turning ? factor : STILL));
}

/** transformers, modeling_rope_utils.py, _compute_llama3_parameters. */
function llama3Divisors(config: JsonFields, rope: JsonFields, rotaryDim: number): Float32Array {
  const [factor, low, high] = ['factor', 'low_freq_factor', 'high_freq_factor'].map((key) => rope.positive(key)) as [
    number,
    number,
    number,
  ];
  const context = originalContext(config, rope);
  const theta = ropeTheta(config);
  return Float32Array.from({ length: rotaryDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / rotaryDim);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
