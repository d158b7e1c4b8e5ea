import {
  type BertConfig,
  type BidirectionalConfig,
  type EncoderConfig,
  reachOfLayer,
} from '../../config/encoder-config.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { createOperation, type Recorder } from '../../gpu/recorder.ts';
import type { Check, CheckGroup } from '../../gpu/self-check.ts';
import { embedKernel, rmsNormKernel, gatedActivationKernel } from '../../kernels/element-wise.ts';
import {
  activateKernel,
  addPositionsKernel,
  attentionTextsKernel,
  layerNormKernel,
  poolTextsKernel,
  type TextHeads,
  rotateHeadsKernel,
} from '../../kernels/encoder.ts';
import { prefillKernel } from '../../kernels/linear-prefill.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { PREFILL_CANDIDATES, DECODE_CANDIDATES } from '../kernel-candidates.ts';
import { attentionInputs, softmax, turned } from './attention-checks.ts';
import { embeddingCheck, gateCheck, normCheck } from './element-checks.ts';
import { checkUpload, repackChecks } from './kernel-checks.ts';
import { anyHalves, anyNumbers, bufferOf, dot, gelu, layerNormed, rmsNormed } from './known-values.ts';
import { checksOfProduct, type Product } from './product-checks.ts';

/** Lengths of two texts; the first exceeds a workgroup of 64. */
export const TEXTS = [67, 5];
export const TOKENS = 72;

/** Batch table of the texts; see `TextActivations`. */
export function tableOf(device: Device): GPUBuffer {
  const rows = TEXTS.flatMap((length, text) =>
    Array.from({ length }, (_, i) => [0, i, text === 0 ? 0 : (TEXTS[0] ?? 0), length]),
  );
  return bufferOf(device, Uint32Array.from(rows.flat()));
}

interface Case {
  name: string;
  kernel: (device: Device) => Kernel<{ tokens: number }>;
  bounds: Record<string, GPUBuffer>;
  /** Binding of the result, and its initial contents. */
  result: string;
  before: Float32Array<ArrayBuffer>;
  expected: ArrayLike<number>;
  row: number;
}

function checkOf(device: Device, { name, kernel, bounds, result, before, expected, row }: Case): Check {
  const buffer = bufferOf(device, before);
  return {
    name,
    make() {
      const operation = createOperation(device, kernel(device), { ...bounds, [result]: buffer });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(buffer, 0, before);
        recorder.run(operation, operation.groups({ tokens: TOKENS }), { tokens: TOKENS });
      };
    },
    result: [{ buffer, offset: 0, size: expected.length * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected,
    row,
  };
}

/** Checks attention within each text; a `reach` is shorter than a text. */
function attentionCheck(device: Device, heads: TextHeads): Check {
  const { numHeads, headDim, numKvHeads = numHeads, attentionScale = 1 / Math.sqrt(headDim), reach = TOKENS } = heads;
  const width = numHeads * headDim;
  const rowWidth = width + 2 * numKvHeads * headDim;
  const gain = 4 / (attentionScale * Math.sqrt(headDim));
  const qkv = anyHalves(TOKENS * rowWidth, anyNumbers()).map((value, i) =>
    i % rowWidth < width ? gain * value : value,
  );
  /** A head, counted over queries, then keys, then values. */
  const part = (token: number, head: number): Float32Array =>
    qkv.subarray(token * rowWidth + head * headDim, token * rowWidth + (head + 1) * headDim);
  const expected = new Float32Array(TOKENS * width);
  let first = 0;
  for (const length of TEXTS) {
    const own = Array.from({ length }, (_, i) => first + i);
    for (const token of own) {
      const seen = own.filter((other) => Math.abs(other - token) <= reach);
      for (let head = 0; head < numHeads; head++) {
        const key = numHeads + Math.floor((head * numKvHeads) / numHeads);
        const scores = seen.map((other) => dot(part(token, head), part(other, key)) * attentionScale);
        expected.set(
          softmax(
            scores,
            seen.map((other) => part(other, key + numKvHeads)),
          ).output,
          token * width + head * headDim,
        );
      }
    }
    first += length;
  }
  const bounds = { batch_table: tableOf(device), qkv: bufferOf(device, qkv) };
  return checkOf(device, {
    name: `attention-texts ${numHeads} × ${headDim}`,
    kernel: (one) => attentionTextsKernel(one, heads),
    bounds,
    result: 'y',
    before: new Float32Array(TOKENS * width),
    expected,
    row: headDim,
  });
}

function poolCheck(device: Device, { hiddenSize: width }: { hiddenSize: number }): Check {
  const x = anyHalves(TOKENS * width, anyNumbers());
  const spans = Array.from({ length: TOKENS }, (_, i) => [i, Math.min(1 + (i % 3), TOKENS - i)] as const);
  const expected = spans.flatMap(([from, count]) =>
    Array.from(
      { length: width },
      (_, c) =>
        Array.from({ length: count }, (__, i) => x[(from + i) * width + c]!).reduce((sum, value) => sum + value, 0) /
        count,
    ),
  );
  const bounds = { spans: bufferOf(device, Uint32Array.from(spans.flat())), x: bufferOf(device, x) };
  const kernel = (one: Device): Kernel<{ tokens: number }> => {
    const pool = poolTextsKernel(one, width);
    return { ...pool, groups: ({ tokens }) => pool.groups({ texts: tokens }) };
  };
  return checkOf(device, {
    name: `pool-texts × ${width}`,
    kernel,
    bounds,
    result: 'pooled',
    before: new Float32Array(TOKENS * width),
    expected,
    row: width,
  });
}

/** Window of the check, shorter than a text. */
const REACH = 11;

type Tensors = ReadonlyMap<string, TensorInfo>;

/** Checks of all kernels of a bidirectional encoder, at its widths. */
async function bidirectionalChecks(
  device: Device,
  recorder: Recorder,
  config: BidirectionalConfig,
  tensors: Tensors,
): Promise<CheckGroup[]> {
  const { decoder } = config;
  const upload = checkUpload(device, recorder);
  const products = [];
  for (const product of bidirectionalProducts(tensors))
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
      candidates: DECODE_CANDIDATES,
      checks: [normCheck(device, decoder), normCheck(device, decoder, 0.5), rotationCheck(device, decoder)],
    },
    { candidates: PREFILL_CANDIDATES, checks: products },
    {
      candidates: [{ sharedPages: false }],
      checks: [...reaches].map((reach) => attentionCheck(device, { ...decoder, reach })),
    },
    { candidates: [], checks: others },
  ];
}

