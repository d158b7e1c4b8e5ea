import { type BidirectionalConfig, reachOfLayer } from '../../config/encoder-config.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Check, CheckGroup } from '../../gpu/self-check.ts';
import { embedKernel } from '../../kernels/embed.ts';
import { attentionTextsKernel } from '../../kernels/encoder/attention-texts.ts';
import { poolTextsKernel } from '../../kernels/encoder/pool-texts.ts';
import { rotateHeadsKernel } from '../../kernels/encoder/rotate-heads.ts';
import { prefillKernel } from '../../kernels/linears/linear-kernels.ts';
import { rmsNormKernel } from '../../kernels/rms-norm.ts';
import { siluMulKernel } from '../../kernels/silu-mul.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { PREFILL, ROWS } from '../kernel-contests.ts';
import { attentionInputs, turned } from './attention-answers.ts';
import { embeddingCheck, gateCheck, normCheck } from './element-checks.ts';
import { checkUpload } from './kernel-checks.ts';
import { bufferOf } from './known-values.ts';
import { rmsNormed } from './plain-math.ts';
import { checksOfProduct, type Product } from './product-checks.ts';
import { repackChecks } from './repack-checks.ts';
import { attentionCheck, checkOf, poolCheck, tableOf, TEXTS, TOKENS } from './text-checks.ts';

/** That of a layer with one: less than a text. */
const REACH = 11;

type Tensors = ReadonlyMap<string, TensorInfo>;

/** What the forward pass of an encoder of a decoder's layers is computed with, at its widths. */
export async function bidirectionalChecks(
  device: Device,
  recorder: Recorder,
  config: BidirectionalConfig,
  tensors: Tensors,
): Promise<CheckGroup[]> {
  const { decoder } = config;
  const upload = checkUpload(device, recorder);
  const products = [];
  for (const product of productsOf(tensors))
    products.push((await checksOfProduct(device, upload, decoder, product)).prefill);
  const types = new Set([...tensors.values()].filter(({ shape }) => shape.length === 2).map(({ type }) => type));
  const embeddings = tensors.get('token_embd.weight');
  const others = [
    gateCheck(device, decoder),
    poolCheck(device, config),
    ...(embeddings ? [await embeddingCheck(device, upload, decoder, embeddings)] : []),
  ];
  const reaches = new Set(reachesOf(config).map((reach) => reach && Math.min(reach, REACH)));
  return [
    {
      candidates: [{ repacksOnHost: true }],
      checks: device.variant.repacksOnHost ? [] : [...types].flatMap((type) => repackChecks(device, type)),
    },
    {
      candidates: ROWS,
      checks: [normCheck(device, decoder), normCheck(device, decoder, 0.5), rotationCheck(device, decoder)],
    },
    { candidates: PREFILL, checks: products },
    {
      candidates: [{ sharedPages: false }],
      checks: [...reaches].map((reach) => attentionCheck(device, { ...decoder, reach })),
    },
    { candidates: [], checks: others },
  ];
}

/** The kernels that it runs on. */
export function bidirectionalKernels(device: Device, config: BidirectionalConfig, tensors: Tensors): Kernel<never>[] {
  const { decoder } = config;
  const { hiddenSize, rmsNormEps, embeddingScale } = decoder;
  const embeddings = tensors.get('token_embd.weight');
  return [
    ...(embeddings ? [embedKernel(device, embeddings.type, hiddenSize, embeddingScale)] : []),
    ...productsOf(tensors).map(({ type, columns }) => prefillKernel(device, { type, columns })),
    ...[false, true].map((accumulate) => rmsNormKernel(device, hiddenSize, rmsNormEps, accumulate)),
    ...[
      rotateHeadsKernel(device, decoder),
      siluMulKernel(device, decoder.intermediateSize, decoder.activation),
      poolTextsKernel(device, hiddenSize),
    ],
    ...reachesOf(config).map((reach) => attentionTextsKernel(device, { ...decoder, reach })),
  ];
}

/** Each once. */
const reachesOf = (config: BidirectionalConfig): (number | undefined)[] => [
  ...new Set(Array.from({ length: config.decoder.numLayers }, (_, layer) => reachOfLayer(config, layer))),
];

function productsOf(tensors: Tensors): Product[] {
  const products = new Map<string, Product>();
  for (const [name, { type, shape }] of tensors) {
    const columns = shape[1];
    if (columns === undefined || name === 'token_embd.weight') continue;
    const product = { type, columns, isAdded: false, isGated: false, isNormed: false, hasBias: false };
    products.set(JSON.stringify(product), product);
  }
  return [...products.values()];
}

/** Heads of queries and keys, normed and rotated; values stay. */
function rotationCheck(device: Device, config: ModelConfig): Check {
  const { numHeads, numKvHeads, headDim, rmsNormEps } = config;
  const { qkv, rope, queryNorm, keyNorm } = attentionInputs(config, TOKENS);
  const width = numHeads + 2 * numKvHeads;
  const expected = Array.from({ length: TOKENS * width }, (_, i) => {
    const head = qkv.subarray(i * headDim, (i + 1) * headDim);
    const [token, at] = [Math.floor(i / width), i % width];
    if (at >= numHeads + numKvHeads) return [...head];
    return [...turned(rmsNormed(head, at < numHeads ? queryNorm : keyNorm, rmsNormEps), rope, token % TEXTS[0]!)];
  });
  const bounds = {
    batch_table: tableOf(device),
    rope: bufferOf(device, rope),
    norm_weights: bufferOf(device, Float32Array.from([...queryNorm, ...keyNorm])),
  };
  return checkOf(device, {
    name: `rotate-heads ${numHeads} / ${numKvHeads} × ${headDim}`,
    kernel: (one) => rotateHeadsKernel(one, config),
    bounds,
    result: 'qkv',
    before: qkv,
    expected: expected.flat(),
    row: headDim,
  });
}
