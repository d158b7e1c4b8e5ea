import { type ModelConfig, widestMlp } from '../config/model-config.ts';
import { rowWidth } from '../kernels/heads.ts';
import type { Governor } from '../gpu/governor.ts';

/** Tokens of a batch that is not halved any more: what prefill multiplies at once on software adapters. */
const FEWEST = 8;

/** FLOPs of one layer for a batch of `tokens` tokens, the last of a text of `length`. */
export function layerFlops(config: ModelConfig, tokens: number, length: number): number {
  const { hiddenSize, numHeads, headDim, experts, perLayerInputs = 0 } = config;
  const mlpSize = Math.max(
    experts ? experts.used * experts.intermediateSize : 0,
    experts?.firstLayer === 0 ? 0 : widestMlp(config),
  );
  const weights = hiddenSize * (numHeads * headDim + rowWidth(config) + 3 * mlpSize + 2 * perLayerInputs);
  const attended = 2 * numHeads * headDim * length; // scores, and sums of values
  return 2 * tokens * (weights + attended);
}

/** How a prompt is cut into submissions that are short. */
export class PrefillSizes {
  constructor(
    private readonly config: ModelConfig,
    private readonly governor: Governor,
  ) {}

  /** Tokens of the next batch behind `position`: `most`, or half as many until a submission holds a layer. */
  tokens(most: number, position: number): number {
    let tokens = most;
    while (tokens >= 2 * FEWEST && layerFlops(this.config, tokens, position + tokens) > this.governor.flops)
      tokens = Math.floor(tokens / 2);
    return tokens;
  }

  /** Layers of the next submission where `left` of a batch are to come: about as many as of those after it. */
  layers(left: number, tokens: number, length: number): number {
    const most = Math.max(1, Math.floor(this.governor.flops / layerFlops(this.config, tokens, length)));
    return Math.ceil(left / Math.ceil(left / most));
  }
}
