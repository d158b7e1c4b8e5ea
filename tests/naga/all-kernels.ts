import { attentionKernels, attentionMergeKernels } from '../../src/kernels/attention.ts';
import {
  MULTIPLY_ADD_WAYS,
  multiplyAddKernel,
  neverSeenKernel,
  type Precision,
  READ_WAYS,
  streamCopyKernel,
  streamReadKernel,
} from '../../src/kernels/ceilings.ts';
import {
  entryAttentionKernel,
  gatherEntriesKernel,
  probePageKernel,
  quantizePageKernel,
  storeKvKernel,
} from '../../src/kernels/pages.ts';
import { joinNormsKernel, keepStatesKernel } from '../../src/kernels/draft.ts';
import {
  capLogitsKernel,
  embedKernel,
  gatedActivationKernel,
  normQkKernel,
  rmsNormKernel,
  sigmoidMulKernel,
  takeInputKernel,
} from '../../src/kernels/element-wise.ts';
import {
  activateKernel,
  addPositionsKernel,
  attentionTextsKernel,
  layerNormKernel,
  poolTextsKernel,
  rotateHeadsKernel,
} from '../../src/kernels/encoder.ts';
import { groupExpertsKernel, routeExpertsKernel, sumExpertsKernel } from '../../src/kernels/experts.ts';
import type { Heads } from '../../src/kernels/heads.ts';
import { decodeKernel, tokensAtOnce } from '../../src/kernels/linear-decode.ts';
import { loraDeltaKernel, loweringKernel } from '../../src/kernels/lora.ts';
import { prefillKernel } from '../../src/kernels/linear-prefill.ts';
import type { LoraSite } from '../../src/kernels/lora-layout.ts';
import { sampleLevelKernel, samplingKernels } from '../../src/kernels/sampling.ts';
import { causalConvKernel, deltaRuleKernel, gatedNormKernel, shortConvKernel } from '../../src/kernels/recurrent.ts';
import { randomWordsKernel, repackKernel } from '../../src/kernels/upload.ts';
import { WEIGHT_FORMATS } from '../../src/kernels/formats/weight-formats.ts';
import type { DeltaNet } from '../../src/config/model-config.ts';
import type { Device } from '../../src/gpu/device.ts';
import type { Kernel } from '../../src/gpu/kernel.ts';
import type { GgmlType } from '../../src/weights/ggml-types.ts';

const TYPES = Object.keys(WEIGHT_FORMATS) as GgmlType[];
const codesOf = (type: GgmlType): string | undefined => WEIGHT_FORMATS[type].sources.at(-2);
/** The first type of each variant of codes. Adapters' texts do not depend on scales. */
const ADAPTED = new Set(TYPES.filter((type) => TYPES.find((other) => codesOf(other) === codesOf(type)) === type));
const NORM_EPS = 1e-5;
const WIDTH = 576;
const VOCABULARY = 49_152;

/** Shapes that unroll the attention kernels' loops differently. */
const HEADS: Heads[] = [
  { numHeads: 9, numKvHeads: 3, headDim: 64, qkNorm: false, rmsNormEps: NORM_EPS },
  { numHeads: 16, numKvHeads: 8, headDim: 128, qkNorm: true, rmsNormEps: NORM_EPS },
  {
    numHeads: 24,
    numKvHeads: 8,
    headDim: 128,
    qkNorm: false,
    rmsNormEps: NORM_EPS,
    rotaryDim: 96,
    rotaryScale: 1.2,
    temperature: { beta: 0.1, tokens: 16_384 },
  },
];

/** The largest heads, and small ones. */
const DELTA_NETS: DeltaNet[] = [128, 16].map((headDim) => ({
  numKeyHeads: 16,
  numValueHeads: 32,
  headDim,
  taps: 4,
  valueHeads: 'tiled',
  layers: [0],
}));

/** Sites of the attention inputs, the gated linears, one linear, and a delta net's inputs. */
const SITES: LoraSite[] = [
  { first: 0, widths: [WIDTH, 192, 192] },
  { first: 4, widths: [1536, 1536] },
  { first: 6, widths: [WIDTH] },
  { first: 9, widths: [8192, 4096, 32, 32] },
];

/** Heads of Gemma 4's layers without a window. */
const WIDE_HEADS: Heads = {
  numHeads: 8,
  numKvHeads: 1,
  headDim: 512,
  qkNorm: true,
  valueNorm: true,
  attentionScale: 1,
  rmsNormEps: NORM_EPS,
};

const BOTH = [false, true];

/** Kernels that measure devices. */
function ceilings({ features }: Device): Kernel[] {
  const precisions: Precision[] = features.has('shader-f16') ? ['f32', 'f16'] : ['f32'];
  const products = precisions.flatMap((precision) => MULTIPLY_ADD_WAYS.map((way) => multiplyAddKernel(precision, way)));
  return [
    ...products,
    ...READ_WAYS.map(streamReadKernel),
    streamCopyKernel(),
    neverSeenKernel(0xdecade),
    randomWordsKernel('weight'),
  ];
}

