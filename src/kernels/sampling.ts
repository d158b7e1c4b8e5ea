import adjust from '../../shaders/sampling/sample-adjust.wgsl?raw';
import draw from '../../shaders/sampling/sample-draw.wgsl?raw';
import mask from '../../shaders/sampling/sample-mask.wgsl?raw';
import pick from '../../shaders/sampling/sample-pick.wgsl?raw';
import search from '../../shaders/sampling/sample-search.wgsl?raw';
import allowedAll from '../../shaders/slots/is-allowed/all.wgsl?raw';
import allowedListed from '../../shaders/slots/is-allowed/listed.wgsl?raw';
import bestToken from '../../shaders/parts/best-token.wgsl?raw';
import filterCut from '../../shaders/parts/filter-cut.wgsl?raw';
import largestLogit from '../../shaders/parts/largest-logit.wgsl?raw';
import library from '../../shaders/parts/sampling.wgsl?raw';
import softmax from '../../shaders/parts/softmax.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Binding, Kernel, ParamsLayout } from '../gpu/kernel.ts';

/** Rounds of sample-search find a 32-bit key eight bits at a time. */
export const SEARCH_ROUNDS = 4;
const BINS = 256;

/** Of a weight's three limbs (parts/filter-cut.wgsl); fewer where the vocabulary is so large that a limb's sum would not fit a word. */
const limbBits = (vocabSize: number): number => Math.min(13, 31 - Math.ceil(Math.log2(vocabSize)));

const floats = (name: string, access: Binding['access']): Binding => ({ name, type: 'array<f32>', access });
const words = (name: string, access: Binding['access']): Binding => ({ name, type: 'array<u32>', access });
/** Of a search, which goes on in one kernel from what the other left. */
const SEARCHED: readonly Binding[] = [
  { name: 'bins', type: 'array<atomic<u32>>', access: 'read_write' },
  { name: 'searches', type: 'array<Search>', access: 'read_write' },
  words('ties', 'read_write'),
];
const softmaxes = (access: Binding['access']): Binding => ({ name: 'softmaxes', type: 'array<Softmax>', access });

/** What a request wants of sampling beside a token. */
export interface SamplingExtras {
  /** Penalties or a bias. */
  adjust: boolean;
  /** Of the raw logits. */
  entropy: boolean;
  /** Only tokens that are listed as allowed. */
  listed: boolean;
}

type Constants = Omit<SamplingExtras, 'listed'>;

/** What differs between the five kernels. */
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
  sources: [bestToken, softmax, listed ? allowedListed : allowedAll, adjust],
  bindings: [
    words('counts', 'read'),
    floats('token_bias', 'read'),
    ...(listed ? [words('allowed', 'read')] : []),
    floats('logits', 'read_write'),
    floats('best_logits', 'read_write'),
    words('best_tokens', 'read_write'),
    softmaxes('read_write'),
  ],
  params: { row: 'u32', slot: 'u32', repetition: 'f32', presence: 'f32', frequency: 'f32' },
  extras,
});

const SEARCH_KERNEL: SamplingKernel = {
  name: 'sample-search',
  sources: [largestLogit, filterCut, search],
  bindings: [floats('logits', 'read'), floats('best_logits', 'read'), ...SEARCHED],
  params: { ...FILTER_PARAMS, round: 'u32' },
};

const MASK_KERNEL: SamplingKernel = {
  name: 'sample-mask',
  sources: [largestLogit, filterCut, mask],
  bindings: [floats('best_logits', 'read'), ...SEARCHED, floats('logits', 'read_write')],
  params: FILTER_PARAMS,
};

const DRAW_KERNEL: SamplingKernel = {
  name: 'sample-draw',
  sources: [bestToken, largestLogit, draw],
  bindings: [
    floats('logits', 'read'),
    floats('best_logits', 'read'),
    floats('drawn_scores', 'read_write'),
    words('best_tokens', 'read_write'),
  ],
  params: { row: 'u32', inverseTemperature: 'f32', logMinP: 'f32', seed: 'u32', position: 'u32' },
};

const pickKernel = (extras: Constants): SamplingKernel => ({
  name: 'sample-pick',
  sources: [bestToken, softmax, pick],
  bindings: [
    floats('scores', 'read'),
    words('best_tokens', 'read'),
    words('counts', 'read_write'),
    words('tokens', 'read_write'),
    softmaxes('read'),
    floats('entropy', 'read_write'),
  ],
  params: { slot: 'u32' },
  extras,
});

/** The five sampling kernels for rows of `vocabSize` logits; shaders/sampling/sample-*.wgsl say what each reads and leaves. */
export function samplingKernels(device: Device, vocabSize: number) {
  const { scanWorkgroup, scanTile } = device.variant;
  const tiles = tilesOf(device, vocabSize);
  const constants = {
    ...{ VOCAB: vocabSize, LANES: scanWorkgroup, TILE: scanTile, TILES: tiles, LIMB_BITS: limbBits(vocabSize) },
    INVERSE_LOG_VOCAB: { f32: vocabSize > 1 ? 1 / Math.log(vocabSize) : 0 },
  };
  const kernel = ({ name, sources, bindings, params, extras }: SamplingKernel): Kernel<void> => ({
    name,
    sources: [library, ...sources],
    constants: extras ? { ...constants, ADJUST: extras.adjust, ENTROPY: extras.entropy } : constants,
    bindings,
    params,
    groups: () => [tiles],
  });
  return {
    adjust: (extras: SamplingExtras) => kernel(adjustKernel(extras)),
    search: kernel(SEARCH_KERNEL),
    mask: kernel(MASK_KERNEL),
    draw: kernel(DRAW_KERNEL),
    pick: (extras: Constants): Kernel<void> => ({ ...kernel(pickKernel(extras)), groups: () => [1] }),
  };
}

const tilesOf = ({ variant }: Device, vocabSize: number): number => Math.ceil(vocabSize / variant.scanTile);

/** Bytes of the buffers that the kernels leave things in for each other; `tile`: of each that has a word a tile. */
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
