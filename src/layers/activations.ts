import { MAX_RANK } from '../adapters/formats/config-fields.ts';
import { broughtFloats, deltaWidths, TAIL_TOKENS } from '../config/delta-net.ts';
import { FEW_TOKENS } from '../config/few-tokens.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import { type ModelConfig, widestMlp } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { MAX_SPLITS, partialFloats } from '../kernels/attention.ts';
import { groupedPlaces, PLACE_WORDS } from '../kernels/experts/group-experts.ts';
import { ROUTE_WORDS } from '../kernels/experts/route-experts.ts';
import { rowWidth } from '../kernels/heads.ts';
import { batchBytes } from './batch.ts';

/** Tokens whose logits are computed at once. */
export const HEAD_TOKENS = 16;

/** Every intermediate of the forward pass, allocated once for `batchTokens` tokens. All f32. */
export interface Activations {
  /** Token ids, u32: the next one of each stream `[MAX_STREAMS]`, where the sampler leaves it, then a prefill's `[T]`. */
  tokens: GPUBuffer;
  /** Where each token of a batch belongs `[T, 4]`, u32; see batch.ts. */
  batchTable: GPUBuffer;
  /** The residual stream `[T, hiddenSize]`. */
  x: GPUBuffer;
  /** The residual stream between a layer's two halves, where adapters take part in decoding `[FEW_TOKENS, hiddenSize]`. */
  between: GPUBuffer;
  /** x after a norm `[T, hiddenSize]`; prefill and output only. */
  normed: GPUBuffer;
  /** Queries, with gates where they have some, keys and values `[T, rowWidth]`; of a convolution its gates and what it takes in, `[T, 3 hiddenSize]`; of a delta net `[T, projected]`; scores of experts `[T, count]` */
  qkv: GPUBuffer;
  /** Splits of attention before their merge; see attention.ts. And the ways of a prefill's tokens through experts; see group-experts.ts. */
  partials: GPUBuffer;
  /** `[T, numHeads headDim]`; of a convolution `[T, hiddenSize]`, of a delta net `[T, values]`; the experts that a token goes through `[T, used, ROUTE_WORDS]`, u32 */
  attended: GPUBuffer;
  /** Of a delta net, queries, keys and values behind their convolution, and both numbers of each value head, `[T, broughtFloats]`; before each text's those of its tail */
  convolved: GPUBuffer;
  /** gate, then up: `[T, 2 intermediateSize]`; what experts make of a token `[T, used, hiddenSize]`; before the layers what they take in, on its way `[T, numLayers perLayerInputs]`, or what a draft head begins with `[T, 2 hiddenSize]` */
  gateUp: GPUBuffer;
  /** activation(gate) · up `[T, intermediateSize]`; of experts `[T, used, their intermediateSize]`; behind the MLP what the layer takes in, gated `[T, perLayerInputs]` */
  gated: GPUBuffer;
  /** What layers take in of each token besides `[T, numLayers perLayerInputs]` */
  layerInputs: GPUBuffer;
  /** Between the two products of an adapter in its plain form `[T, MAX_RANK]` */
  low: GPUBuffer;
  /** `[HEAD_TOKENS, vocabSize]` */
  logits: GPUBuffer;
}

/** Bytes of each activation; `batchTokens` is a multiple of the prefill tile. */
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
    convolved: deltaNet ? (batchTokens + MAX_STREAMS * TAIL_TOKENS) * broughtFloats(deltaNet) * 4 : 4,
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