/** All kernels of the encoder. */
function bidirectionalKernels(device: Device, config: BidirectionalConfig, tensors: Tensors): Kernel<never>[] {
  const { decoder } = config;
  const { hiddenSize, rmsNormEps, embeddingScale } = decoder;
  const embeddings = tensors.get('token_embd.weight');
  return [
    ...(embeddings ? [embedKernel(device, embeddings.type, hiddenSize, embeddingScale)] : []),
    ...bidirectionalProducts(tensors).map(({ type, columns }) => prefillKernel(device, { type, columns })),
    ...[false, true].map((accumulate) => rmsNormKernel(device, hiddenSize, rmsNormEps, accumulate)),
    ...[
      rotateHeadsKernel(device, decoder),
      gatedActivationKernel(device, decoder.intermediateSize, decoder.activation),
      poolTextsKernel(device, hiddenSize),
    ],
    ...reachesOf(config).map((reach) => attentionTextsKernel(device, { ...decoder, reach })),
  ];
}

/** The distinct windows of the layers. */
const reachesOf = (config: BidirectionalConfig): (number | undefined)[] => [
  ...new Set(Array.from({ length: config.decoder.numLayers }, (_, layer) => reachOfLayer(config, layer))),
];

function bidirectionalProducts(tensors: Tensors): Product[] {
  const products = new Map<string, Product>();
  for (const [name, { type, shape }] of tensors) {
    const columns = shape[1];
    if (columns === undefined || name === 'token_embd.weight') continue;
    const product = { type, columns, isAdded: false, isGated: false, isNormed: false, hasBias: false };
    products.set(JSON.stringify(product), product);
  }
  return [...products.values()];
}

/** Checks norm and RoPE of query and key heads; values must stay unchanged. */
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

/** Checks of all kernels of an encoder, at its widths. */
export const encoderChecks = (
  device: Device,
  recorder: Recorder,
  config: EncoderConfig,
  tensors: Tensors,
): Promise<CheckGroup[]> =>
  'decoder' in config
    ? bidirectionalChecks(device, recorder, config, tensors)
    : bertChecks(device, recorder, config, tensors);

/** All kernels of the encoder. */
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
  for (const product of bertProducts(tensors))
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
    { candidates: DECODE_CANDIDATES, checks: [layerNormCheck(device, config)] },
    { candidates: PREFILL_CANDIDATES, checks: products },
    { candidates: [{ sharedPages: false }], checks: [attentionCheck(device, config)] },
    { candidates: [], checks: others },
  ];
}

function bertKernels(device: Device, config: BertConfig, tensors: Tensors): Kernel<never>[] {
  const { hiddenSize, intermediateSize, layerNormEps } = config;
  const embeddings = tensors.get('token_embd.weight');
  return [
    ...(embeddings ? [embedKernel(device, embeddings.type, hiddenSize)] : []),
    ...bertProducts(tensors).map(({ type, columns, isAdded, hasBias }) =>
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

/** Whether a tensor is a matrix on the GPU; positions and segments are summed on load. */
const isMatrix = (name: string): boolean => /^(token_embd|blk\..*)\.weight$/.test(name) && !/norm\.weight$/.test(name);

function bertProducts(tensors: Tensors): Product[] {
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

/** Inputs are far from 0, so that a norm that does not subtract the mean fails. */
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
