import type { Architecture } from '../architectures/architecture.ts';
import type { ModelConfig, Yarn } from '../config/model-config.ts';
import { checkMultiple, fail, type GgufMetadata, readInteger, readRange } from './gguf/gguf-metadata.ts';
import type { ModelHeader } from './model-header.ts';

type RopeConfig = Pick<
  ModelConfig,
  'ropeTheta' | 'ropeLinearScale' | 'yarn' | 'shortContext' | 'rotaryDim' | 'rotaryScale' | 'temperature'
>;
type Scaling = Pick<RopeConfig, 'yarn' | 'ropeLinearScale' | 'rotaryScale'>;
type Keys = (name: string) => string;

/** LongRoPE's frequency divisors, `[rotaryDim / 2]`, for contexts within the trained length and for longer ones. */
export const LONG_ROPE = ['rope_factors_short.weight', 'rope_factors_long.weight'] as const;

const FACTORS = [1e-6, 1e6] as const;

/**
 * Attention factor of a stretched context (YaRN, arXiv 2309.00071, equation 22; llama.cpp, llama-context.cpp,
 * get_mscale).
 */
export const magnitude = (factor: number, multiplier = 1): number =>
  factor <= 1 ? 1 : 0.1 * multiplier * Math.log(factor) + 1;

/**
 * Reads the rotation of q and k from GGUF's metadata, with llama.cpp's meanings and defaults. Llama 3's scaling is not
 * in the metadata but in the tensor `rope_freqs.weight`.
 */
export function readRope(
  file: ModelHeader,
  architecture: Architecture,
  { headDim, contextLength }: Pick<ModelConfig, 'headDim' | 'contextLength'>,
): RopeConfig {
  const { metadata, tensors } = file;
  const key: Keys = (name) => `${architecture.name}.${name}`;
  const type = metadata.optionalString(key('rope.scaling.type')) ?? 'linear';
  if (!['none', 'linear', 'yarn', 'longrope'].includes(type)) {
    fail(
      metadata,
      key('rope.scaling.type'),
      `RoPE scaling ${JSON.stringify(type.slice(0, 40))} is not supported; none, linear, yarn and longrope are`,
      'unsupported',
    );
  }
  const ropeTheta = readRange(metadata, key('rope.freq_base'), [1, 1e12], 10_000);
  const originalContext = readInteger(metadata, key('rope.scaling.original_context_length'), 2 ** 30, contextLength);
  const factor = type === 'none' ? 1 : readFactor(metadata, key);
  const scaling: Scaling =
    type === 'yarn' ? readYarn(file, key, { factor, originalContext }) : { ropeLinearScale: factor };
  const own = metadata.has(key('rope.scaling.attn_factor'))
    ? readRange(metadata, key('rope.scaling.attn_factor'), FACTORS)
    : 1;
  const rotaryScale = own * (scaling.rotaryScale ?? 1);
  if (scaling.yarn && ropeTheta < 2)
    fail(metadata, key('rope.freq_base'), `must be at least 2 for YaRN, but is ${ropeTheta}`);
  if (rotaryScale !== 1 && architecture.window?.ropeTheta !== undefined) {
    fail(
      metadata,
      key('rope.scaling.type'),
      'rotations with a scale are not supported if layers differ in their rotation',
      'unsupported',
    );
  }
  const isLongRope = type === 'longrope' || tensors.some(({ name }) => LONG_ROPE.some((factors) => factors === name));
  const beta = metadata.optionalNumber(key('attention.temperature_scale')) ?? 0;
  return {
    ropeTheta,
    ropeLinearScale: scaling.ropeLinearScale === 1 ? undefined : scaling.ropeLinearScale,
    yarn: scaling.yarn,
    shortContext: isLongRope ? originalContext : undefined,
    rotaryDim: readRotaryDim(metadata, architecture, headDim),
    rotaryScale: rotaryScale === 1 ? undefined : rotaryScale,
    temperature:
      beta === 0
        ? undefined
        : { beta: readRange(metadata, key('attention.temperature_scale'), FACTORS), tokens: originalContext },
  };
}

function readFactor(metadata: GgufMetadata, key: Keys): number {
  const current = key('rope.scaling.factor');
  const name = metadata.has(current) ? current : key('rope.scale_linear');
  return (metadata.optionalNumber(name) ?? 0) === 0 ? 1 : readRange(metadata, name, FACTORS); // 0 means no scaling
}

function readYarn(
  { metadata, yarnTruncates = true }: ModelHeader,
  key: Keys,
  { factor, originalContext }: Pick<Yarn, 'factor' | 'originalContext'>,
): Scaling {
  const number = (name: string, fallback: number): number => {
    const field = key(`rope.scaling.yarn_${name}`);
    return metadata.has(field) ? readRange(metadata, field, FACTORS) : fallback;
  };
  const extKey = key('rope.scaling.yarn_ext_factor');
  const ext = metadata.optionalNumber(extKey) ?? -1;
  // Without extrapolation YaRN is linear scaling.
  if (ext === 0) return { ropeLinearScale: factor, rotaryScale: number('attn_factor', 1) };
  const extFactor = ext < 0 ? 1 : readRange(metadata, extKey, FACTORS);
  if (extFactor > 1) fail(metadata, extKey, `must be at most 1, but is ${extFactor}`);
  const attention = number('attn_factor', 1);
  if (attention !== 1)
    fail(
      metadata,
      key('rope.scaling.yarn_attn_factor'),
      `${attention} is not supported; rope.scaling.attn_factor is`,
      'unsupported',
    );
  const [betaFast, betaSlow] = [number('beta_fast', 32), number('beta_slow', 1)];
  if (betaFast < betaSlow)
    fail(metadata, key('rope.scaling.yarn_beta_fast'), `${betaFast} is less than beta_slow, ${betaSlow}`);
  const logMultiplier = metadata.optionalNumber(key('rope.scaling.yarn_log_multiplier')) ?? 0;
  const divisor = logMultiplier === 0 ? 1 : magnitude(factor, number('log_multiplier', 0));
  return {
    yarn: { factor, originalContext, betaFast, betaSlow, extFactor, truncate: yarnTruncates },
    rotaryScale: magnitude(factor) / divisor,
  };
}

/** Rotated components: the whole head, or a part that kernel vectors of four pairs divide. */
function readRotaryDim(
  metadata: GgufMetadata,
  { name, rotatesPart }: Architecture,
  headDim: number,
): number | undefined {
  const key = `${name}.rope.dimension_count`;
  const rotaryDim = metadata.has(key) ? readInteger(metadata, key, 2 ** 16) : headDim;
  if (rotaryDim === headDim) return undefined;
  if (!rotatesPart || rotaryDim > headDim)
    fail(metadata, key, `${rotaryDim} differs from the head size ${headDim}`, 'unsupported');
  checkMultiple(metadata, key, rotaryDim, 8);
  return rotaryDim;
}
