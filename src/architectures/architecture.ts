import type { Activation, Experts, ModelConfig } from '../config/model-config.ts';
import type { ExpertPaths } from './experts.ts';
import { type LinearName, LINEARS } from './linears.ts';
import type { NormName } from './norms.ts';

/**
 * What tells an architecture from the others, as data; its linears are those of linears.ts. Behind `name` in GGUF files
 * are the keys of llama.cpp (src/llama-arch.cpp).
 */
export interface Architecture {
  /** GGUF's `general.architecture`. */
  name: string;
  /** By transformers' `model_type`: the models that it runs. */
  modelTypes: Readonly<Record<string, ModelType>>;
  /** The order of q's and k's rows in GGUF files; of safetensors it is `half`. */
  ropeLayout: ModelConfig['ropeLayout'];
  /** Whether q, k and v have biases. */
  qkvBias: 'always' | 'where present';
  activation: Activation;
  /** Of a layer. */
  norms: readonly NormName[];
  /** Its norms of q and k are over all heads together. */
  normsQkWhole?: true;
  /** What transformers calls norms that it does not call as norms.ts has it. */
  normPaths?: Readonly<Partial<Record<NormName, string>>>;
  /** The same of linears, where linears.ts has other names. */
  linearPaths?: Readonly<Partial<Record<LinearName, string>>>;
  /** What llama.cpp calls the norm behind the last layer; default `output_norm`. */
  outputNorm?: string;
  /** Layers without key heads have a gated convolution in place of attention. */
  hasConvolutions?: boolean;
  /** Some layers have a gated delta net in place of attention. */
  hasDeltaNets?: true;
  /** Its layers take in embeddings of their own, the last of them share keys and values, and v is normed: Gemma 4's. */
  hasPerLayerInputs?: true;
  /** What safetensors files call parts that serve drafts alone, which are left out. */
  draftParts?: string;
  /** The projection of queries gives gates too, head by head, of what is attended to. */
  gatesAttention?: true;
  /** Layers have experts in place of their MLP; `normalizes` where a file does not say. `isMlpSized`: an expert is as wide as files say of an MLP. */
  experts?: Pick<Experts, 'shares' | 'normalizes'> & { paths: ExpertPaths; isMlpSized?: true };
  /** Logits are capped, where a file says so. */
  capsLogits?: true;
  /** safetensors have norms' weights less this, which is added as they are loaded. */
  normOffset?: number;
  /** Which layers attend within a window, where a file has one and does not say: all but every n-th, or all; and how these are rotated, if in their own way. */
  window?: { allBut?: number; ropeTheta?: number };
  /** A head may be rotated in part. */
  rotatesPart?: true;
  /** Its files have q, k and v in one tensor, and gate and up. */
  isFused?: true;
  /** Layers of the one model whose scores are scaled by 1 / sqrt(hiddenSize / numHeads), which its GGUF files do not say. */
  scoresByHidden?: number;
  /** What scores are multiplied by, where no file says it; default: 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Embeddings are multiplied by the square root of their length. */
  scalesEmbeddings?: boolean;
  /** Layers that are not rotated: every n-th, of which a config.json may say more; or all, where this key of a GGUF file is false. */
  unrotated?: { every: number } | { unless: string };
  /** Numbers by which a model multiplies, and what they are called. */
  multipliers?: Readonly<Partial<Record<Multiplier, MultiplierNames>>>;
}

/** What config.json means to transformers. */
export interface ModelType {
  /**
   * What stands for keys that are missing (configuration_llama.py and its like, version 5), but for the sizes: a guess at
   * those would only be refused by the tensors' shapes.
   */
  defaults: Readonly<Record<string, unknown>>;
  /** Which models attend within `sliding_window`: all, those that say `use_sliding_window`, or some layers of all; default: none. */
  window?: 'always' | 'where used' | 'by layer';
  /** The architecture of those that say `use_bidirectional_attention`, by its name; default: they are refused. */
  bidirectional?: string;
  /** Keys that it has another name for, which counts where it is there. */
  keys?: Readonly<Record<string, string>>;
  /** The key with the config of the model's text, where it has other parts; these are left out. */
  textConfig?: string;
}

export type Multiplier = 'attentionScale' | 'embeddingScale' | 'residualScale' | 'logitDivisor';

export interface MultiplierNames {
  /** Behind the architecture's name. */
  gguf: string;
  /** In config.json. */
  config: string;
  /** To which that is raised; default 1. */
  power?: number;
}

/** Every n-th of so many layers. */
export const everyNth = (n: number, numLayers: number): number[] =>
  Array.from({ length: Math.floor(numLayers / n) }, (_, i) => (i + 1) * n - 1);

/** The tensor of the norm behind the last layer. */
export const outputNormOf = ({ outputNorm = 'output_norm' }: Architecture): string => `${outputNorm}.weight`;

/** llama.cpp's name of the norm of what the MLP reads. */
export const mlpNormOf = ({ norms }: Pick<Architecture, 'norms'>): NormName =>
  norms.includes('ffn_norm') ? 'ffn_norm' : 'post_attention_norm';

/** What transformers calls a linear within a layer. */
export const linearPath = ({ linearPaths }: Pick<Architecture, 'linearPaths'>, name: LinearName): string =>
  linearPaths?.[name] ?? LINEARS[name].path;
