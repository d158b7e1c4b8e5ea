import type { EncoderConfig } from '../../config/encoder-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { createOperation } from '../../gpu/operation.ts';
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
import { softmax } from './attention-answers.ts';
import { embeddingCheck } from './element-checks.ts';
import { checkUpload } from './kernel-checks.ts';
import { anyHalves, anyNumbers, bufferOf } from './known-values.ts';
import { dot, gelu, layerNormed } from './plain-math.ts';
import { checksOfProduct, type Product } from './product-checks.ts';
import { repackChecks } from './repack-checks.ts';

/** Two texts, of which the first is more than a workgroup of 64 long. */
const TEXTS = [67, 5];
const TOKENS = 72;

type Tensors = ReadonlyMap<string, TensorInfo>;

/** What an encoder's forward pass is computed with, at its widths. */
export async function encoderChecks(device: Device, recorder: Recorder, config: EncoderConfig, tensors: Tensors): Promise<CheckGroup[]> {
  const upload = checkUpload(device, recorder);
  const products = [];
  for (const product of productsOf(tensors)) products.push((await checksOfProduct(device, upload, { rmsNormEps: 1, activation: 'silu' }, product)).prefill);
  const types = new Set([...tensors.values()].filter(({ name }) => isMatrix(name)).map(({ type }) => type));
  const embeddings = tensors.get('token_embd.weight');
  const others = [positionsCheck, activateCheck, poolCheck].map((check) => check(device, config));
  if (embeddings) others.push(await embeddingCheck(device, upload, { hiddenSize: config.hiddenSize, embeddingScale: 1 }, embeddings));
  return [
    { candidates: [{ repacksOnHost: true }], checks: device.variant.repacksOnHost ? [] : [...types].flatMap((type) => repackChecks(device, type)) },
    { candidates: ROWS, checks: [layerNormCheck(device, config)] },
    { candidates: PREFILL, checks: products },
    { candidates: [{ sharedPages: false }], checks: [attentionCheck(device, config)] },
    { candidates: [], checks: others },
  ];
}

/** The kernels that it runs on. */
export function encoderKernels(device: Device, config: EncoderConfig, tensors: Tensors): Kernel<never>[] {
  const { hiddenSize, intermediateSize, layerNormEps } = config;
  const embeddings = tensors.get('token_embd.weight');
  return [
    ...(embeddings ? [embedKernel(device, embeddings.type, hiddenSize)] : []),
    ...productsOf(tensors).map(({ type, columns, isAdded, hasBias }) => prefillKernel(device, { type, columns, accumulate: isAdded, hasBias })),
    ...[addPositionsKernel(device, hiddenSize), layerNormKernel(device, hiddenSize, layerNormEps), attentionTextsKernel(device, config)],
    ...[activateKernel(device, intermediateSize), poolTextsKernel(device, hiddenSize)],
  ];
}

/** Positions and segments are added up as they are loaded, and vectors are none. */
const isMatrix = (name: string): boolean => /^(token_embd|blk\..*)\.weight$/.test(name) && !/norm\.weight$/.test(name);

function productsOf(tensors: Tensors): Product[] {
  const products = new Map<string, Product>();
  for (const [name, { type, shape }] of tensors) {
    if (!isMatrix(name) || !name.startsWith('blk.')) continue;
    const product = { type, columns: shape[1] ?? 0, isAdded: /attn_output|ffn_down/.test(name), isGated: false, isNormed: false, hasBias: true };
    products.set(JSON.stringify(product), product);
  }
  return [...products.values()];
}

/** Of each token its place, the row of its position, its text's first token and how many that has. */
function tableOf(device: Device): GPUBuffer {
  const rows = TEXTS.flatMap((length, text) => Array.from({ length }, (_, i) => [0, i, text === 0 ? 0 : (TEXTS[0] ?? 0), length]));
  return bufferOf(device, Uint32Array.from(rows.flat()));
}

