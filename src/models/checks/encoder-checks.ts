import type { BertConfig, EncoderConfig } from '../../config/encoder-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Check, CheckGroup } from '../../gpu/self-check.ts';
import { embedKernel } from '../../kernels/embed.ts';
import { activateKernel } from '../../kernels/encoder/activate.ts';
import { addPositionsKernel } from '../../kernels/encoder/add-positions.ts';
import { attentionTextsKernel } from '../../kernels/encoder/attention-texts.ts';
import { layerNormKernel } from '../../kernels/encoder/layer-norm.ts';
import { poolTextsKernel } from '../../kernels/encoder/pool-texts.ts';
import { prefillKernel } from '../../kernels/linears/linear-kernels.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { PREFILL, ROWS } from '../kernel-contests.ts';
import { bidirectionalChecks, bidirectionalKernels } from './bidirectional-checks.ts';
import { embeddingCheck } from './element-checks.ts';
import { checkUpload } from './kernel-checks.ts';
import { anyHalves, anyNumbers, bufferOf } from './known-values.ts';
import { gelu, layerNormed } from './plain-math.ts';
import { checksOfProduct, type Product } from './product-checks.ts';
import { repackChecks } from './repack-checks.ts';
import { attentionCheck, checkOf, poolCheck, tableOf, TEXTS, TOKENS } from './text-checks.ts';

type Tensors = ReadonlyMap<string, TensorInfo>;

/** What an encoder's forward pass is computed with, at its widths. */
export const encoderChecks = (
  device: Device,
  recorder: Recorder,
  config: EncoderConfig,
  tensors: Tensors,
): Promise<CheckGroup[]> =>
  'decoder' in config
    ? bidirectionalChecks(device, recorder, config, tensors)
    : bertChecks(device, recorder, config, tensors);

/** The kernels that it runs on. */
export const encoderKernels = (device: Device, config: EncoderConfig, tensors: Tensors): Kernel<never>[] =>
  'decoder' in config ? bidirectionalKernels(device, config, tensors) : bertKernels(device, config, tensors);

async function bertChecks(
  device: Device,
  recorder: Recorder,
  config: BertConfig,
  tensors: Tensors,
): Promise<CheckGroup[]> {
  const upload = checkUpload(device, recorder);
  const products = [];
  for (const product of productsOf(tensors))
    products.push((await checksOfProduct(device, upload, { rmsNormEps: 1, activation: 'silu' }, product)).prefill);
  const types = new Set([...tensors.values()].filter(({ name }) => isMatrix(name)).map(({ type }) => type));
  const embeddings = tensors.get('token_embd.weight');
  const others = [positionsCheck, activateCheck, poolCheck].map((check) => check(device, config));
  if (embeddings)
    others.push(await embeddingCheck(device, upload, { hiddenSize: config.hiddenSize, embeddingScale: 1 }, embeddings));
  return [
    {
      candidates: [{ repacksOnHost: true }],
      checks: device.variant.repacksOnHost ? [] : [...types].flatMap((type) => repackChecks(device, type)),
    },
    { candidates: ROWS, checks: [layerNormCheck(device, config)] },
    { candidates: PREFILL, checks: products },
    { candidates: [{ sharedPages: false }], checks: [attentionCheck(device, config)] },
    { candidates: [], checks: others },
  ];
}

function bertKernels(device: Device, config: BertConfig, tensors: Tensors): Kernel<never>[] {
  const { hiddenSize, intermediateSize, layerNormEps } = config;
  const embeddings = tensors.get('token_embd.weight');
  return [
    ...(embeddings ? [embedKernel(device, embeddings.type, hiddenSize)] : []),
    ...productsOf(tensors).map(({ type, columns, isAdded, hasBias }) =>
      prefillKernel(device, { type, columns, accumulate: isAdded, hasBias }),
    ),
    ...[
      addPositionsKernel(device, hiddenSize),
      layerNormKernel(device, hiddenSize, layerNormEps),
      attentionTextsKernel(device, config),
    ],
    ...[activateKernel(device, intermediateSize), poolTextsKernel(device, hiddenSize)],
  ];
}

/** Positions and segments are added up as they are loaded, and vectors are none. */
const isMatrix = (name: string): boolean => /^(token_embd|blk\..*)\.weight$/.test(name) && !/norm\.weight$/.test(name);

function productsOf(tensors: Tensors): Product[] {
  const products = new Map<string, Product>();
  for (const [name, { type, shape }] of tensors) {
    if (!isMatrix(name) || !name.startsWith('blk.')) continue;
    const product = {
      type,
      columns: shape[1] ?? 0,
      isAdded: /attn_output|ffn_down/.test(name),
      isGated: false,
      isNormed: false,
      hasBias: true,
    };
    products.set(JSON.stringify(product), product);
  }
  return [...products.values()];
}

/** Far from 0, where a norm that took nothing off its mean would show. */
function layerNormCheck(device: Device, { hiddenSize: width, layerNormEps: eps }: BertConfig): Check {
  const next = anyNumbers();
  const [before, weight, bias] = [
    anyHalves(TOKENS * width, next).map((value) => value + 3),
    anyHalves(width, next),
    anyHalves(width, next),
  ];
  const expected = Array.from({ length: TOKENS }, (_, t) => [
    ...layerNormed(before.subarray(t * width, (t + 1) * width), weight, bias, eps),
  ]).flat();
  const bounds = { norm_weight: bufferOf(device, weight), norm_bias: bufferOf(device, bias) };
  return checkOf(device, {
    name: `layer-norm × ${width}`,
    kernel: (one) => layerNormKernel(one, width, eps),
    bounds,
    result: 'x',
    before,
    expected,
    row: width,
  });
}

function positionsCheck(device: Device, { hiddenSize: width }: BertConfig): Check {
  const next = anyNumbers();
  const [before, positions] = [anyHalves(TOKENS * width, next), anyHalves(TOKENS * width, next)];
  const expected = before.map((value, i) => value + positions[i - (i < TEXTS[0]! * width ? 0 : TEXTS[0]! * width)]!);
  const bounds = { batch_table: tableOf(device), positions: bufferOf(device, positions) };
  return checkOf(device, {
    name: `add-positions × ${width}`,
    kernel: (one) => addPositionsKernel(one, width),
    bounds,
    result: 'x',
    before,
    expected,
    row: width,
  });
}

function activateCheck(device: Device, { intermediateSize: width }: BertConfig): Check {
  const before = anyHalves(TOKENS * width, anyNumbers()).map((value) => 4 * value);
  return checkOf(device, {
    name: `activate × ${width}`,
    kernel: (one) => activateKernel(one, width),
    bounds: {},
    result: 'x',
    before,
    expected: before.map(gelu),
    row: width,
  });
}