/** Every kernel with all its options on this device, at a few shapes. */
export function allKernels(device: Device): Kernel[] {
  return [
    ...TYPES.flatMap((type) => weightKernels(device, type)),
    ...TYPES.map(repackKernel),
    ...HEADS.flatMap((heads) => headKernels(device, heads)),
    ...SITES.flatMap((lowers) => [
      loweringKernel(device, WIDTH, lowers),
      ...[undefined, ...SITES].map((adds) => loraDeltaKernel(device, { width: WIDTH, adds, lowers })),
    ]),
    ...samplers(device),
    ...BOTH.map((accumulate) => rmsNormKernel(device, WIDTH, NORM_EPS, accumulate)),
    joinNormsKernel(device, WIDTH, NORM_EPS),
    keepStatesKernel(device, WIDTH, NORM_EPS),
    ...(['silu', 'gelu'] as const).map((activation) => gatedActivationKernel(device, WIDTH, activation)),
    ...[1, 3].map((taps) => shortConvKernel(device, WIDTH, taps)),
    ...DELTA_NETS.flatMap((net) => [
      causalConvKernel(device, net),
      deltaRuleKernel(device, net),
      gatedNormKernel(device, net, NORM_EPS),
    ]),
    sigmoidMulKernel(device, { ...HEADS[0]!, gatesAttention: true }),
    storeKvKernel(device, { ...HEADS[0]!, gatesAttention: true }),
    normQkKernel(device, HEADS[0]!),
    ...(['softmax', 'sigmoid'] as const).flatMap((shares) =>
      BOTH.map((normalizes) => routeExpertsKernel(device, { count: 128, used: 8, shares, normalizes })),
    ),
    ...BOTH.map((readsResidual) => sumExpertsKernel(device, WIDTH, 8, readsResidual)),
    groupExpertsKernel(device, 128),
    ...Object.values(attentionKernels(device, WIDE_HEADS, { allF16: true, stores: false })),
    ...Object.values(attentionMergeKernels(device, WIDE_HEADS)),
    ...BOTH.map((stores) => storeKvKernel(device, WIDE_HEADS, stores)),
    takeInputKernel(device, 256, 35, 'gelu'),
    capLogitsKernel(device, VOCABULARY, 30),
    sampleLevelKernel(),
    ...encoderKernels(device),
    ...ceilings(device),
  ];
}

function weightKernels(device: Device, type: GgmlType): Kernel[] {
  const kernels = [1, 12].map((scale) => embedKernel(device, type, WIDTH, scale));
  const sites = ADAPTED.has(type) ? SITES : [];
  kernels.push(
    decodeKernel(device, { type, columns: WIDTH, routed: { used: 1 } }),
    decodeKernel(device, { type, columns: WIDTH, gate: 'silu', normEps: NORM_EPS, routed: { used: 8 } }),
  );
  if (device.variant.lanes > 1) {
    const grouped = { type, columns: WIDTH, tokens: 8, routed: { used: 8, grouped: true } } as const;
    kernels.push(decodeKernel(device, grouped), decodeKernel(device, { ...grouped, gate: 'silu', normEps: NORM_EPS }));
  }
  for (const accumulate of BOTH) {
    for (const hasBias of BOTH) {
      const shape = { type, columns: WIDTH, accumulate, hasBias };
      for (const adds of [undefined, ...sites]) kernels.push(prefillKernel(device, { ...shape, adds }));
      // Gated linears have no bias and do not accumulate.
      const gates = accumulate || hasBias ? [undefined] : ([undefined, 'silu', 'gelu'] as const);
      for (const gate of gates) {
        for (const tokens of new Set([1, 2, 4, 8].map((tokens) => tokensAtOnce(device, tokens)))) {
          const one = { ...shape, gate, tokens };
          kernels.push(decodeKernel(device, one), decodeKernel(device, { ...one, normEps: NORM_EPS }));
          for (const site of sites) {
            kernels.push(
              decodeKernel(device, { ...one, lowers: site }),
              decodeKernel(device, { ...one, adds: site, normEps: NORM_EPS }),
            );
          }
        }
      }
    }
  }
  return kernels;
}

const encoderKernels = (device: Device): Kernel[] => [
  ...[
    layerNormKernel(device, WIDTH, 1e-12),
    addPositionsKernel(device, WIDTH),
    activateKernel(device, 4 * WIDTH),
    poolTextsKernel(device, WIDTH),
  ],
  ...[32, 64].map((headDim) => attentionTextsKernel(device, { numHeads: 12, headDim })),
  ...[256, undefined].map((reach) => attentionTextsKernel(device, { numHeads: 3, numKvHeads: 1, headDim: 256, reach })),
  rotateHeadsKernel(device, { numHeads: 3, numKvHeads: 1, headDim: 256, rmsNormEps: 1e-6 }),
];

const headKernels = (device: Device, heads: Heads): Kernel[] => [
  ...BOTH.flatMap((allF16) =>
    BOTH.flatMap((stores) => Object.values(attentionKernels(device, heads, { allF16, stores }))),
  ),
  ...Object.values(attentionKernels(device, heads, { allF16: true, stores: false, window: 512 })),
  ...Object.values(attentionMergeKernels(device, heads)),
  storeKvKernel(device, heads),
  quantizePageKernel(device, heads),
  gatherEntriesKernel(device, heads),
  entryAttentionKernel(device, heads, 'share'),
  entryAttentionKernel(device, heads, 'square'),
  probePageKernel(device, heads),
];

function samplers(device: Device): Kernel[] {
  const { adjust, pick, ...others } = samplingKernels(device, VOCABULARY);
  const kernels = Object.values(others);
  for (const entropy of BOTH) {
    for (const adjusts of BOTH) {
      const extras = { adjust: adjusts, entropy };
      kernels.push(pick(extras), ...BOTH.map((listed) => adjust({ ...extras, listed })));
    }
  }
  return kernels;
}
