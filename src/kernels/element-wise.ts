import capLogitsSource from '../../shaders/element-wise/cap-logits.wgsl?raw';
import embedSource from '../../shaders/element-wise/embed.wgsl?raw';
import gatedActivationSource from '../../shaders/element-wise/gated-activation.wgsl?raw';
import normQkSource from '../../shaders/element-wise/norm-qk.wgsl?raw';
import rmsNormSource from '../../shaders/element-wise/rms-norm.wgsl?raw';
import sigmoidMulSource from '../../shaders/element-wise/sigmoid-mul.wgsl?raw';
import takeInputSource from '../../shaders/element-wise/take-input.wgsl?raw';
import type { Activation } from '../config/activations.ts';
import type { Device } from '../gpu/device.ts';
import { folded, type Kernel, reads, writes } from '../gpu/kernel.ts';
import type { GgmlType } from '../weights/ggml-types.ts';
import { weightReader } from './formats/weight-formats.ts';
import { headConstants, type Heads, rowWidth } from './heads.ts';
import { reduction } from './kernel-variants.ts';
import { part } from './shader-library.ts';

type Tokens = { tokens: number };

/** `tokens`, in the order of `batch_table` → rows of the embedding matrix, times `scale`: `y [T, columns]`. Params: the slice's first row and rows. */
export function embedKernel(device: Device, type: GgmlType, columns: number, scale = 1): Kernel<Tokens> {
  const { workgroup } = device.variant;
  const reader = weightReader(device, type, columns);
  return {
    name: 'embed',
    sources: [...reader.sources, part('weight-block'), embedSource],
    enables: reader.enables,
    constants: { ...reader.constants, WORKGROUP: workgroup, SCALE: { f32: scale } },
    bindings: [...reader.bindings, reads('batch_table', 'vec4u'), reads('tokens', 'u32'), writes('y', 'vec4f')],
    params: { rowStart: 'u32', rows: 'u32' },
    groups: ({ tokens }) => [Math.ceil(columns / 32 / workgroup), tokens],
  };
}

/**
 * `x [T, width]` from token `params.start` on → `y [tokens, width]` from row `params.to` on, RMS-normed and weighted (arXiv
 * 1910.07467), times `params.scale`. `accumulate`: the result is added to y before the scale.
 */
export function rmsNormKernel(device: Device, width: number, eps: number, accumulate = false): Kernel<Tokens> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'rms-norm',
    sources: [reduce, rmsNormSource],
    constants: { ...constants, WIDTH4: width / 4, NORM_EPS: { f32: eps }, ACCUMULATE: accumulate },
    bindings: [reads('x', 'vec4f'), reads('norm_weight', 'vec4f'), writes('y', 'vec4f')],
    params: { start: 'u32', tokens: 'u32', to: 'u32', scale: 'f32' },
    groups: ({ tokens }) => folded(Math.ceil(tokens / rowsPerGroup)),
  };
}

/**
 * Norms q and k of `qkv [T, (numHeads + 2 numKvHeads) headDim]`, each across all its heads, in place (transformers,
 * modeling_olmoe.py, OlmoeAttention). `norm_weight`: q's, then k's. Only for models without attention gates.
 */
export function normQkKernel(device: Device, heads: Heads): Kernel<Tokens> {
  const { source: reduce, constants, rowsPerGroup } = reduction(device);
  return {
    name: 'norm-qk',
    sources: [reduce, normQkSource],
    constants: { ...constants, ...headConstants(heads), NORM_EPS: { f32: heads.rmsNormEps } },
    bindings: [reads('norm_weight', 'vec4f'), writes('qkv', 'vec4f')],
    params: { tokens: 'u32' },
    groups: ({ tokens }) => [Math.ceil((2 * tokens) / rowsPerGroup)],
  };
}

/** Grid of kernels whose invocations each compute four columns of a token. */
const byColumns =
  (width: number, workgroup: number) =>
  ({ tokens }: Tokens) =>
    [Math.ceil(width / 4 / workgroup), tokens] as const;

/** `x [T, 2 · width]` (gate, then up) → `y [T, width]` = activation(gate) · up. */
export function gatedActivationKernel(device: Device, width: number, activation: Activation): Kernel<Tokens> {
  const { workgroup } = device.variant;
  return {
    name: 'gated-activation',
    sources: [part(`activation/${activation}`), gatedActivationSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4 },
    bindings: [reads('x', 'vec4f'), writes('y', 'vec4f')],
    params: {},
    groups: byColumns(width, workgroup),
  };
}

/** `y [T, numHeads headDim]` times the sigmoid of the attention gates that follow the queries in `x`, in place. */
export function sigmoidMulKernel(device: Device, heads: Heads): Kernel<Tokens> {
  const { workgroup } = device.variant;
  const width = heads.numHeads * heads.headDim;
  return {
    name: 'sigmoid-mul',
    sources: [sigmoidMulSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, ROW4: rowWidth(heads) / 4, GATE4: width / 4 },
    bindings: [reads('x', 'vec4f'), writes('y', 'vec4f')],
    params: {},
    groups: byColumns(width, workgroup),
  };
}

/** `x [T, width]` = activation(x) · one layer's part of `inputs [T, numLayers width]`, in place (Gemma 4). Params: where that part begins in a row, in vec4f. */
export function takeInputKernel(
  { variant: { workgroup } }: Device,
  width: number,
  numLayers: number,
  activation: Activation,
): Kernel<Tokens> {
  return {
    name: 'take-input',
    sources: [part(`activation/${activation}`), takeInputSource],
    constants: { WORKGROUP: workgroup, WIDTH4: width / 4, ROW4: (numLayers * width) / 4 },
    bindings: [writes('x', 'vec4f'), reads('inputs', 'vec4f')],
    params: { start4: 'u32' },
    groups: byColumns(width, workgroup),
  };
}

/** `logits [T, vocabSize]` = cap · tanh(logits / cap), in place. */
export function capLogitsKernel({ variant: { workgroup } }: Device, vocabSize: number, cap: number): Kernel<Tokens> {
  return {
    name: 'cap-logits',
    sources: [capLogitsSource],
    constants: { WORKGROUP: workgroup, VOCABULARY: vocabSize, CAP: { f32: cap } },
    bindings: [writes('logits', 'f32')],
    params: {},
    groups: ({ tokens }) => [Math.ceil(vocabSize / workgroup), tokens],
  };
}
