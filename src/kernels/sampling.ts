import adjust from '../../shaders/sampling/sample-adjust.wgsl?raw';
import level from '../../shaders/sampling/sample-level.wgsl?raw';
import mask from '../../shaders/sampling/sample-mask.wgsl?raw';
import pick from '../../shaders/sampling/sample-pick.wgsl?raw';
import search from '../../shaders/sampling/sample-search.wgsl?raw';
import sample from '../../shaders/sampling/sample-token.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import { type Binding, type Kernel, type ParamsLayout, reads, writes } from '../gpu/kernel.ts';
import { part } from './shader-library.ts';

/** Rounds of sample-search: each finds eight bits of a 32-bit key. */
export const SEARCH_ROUNDS = 4;
const BINS = 256;

/** Bits of each of a weight's three limbs (see the part `filter-cut`); fewer if a sum over the vocabulary would not fit a word. */
const limbBits = (vocabSize: number): number => Math.min(13, 31 - Math.ceil(Math.log2(vocabSize)));

/** State of a search, which sample-search and sample-mask share. */
const SEARCHED: readonly Binding[] = [
  writes('bins', 'atomic<u32>'),
  writes('searches', 'Search'),
  writes('ties', 'u32'),
];

/** Work that a request adds to sampling. */
export interface SamplingExtras {
  /** Apply penalties or a bias. */
  adjust: boolean;
  /** Compute the entropy of the raw logits. */
  entropy: boolean;
  /** Mask tokens that are not listed as allowed. */
  listed: boolean;
}

type Constants = Omit<SamplingExtras, 'listed'>;

/** Differences between the five kernels. */
interface SamplingKernel {
  name: string;
  sources: readonly string[];
  bindings: readonly Binding[];
  params: ParamsLayout;
  extras?: Constants;
}

const FILTER_PARAMS: ParamsLayout = { row: 'u32', inverseTemperature: 'f32', byMass: 'u32', goal: 'f32' };

const adjustKernel = ({ listed, ...extras }: SamplingExtras): SamplingKernel => ({
  name: 'sample-adjust',
  sources: [part('best-token'), part('softmax'), part(listed ? 'is-allowed/listed' : 'is-allowed/all'), adjust],
  bindings: [
    reads('counts', 'u32'),
    reads('token_bias', 'f32'),
    ...(listed ? [reads('allowed', 'u32')] : []),
    writes('logits', 'f32'),
    writes('best_logits', 'f32'),
    writes('best_tokens', 'u32'),
    writes('softmaxes', 'Softmax'),
  ],
  params: { row: 'u32', slot: 'u32', repetition: 'f32', presence: 'f32', frequency: 'f32' },
  extras,
});

const SEARCH_KERNEL: SamplingKernel = {
  name: 'sample-search',
  sources: [part('largest-logit'), part('filter-cut'), search],
  bindings: [reads('logits', 'f32'), reads('best_logits', 'f32'), ...SEARCHED],
  params: { ...FILTER_PARAMS, round: 'u32' },
};

const MASK_KERNEL: SamplingKernel = {
  name: 'sample-mask',
  sources: [part('largest-logit'), part('filter-cut'), mask],
  bindings: [reads('best_logits', 'f32'), ...SEARCHED, writes('logits', 'f32')],
  params: FILTER_PARAMS,
};

const SAMPLE_KERNEL: SamplingKernel = {
  name: 'sample-token',
  sources: [part('best-token'), part('largest-logit'), sample],
  bindings: [
    reads('logits', 'f32'),
    reads('best_logits', 'f32'),
    writes('sampled_scores', 'f32'),
    writes('best_tokens', 'u32'),
  ],
  params: { row: 'u32', inverseTemperature: 'f32', logMinP: 'f32', seed: 'u32', position: 'u32' },
};

const pickKernel = (extras: Constants): SamplingKernel => ({
  name: 'sample-pick',
  sources: [part('best-token'), part('softmax'), pick],
  bindings: [
    reads('scores', 'f32'),
    reads('best_tokens', 'u32'),
    writes('counts', 'u32'),
    writes('tokens', 'u32'),
    reads('softmaxes', 'Softmax'),
    writes('entropy', 'f32'),
  ],
  params: { slot: 'u32' },
  extras,
});

/** The five sampling kernels for rows of `vocabSize` logits; shaders/sampling/sample-*.wgsl say what each reads and writes. */
export function samplingKernels(device: Device, vocabSize: number) {
  const { scanWorkgroup, scanTile } = device.variant;
  const tiles = tilesOf(device, vocabSize);
  const constants = {
    ...{ VOCAB: vocabSize, LANES: scanWorkgroup, TILE: scanTile, TILES: tiles, LIMB_BITS: limbBits(vocabSize) },
    INVERSE_LOG_VOCAB: { f32: vocabSize > 1 ? 1 / Math.log(vocabSize) : 0 },
  };
  const kernel = ({ name, sources, bindings, params, extras }: SamplingKernel): Kernel<void> => ({
    name,
    sources: [part('sampling'), ...sources],
    constants: extras ? { ...constants, ADJUST: extras.adjust, ENTROPY: extras.entropy } : constants,
    bindings,
    params,
    groups: () => [tiles],
  });
  return {
    adjust: (extras: SamplingExtras) => kernel(adjustKernel(extras)),
    search: kernel(SEARCH_KERNEL),
    mask: kernel(MASK_KERNEL),
    sample: kernel(SAMPLE_KERNEL),
    pick: (extras: Constants): Kernel<void> => ({ ...kernel(pickKernel(extras)), groups: () => [1] }),
  };
}

const tilesOf = ({ variant }: Device, vocabSize: number): number => Math.ceil(vocabSize / variant.scanTile);

/** Bytes of the buffers between the kernels; `tile`: each buffer with a word a tile. */
export function samplingBytes(device: Device, vocabSize: number) {
  const tiles = tilesOf(device, vocabSize);
  return {
    tile: tiles * 4,
    softmaxes: tiles * 12,
    searches: SEARCH_ROUNDS * 32,
    bins: SEARCH_ROUNDS * BINS * 12,
    ties: tiles * BINS * 4,
  };
}

/** Most thresholds between rank levels; unused ones are UNREACHED. */
export const MAX_THRESHOLDS = 5;
/** Above every complexity. */
export const UNREACHED = 2;

/**
 * `entropies [sequence slots]` → the row of the sequence's next token in the arena `lora`. Params: the sequence slot; tokens of
 * a ramp; how far past a threshold the complexity must be; the share of the newest entropy in it; the thresholds.
 */
export const sampleLevelKernel = (): Kernel<void> => ({
  name: 'sample-level',
  sources: [level],
  constants: {},
  bindings: [reads('entropies', 'f32'), writes('level_states', 'vec4u'), writes('lora', 'vec2u')],
  params: {
    ...{ slot: 'u32', rampWidth: 'u32', hysteresis: 'f32', smoothing: 'f32' },
    ...{ threshold0: 'f32', threshold1: 'f32', threshold2: 'f32', threshold3: 'f32', threshold4: 'f32' },
  },
  groups: () => [1],
});
