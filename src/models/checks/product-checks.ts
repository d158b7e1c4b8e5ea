import { type Activation, ACTIVATIONS } from '../../config/activations.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Check } from '../../gpu/self-check.ts';
import { TILE_TOKENS } from '../../kernels/linear-prefill.ts';
import { Linear, Norm } from '../../layers/linear.ts';
import type { WeightUpload } from '../../layers/weight-upload.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import { PER_LAYER } from '../../weights/model-tensors.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf, dot, rmsNormed } from './known-values.ts';
import { normThenBias } from '../../kernels/linear-decode.ts';

const ROWS = 32;
/** Batch sizes: one, a pair and more than a pair in decode; more than a tile in prefill. */
const DECODED = [1, 2, 3];
const PREFILLED = 9;
/** Residual scale of the checks. */
const SCALE = 0.5;
/** Rows of the buffers, in whole tiles: WebGPU may clamp accesses past the end to the last element. */
const ROOM = Math.ceil(PREFILLED / TILE_TOKENS) * TILE_TOKENS;

/** A product with a matrix. The gate is fused in decode only. */
export interface Product {
  type: GgmlType;
  columns: number;
  isNormed: boolean;
  isGated: boolean;
  isAdded: boolean;
  hasBias: boolean;
}

/** Checks every distinct product of a model, in decode and prefill. `gates`: fused, or `apart` as with unfused adapters. */
export async function productChecks(
  device: Device,
  upload: WeightUpload,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  gates: 'inside' | 'apart' = 'inside',
): Promise<{ decode: Check[]; prefill: Check[] }> {
  const checks = { decode: [] as Check[], prefill: [] as Check[] };
  for (const product of productsOf(config, tensors, gates === 'inside')) {
    const made = await checksOfProduct(device, upload, config, product);
    checks.decode.push(...made.decode);
    checks.prefill.push(made.prefill);
  }
  return checks;
}

/** Linears without a norm that do not add to the residual stream. */
const PLAIN: readonly string[] = [PER_LAYER.projection, `.${PER_LAYER.gate}`, `.${PER_LAYER.output}`];

function productsOf(config: ModelConfig, tensors: ReadonlyMap<string, TensorInfo>, gates: boolean): Product[] {
  const products = new Map<string, Product>();
  for (const [name, { type, shape }] of tensors) {
    const columns = shape[1];
    const isHead = name === (config.tiedEmbeddings ? 'token_embd.weight' : 'output.weight');
    const isPlain = isHead || PLAIN.some((end) => name.endsWith(end));
    if (columns === undefined || name.includes('_exps') || (!isPlain && !name.startsWith('blk.'))) continue;
    const isResidual = /attn_output|ffn_down|out_proj|ssm_out/.test(name);
    const isAdded = isResidual && !config.postNorms;
    const isGated =
      gates &&
      /ffn_(gate|up)\./.test(name) &&
      tensors.get(name.replace('up', 'gate'))?.type === tensors.get(name.replace('gate', 'up'))?.type;
    const product = {
      type,
      columns,
      isAdded,
      isGated,
      isNormed: !isResidual && !isPlain,
      hasBias: config.qkvBias && /attn_[qkv]\./.test(name),
    };
    products.set(JSON.stringify(product), product);
  }
  return [...products.values()];
}

/** Checks one product, in decode and prefill. */
export async function checksOfProduct(
  device: Device,
  upload: WeightUpload,
  config: Pick<ModelConfig, 'rmsNormEps' | 'activation'>,
  product: Product,
): Promise<{ decode: Check[]; prefill: Check }> {
  const { type, columns, isNormed, isGated, isAdded, hasBias } = product;
  const next = anyNumbers();
  const { tensor, values } = anyMatrix(type, ROWS, columns, next);
  const inputs = {
    x: anyHalves(ROOM * columns, next),
    normWeight: anyHalves(columns, next),
    bias: anyHalves(ROWS, next),
  };
  const matrix = await upload.matrix('check', [{ tensor }], { category: 'adapters' });
  const x = bufferOf(device, inputs.x);
  const normWeight = bufferOf(device, inputs.normWeight);
  const bias = bufferOf(device, isNormed ? normThenBias(inputs.normWeight, inputs.bias) : inputs.bias);
  const normed = bufferOf(device, new Float32Array(inputs.x.length));
  const before = new Float32Array(ROOM * ROWS).fill(isAdded ? 0.25 : 0);
  const y = bufferOf(device, before);
  const sums = products(inputs, values, { product, eps: config.rmsNormEps });
  const check = (kind: 'decode' | 'prefill', tokens: number): Check => {
    const gates = isGated && kind === 'decode';
    const expected = (gates ? gated(sums, tokens, config.activation) : sums.slice(0, tokens * ROWS)).map((value) =>
      isAdded ? value + 0.25 : value,
    );
    return {
      name: `linear-${kind} ${type} × ${columns}${isNormed ? ' with a norm' : ''}`,
      make() {
        const norm = isNormed ? new Norm(device, normWeight, config.rmsNormEps, { x, output: normed }) : undefined;
        const gate = gates ? config.activation : undefined;
        const linear = new Linear(device, matrix, {
          x,
          y,
          kind,
          norm,
          gate,
          accumulate: isAdded,
          ...(hasBias && { bias }),
        });
        return (recorder) => {
          device.gpuDevice.queue.writeBuffer(y, 0, before);
          if (kind === 'prefill') norm?.record(recorder, tokens);
          linear.record(recorder, { kind, tokens }, isAdded ? SCALE : 1);
        };
      },
      result: [{ buffer: y, offset: 0, size: expected.length * 4 }],
      read: (bytes) => new Float32Array(bytes),
      expected,
      row: expected.length / tokens,
    };
  };
  return { decode: DECODED.map((tokens) => check('decode', tokens)), prefill: check('prefill', PREFILLED) };
}

interface Inputs {
  x: Float32Array;
  normWeight: Float32Array;
  bias: Float32Array;
}

/** `[PREFILLED, ROWS]` */
function products(
  { x, normWeight, bias }: Inputs,
  weights: Float32Array,
  { product, eps }: { product: Product; eps: number },
): number[] {
  const { columns, isNormed, isAdded, hasBias } = product;
  const scale = isAdded ? SCALE : 1;
  const sums: number[] = [];
  for (let token = 0; token < PREFILLED; token++) {
    const input = x.subarray(token * columns, (token + 1) * columns);
    const read = isNormed ? rmsNormed(input, normWeight, eps) : input;
    for (let row = 0; row < ROWS; row++)
      sums.push(scale * dot(weights.subarray(row * columns, (row + 1) * columns), read) + (hasBias ? bias[row]! : 0));
  }
  return sums;
}

/** activation(gate) · up of the first `tokens` tokens; gates are the first half of the rows. */
function gated(sums: readonly number[], tokens: number, activation: Activation): number[] {
  const half = ROWS / 2;
  return Array.from({ length: tokens * half }, (_, i) => {
    const at = Math.floor(i / half) * ROWS + (i % half);
    return ACTIVATIONS[activation].compute(sums[at]!) * sums[at + half]!;
  });
}
