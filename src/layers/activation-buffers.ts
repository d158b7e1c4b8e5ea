import { MAX_RANK } from '../adapters/adapter-config.ts';
import { broughtFloats, deltaWidths, type ModelConfig, TAIL_TOKENS, widestMlp } from '../config/model-config.ts';
import { FEW_TOKENS, MAX_SEQUENCES } from '../config/limits.ts';
import type { Device } from '../gpu/device.ts';
import { MAX_SPLITS, partialFloats } from '../kernels/attention.ts';
import { groupedPlaces, PLACE_WORDS, ROUTE_WORDS } from '../kernels/experts.ts';
import { rowWidth } from '../kernels/heads.ts';
import { batchBytes } from './batch.ts';

/** Most tokens whose logits are computed at once. */
export const HEAD_TOKENS = 16;

/** Every intermediate of the forward pass, allocated once for `batchTokens` tokens. All f32. */
export interface Activations {
  /** Token ids, u32: the next token of each sequence slot `[MAX_SEQUENCES]`, written by the sampler, then a prefill's tokens `[T]`. */
  tokens: GPUBuffer;
  /** Sequence and position of each token, u32 `[T, 4]`; see batch.ts. */
  batchTable: GPUBuffer;
  /** The residual stream `[T, hiddenSize]`. */
  x: GPUBuffer;
  /** The residual stream between a layer's two halves, in decode with adapters `[FEW_TOKENS, hiddenSize]`. */
  between: GPUBuffer;
  /** norm(x) `[T, hiddenSize]`; prefill and output only. */
  normed: GPUBuffer;
  /** Attention: queries (with gates, if any), keys and values `[T, rowWidth]`. Convolution: gates and input `[T, 3 hiddenSize]`. Delta net: `[T, projected]`. Experts: router scores `[T, count]`. */
  qkv: GPUBuffer;
  /** Attention splits before their merge (kernels/attention.ts). Experts: a prefill's (token, expert) pairs by expert (group-experts.ts). */
  partials: GPUBuffer;
  /** Attention output `[T, numHeads headDim]`. Convolution: `[T, hiddenSize]`. Delta net: `[T, values]`. Experts: chosen experts, u32 `[T, used, ROUTE_WORDS]`. */
  attended: GPUBuffer;
  /** Delta net: queries, keys and values after the convolution, and decay and beta of each value head `[T, broughtFloats]`; each sequence's tail comes first. */
  convolved: GPUBuffer;
  /** gate, then up `[T, 2 intermediateSize]`. Experts: outputs `[T, used, hiddenSize]`. Before the layers: projected per-layer inputs `[T, numLayers perLayerInputs]`, or a draft head's input `[T, 2 hiddenSize]`. */
  gateUp: GPUBuffer;
  /** activation(gate) · up `[T, intermediateSize]`. Experts: `[T, used, their intermediateSize]`. After the MLP: the gated per-layer input `[T, perLayerInputs]`. */
  gated: GPUBuffer;
  /** Per-layer inputs of each token `[T, numLayers perLayerInputs]`. */
  layerInputs: GPUBuffer;
  /** A · x of unfused adapters `[T, MAX_RANK]`. */
  low: GPUBuffer;
  /** `[HEAD_TOKENS, vocabSize]` */
  logits: GPUBuffer;
}

/** Bytes of each activation; `batchTokens` must be a multiple of the prefill tile. */
export function activationBytes(config: ModelConfig, batchTokens: number): Record<keyof Activations, number> {
  const {
    hiddenSize,
    numHeads,
    headDim,
    vocabSize,
    numLayers,
    convolution,
    deltaNet,
    experts,
    perLayerInputs = 0,
    isDraftHead,
  } = config;
  const ofConvolution = convolution ? hiddenSize : 0;
  const { projected, values } = deltaNet ? deltaWidths(deltaNet) : { projected: 0, values: 0 };
  const { count = 0, used = 0, intermediateSize: expertSize = 0 } = experts ?? {};
  const mlpSize = experts?.firstLayer === 0 ? 0 : widestMlp(config);
  const rows = (width: number): number => batchTokens * width * 4;
  return {
    ...batchBytes(batchTokens),
    x: rows(hiddenSize),
    between: FEW_TOKENS * hiddenSize * 4,
    normed: rows(hiddenSize),
    qkv: rows(Math.max(rowWidth(config), 3 * ofConvolution, projected, count)),
    partials:
      Math.max(
        Math.max(batchTokens, MAX_SPLITS) * numHeads * partialFloats(headDim),
        groupedPlaces(batchTokens * used, count) * PLACE_WORDS,
      ) * 4,
    attended: rows(Math.max(numHeads * headDim, ofConvolution, values, ROUTE_WORDS * used)),
    convolved: deltaNet ? (batchTokens + MAX_SEQUENCES * TAIL_TOKENS) * broughtFloats(deltaNet) * 4 : 4,
    gateUp: rows(
      Math.max(2 * mlpSize, used * hiddenSize, numLayers * perLayerInputs, isDraftHead ? 2 * hiddenSize : 0),
    ),
    gated: rows(Math.max(mlpSize, used * expertSize, perLayerInputs)),
    layerInputs: rows(Math.max(1, numLayers * perLayerInputs)),
    low: rows(MAX_RANK),
    logits: HEAD_TOKENS * vocabSize * 4,
  };
}

export function createActivations(device: Device, config: ModelConfig, batchTokens: number): Activations {
  const sizes = Object.entries(activationBytes(config, batchTokens));
  const buffers = sizes.map(([name, size]) => [name, device.buffers.storage(name, 'activations', size)]);
  return Object.fromEntries(buffers) as Record<keyof Activations, GPUBuffer>;
}

/** A layer's device, index and model, and the activations that all layers share. */
export interface LayerPlace {
  device: Device;
  layer: number;
  config: ModelConfig;
  activations: Activations;
}
