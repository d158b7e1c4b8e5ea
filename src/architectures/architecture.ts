import type { Activation } from '../config/activations.ts';
import type { Experts, ModelConfig } from '../config/model-config.ts';
import { type ExpertPaths, type LinearName, LINEARS } from './linears.ts';

/**
 * An architecture as data; its linears are those of linears.ts. GGUF keys after `name` are llama.cpp's (src/llama-arch.cpp).
 */
export interface Architecture {
  /** GGUF's `general.architecture`. */
  name: string;
  /** Models of this architecture, by transformers' `model_type`. */
  modelTypes: Readonly<Record<string, ModelType>>;
  /** Order of q's and k's rows in GGUF files; safetensors always use `half`. */
  ropeLayout: ModelConfig['ropeLayout'];
  /** Whether q, k and v have biases. */
  qkvBias: 'always' | 'where present';
  activation: Activation;
  /** Norms of a layer. */
  norms: readonly NormName[];
  /** The norms of q and k span all heads. */
  normsQkWhole?: true;
  /** Names of norms in transformers that differ from NORMS. */
  normPaths?: Readonly<Partial<Record<NormName, string>>>;
  /** Names of linears in transformers that differ from linears.ts. */
  linearPaths?: Readonly<Partial<Record<LinearName, string>>>;
  /** llama.cpp's name of the norm after the last layer; default `output_norm`. */
  outputNorm?: string;
  /** Layers without key heads have a gated convolution instead of attention. */
  hasConvolutions?: boolean;
  /** Some layers have a gated delta net instead of attention. */
  hasDeltaNets?: true;
  /** Gemma 4: layers have per-layer inputs, the last layers share keys and values, and v is normalized. */
  hasPerLayerInputs?: true;
  /** Prefix of tensors in safetensors files that serve only drafts; they are ignored. */
  draftParts?: string;
  /** The query projection also gives gates of the attention output, head by head. */
  gatesAttention?: true;
  /** Layers have experts instead of an MLP. `normalizes`: default for files without the field. `isMlpSized`: an expert has the MLP's width. */
  experts?: Pick<Experts, 'shares' | 'normalizes'> & { paths: ExpertPaths; isMlpSized?: true };
  /** Files may set a logit cap. */
  capsLogits?: true;
  /** Added to norm weights of safetensors files on load. */
  normOffset?: number;
  /** Sliding-window layers if a file does not list them: all but every n-th, or all; and their RoPE theta, if it differs. */
  window?: { allBut?: number; ropeTheta?: number };
  /** RoPE may cover only a part of a head. */
  rotatesPart?: true;
  /** Files fuse q, k and v in one tensor, and gate and up. */
  isFused?: true;
  /** Number of layers that identifies the model with scores scaled by 1 / sqrt(hiddenSize / numHeads), which GGUF files do not state. */
  scoresByHidden?: number;
  /** Scale of attention scores, if files do not state it; default: 1 / sqrt(headDim). */
  attentionScale?: number;
  /** Embeddings are multiplied by sqrt(hiddenSize). */
  scalesEmbeddings?: boolean;
  /** Layers without RoPE: every n-th, unless config.json lists them; or all, if this key of a GGUF file is false. */
  unrotated?: { every: number } | { unless: string };
  /** Multipliers of the model, with their names in files. */
  multipliers?: Readonly<Partial<Record<Multiplier, MultiplierNames>>>;
}

/** How transformers reads a config.json. */
export interface ModelType {
  /**
   * Values of missing keys (configuration_llama.py and the like, version 5), without sizes: the tensors' shapes would refuse
   * wrong ones anyway.
   */
  defaults: Readonly<Record<string, unknown>>;
  /** When `sliding_window` applies: always, with `use_sliding_window`, or to some layers; default: never. */
  window?: 'always' | 'where used' | 'by layer';
  /** Name of the architecture for models with `use_bidirectional_attention`; default: refused. */
  bidirectional?: string;
  /** Alternative names of keys, which take precedence if present. */
  keys?: Readonly<Record<string, string>>;
  /** Key of the text model's config in multimodal models; other parts are ignored. */
  textConfig?: string;
}

export type Multiplier = 'attentionScale' | 'embeddingScale' | 'residualScale' | 'logitDivisor';

interface MultiplierNames {
  /** GGUF key after the architecture's name. */
  gguf: string;
  /** Key in config.json. */
  config: string;
  /** Exponent applied to the config's value; default 1. */
  power?: number;
}

/** Indices of every n-th layer. */
export const everyNth = (n: number, numLayers: number): number[] =>
  Array.from({ length: Math.floor(numLayers / n) }, (_, i) => (i + 1) * n - 1);

/** Tensor name of the norm after the last layer. */
export const outputNormOf = ({ outputNorm = 'output_norm' }: Architecture): string => `${outputNorm}.weight`;

/** llama.cpp's name of the norm before the MLP. */
export const mlpNormOf = ({ norms }: Pick<Architecture, 'norms'>): NormName =>
  norms.includes('ffn_norm') ? 'ffn_norm' : 'post_attention_norm';

/** Name of a linear within a layer in transformers. */
export const linearPath = ({ linearPaths }: Pick<Architecture, 'linearPaths'>, name: LinearName): string =>
  linearPaths?.[name] ?? LINEARS[name].path;

interface LayerNorm {
  /** Name within a layer in transformers; architectures may override it. */
  path: string;
  /** Width of a normalized vector. */
  width: 'hiddenSize' | 'headDim';
  /** q and k: number of heads. */
  heads?: 'numHeads' | 'numKvHeads';
}

/** The norms of a layer by llama.cpp's names (src/llama-arch.cpp). */
export const NORMS = {
  attn_norm: { path: 'input_layernorm', width: 'hiddenSize' },
  attn_q_norm: { path: 'self_attn.q_norm', width: 'headDim', heads: 'numHeads' },
  attn_k_norm: { path: 'self_attn.k_norm', width: 'headDim', heads: 'numKvHeads' },
  ffn_norm: { path: 'post_attention_layernorm', width: 'hiddenSize' },
  post_attention_norm: { path: 'post_attention_layernorm', width: 'hiddenSize' },
  post_ffw_norm: { path: 'post_feedforward_layernorm', width: 'hiddenSize' },
} as const satisfies Record<string, LayerNorm>;

export type NormName = keyof typeof NORMS;

/** Norms before each half of a layer. */
export const INPUT_NORMS: readonly NormName[] = ['attn_norm', 'ffn_norm'];
/** Norms of what each half of a layer adds to the residual stream. */
export const OUTPUT_NORMS: readonly NormName[] = ['post_attention_norm', 'post_ffw_norm'];
/** Norms of q and k, per head or over all heads. */
export const QK_NORMS: readonly NormName[] = ['attn_q_norm', 'attn_k_norm'];

/** The shape of a norm's weights. */
export function normShape(
  model: Pick<ModelConfig, 'hiddenSize' | 'headDim' | 'numHeads' | 'numKvHeads' | 'normsQkWhole'>,
  name: NormName,
): [number] {
  const { width, heads }: LayerNorm = NORMS[name];
  return [(heads && model.normsQkWhole ? model[heads] : 1) * model[width]];
}
