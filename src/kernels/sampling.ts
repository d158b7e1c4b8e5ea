import adjust from '../../shaders/sample-adjust.wgsl?raw';
import draw from '../../shaders/sample-draw.wgsl?raw';
import mask from '../../shaders/sample-mask.wgsl?raw';
import pick from '../../shaders/sample-pick.wgsl?raw';
import search from '../../shaders/sample-search.wgsl?raw';
import allowedAll from '../../shaders/slots/is-allowed/all.wgsl?raw';
import allowedListed from '../../shaders/slots/is-allowed/listed.wgsl?raw';
import library from '../../shaders/parts/sampling.wgsl?raw';
import type { Device } from '../gpu/device.ts';
import type { Binding, Kernel, ParamsLayout } from '../gpu/kernel.ts';

/** Rounds of sample-search: eight find a 32-bit key four bits at a time, the ninth counts ties. */
export const SEARCH_ROUNDS = 9;

const WORKGROUP = 32;

const floats = (name: string, access: Binding['access']): Binding => ({ name, type: 'array<f32>', access });
const words = (name: string, access: Binding['access']): Binding => ({ name, type: 'array<u32>', access });
const searches = (access: Binding['access']): Binding => ({ name: 'searches', type: 'array<Search>', access });
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

const filterParams: ParamsLayout = { row: 'u32', inverseTemperature: 'f32', byMass: 'u32' };

const adjustKernel = ({ listed, ...extras }: SamplingExtras): SamplingKernel => ({
  name: 'sample-adjust',
  sources: [listed ? allowedListed : allowedAll, adjust],
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
  sources: [search],
  bindings: [floats('logits', 'read'), floats('best_logits', 'read'), floats('bins', 'read_write'), searches('read_write')],
  params: { ...filterParams, goal: 'f32', round: 'u32' },
};

const MASK_KERNEL: SamplingKernel = {
  name: 'sample-mask',
  sources: [mask],
  bindings: [floats('bins', 'read'), floats('best_logits', 'read'), searches('read'), floats('logits', 'read_write')],
  params: filterParams,
};

const DRAW_KERNEL: SamplingKernel = {
  name: 'sample-draw',
  sources: [draw],
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
  sources: [pick],
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

/** The five sampling kernels for rows of `vocabSize` logits; shaders/sample-*.wgsl say what each reads and leaves. */
export function samplingKernels(device: Device, vocabSize: number) {
  const { scanners } = device.variant;
  const constants = {
    ...{ VOCAB: vocabSize, SCANNERS: scanners, WORKGROUP },
    INVERSE_LOG_VOCAB: { f32: vocabSize > 1 ? 1 / Math.log(vocabSize) : 0 },
  };
  const kernel = ({ name, sources, bindings, params, extras }: SamplingKernel): Kernel<void> => ({
    name,
    sources: [library, ...sources],
    constants: extras ? { ...constants, ADJUST: extras.adjust, ENTROPY: extras.entropy } : constants,
    bindings,
    params,
    groups: () => [scanners / WORKGROUP],
  });
  return {
    adjust: (extras: SamplingExtras) => kernel(adjustKernel(extras)),
    search: kernel(SEARCH_KERNEL),
    mask: kernel(MASK_KERNEL),
    draw: kernel(DRAW_KERNEL),
    pick: (extras: Constants): Kernel<void> => ({ ...kernel(pickKernel(extras)), groups: () => [1] }),
  };
}

/** Bytes of the buffers that `searches` and `bins` are. */
export const samplingBytes = (device: Device) => ({
  scanner: device.variant.scanners * 4,
  softmaxes: device.variant.scanners * 12,
  searches: SEARCH_ROUNDS * 12,
  bins: 2 * device.variant.scanners * 16 * 4,
});