interface Case {
  name: string;
  kernel: (device: Device) => Kernel<{ tokens: number }>;
  bounds: Record<string, GPUBuffer>;
  /** What is bound as `result`, and what it begins with. */
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

/** Far from 0, where a norm that took nothing off its mean would show. */
function layerNormCheck(device: Device, { hiddenSize: width, layerNormEps: eps }: EncoderConfig): Check {
  const next = anyNumbers();
  const [before, weight, bias] = [anyHalves(TOKENS * width, next).map((value) => value + 3), anyHalves(width, next), anyHalves(width, next)];
  const expected = Array.from({ length: TOKENS }, (_, t) => [...layerNormed(before.subarray(t * width, (t + 1) * width), weight, bias, eps)]).flat();
  const bounds = { norm_weight: bufferOf(device, weight), norm_bias: bufferOf(device, bias) };
  return checkOf(device, { name: `layer-norm × ${width}`, kernel: (one) => layerNormKernel(one, width, eps), bounds, result: 'x', before, expected, row: width });
}

function positionsCheck(device: Device, { hiddenSize: width }: EncoderConfig): Check {
  const next = anyNumbers();
  const [before, positions] = [anyHalves(TOKENS * width, next), anyHalves(TOKENS * width, next)];
  const expected = before.map((value, i) => value + positions[(i - (i < TEXTS[0]! * width ? 0 : TEXTS[0]! * width))]!);
  const bounds = { batch_table: tableOf(device), positions: bufferOf(device, positions) };
  return checkOf(device, { name: `add-positions × ${width}`, kernel: (one) => addPositionsKernel(one, width), bounds, result: 'x', before, expected, row: width });
}

function activateCheck(device: Device, { intermediateSize: width }: EncoderConfig): Check {
  const before = anyHalves(TOKENS * width, anyNumbers()).map((value) => 4 * value);
  return checkOf(device, { name: `activate × ${width}`, kernel: (one) => activateKernel(one, width), bounds: {}, result: 'x', before, expected: before.map(gelu), row: width });
}

function attentionCheck(device: Device, config: EncoderConfig): Check {
  const { numHeads, headDim } = config;
  const width = numHeads * headDim;
  const qkv = anyHalves(TOKENS * 3 * width, anyNumbers()).map((value, i) => (i % (3 * width) < width ? 4 * value : value));
  const part = (token: number, which: number, head: number): Float32Array => qkv.subarray((token * 3 + which) * width + head * headDim, (token * 3 + which) * width + (head + 1) * headDim);
  const expected = new Float32Array(TOKENS * width);
  let first = 0;
  for (const length of TEXTS) {
    const own = Array.from({ length }, (_, i) => first + i);
    for (const token of own) {
      for (let head = 0; head < numHeads; head++) {
        const scores = own.map((other) => dot(part(token, 0, head), part(other, 1, head)) / Math.sqrt(headDim));
        expected.set(softmax(scores, own.map((other) => part(other, 2, head))).output, token * width + head * headDim);
      }
    }
    first += length;
  }
  const bounds = { batch_table: tableOf(device), qkv: bufferOf(device, qkv) };
  return checkOf(device, { name: `attention-texts ${numHeads} × ${headDim}`, kernel: (one) => attentionTextsKernel(one, config), bounds, result: 'y', before: new Float32Array(TOKENS * width), expected, row: headDim });
}

function poolCheck(device: Device, { hiddenSize: width }: EncoderConfig): Check {
  const x = anyHalves(TOKENS * width, anyNumbers());
  const spans = Array.from({ length: TOKENS }, (_, i) => [i, Math.min(1 + (i % 3), TOKENS - i)] as const);
  const expected = spans.flatMap(([from, count]) => Array.from({ length: width }, (_, c) => Array.from({ length: count }, (__, i) => x[(from + i) * width + c]!).reduce((sum, value) => sum + value, 0) / count));
  const bounds = { spans: bufferOf(device, Uint32Array.from(spans.flat())), x: bufferOf(device, x) };
  const kernel = (one: Device): Kernel<{ tokens: number }> => {
    const pool = poolTextsKernel(one, width);
    return { ...pool, groups: ({ tokens }) => pool.groups({ texts: tokens }) };
  };
  return checkOf(device, { name: `pool-texts × ${width}`, kernel, bounds, result: 'pooled', before: new Float32Array(TOKENS * width), expected, row: width });
}
