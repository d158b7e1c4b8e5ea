import {
  deltaWidths,
  hasExperts,
  hasState,
  isConvolved,
  type ModelConfig,
  sharesKeys,
} from '../config/model-config.ts';

type Sizes = Pick<
  ModelConfig,
  'hiddenSize' | 'intermediateSize' | 'headDim' | 'numHeads' | 'numKvHeads' | 'deltaNet' | 'gatesAttention'
>;
type Parts = Pick<ModelConfig, 'convolution' | 'deltaNet' | 'sharedKeys' | 'experts'>;
type Layers = Parts & Pick<ModelConfig, 'numLayers'>;

/** Input and output widths of linears. */
const WIDTHS = {
  hidden: ({ hiddenSize }: Sizes) => hiddenSize,
  queries: ({ numHeads, headDim }: Sizes) => numHeads * headDim,
  /** Queries, with equally many gates in models with gated attention. */
  projectedQueries: ({ numHeads, headDim, gatesAttention }: Sizes) => (gatesAttention ? 2 : 1) * numHeads * headDim,
  keys: ({ numKvHeads, headDim }: Sizes) => numKvHeads * headDim,
  intermediate: ({ intermediateSize }: Sizes) => intermediateSize,
  /** A convolution's two gates and its input. */
  gatedTwice: ({ hiddenSize }: Sizes) => 3 * hiddenSize,
  /** Delta nets: queries, keys and values; values; one number per value head. */
  deltaConvolved: ({ deltaNet }: Sizes) => (deltaNet ? deltaWidths(deltaNet).convolved : 0),
  deltaValues: ({ deltaNet }: Sizes) => (deltaNet ? deltaWidths(deltaNet).values : 0),
  deltaHeads: ({ deltaNet }: Sizes) => deltaNet?.numValueHeads ?? 0,
} as const;

interface Linear {
  /** Name within a layer in transformers; architectures may override it. */
  path: string;
  inputs: keyof typeof WIDTHS;
  outputs: keyof typeof WIDTHS;
  /** Linears of a group share an input, and stack their outputs. */
  group: LinearGroup;
  /** RoPE applies to its outputs, so GGUF files may store its rows in another order. */
  isRotated?: true;
}

export type LinearGroup =
  'qkv' | 'output' | 'gateUp' | 'down' | 'convInput' | 'convOutput' | 'deltaInput' | 'deltaOutput';

/** The linears of layers by llama.cpp's names (src/llama-arch.cpp), in the order of the adapters' directory; groups are contiguous. */
export const LINEARS = {
  attn_q: { path: 'self_attn.q_proj', group: 'qkv', inputs: 'hidden', outputs: 'projectedQueries', isRotated: true },
  attn_k: { path: 'self_attn.k_proj', group: 'qkv', inputs: 'hidden', outputs: 'keys', isRotated: true },
  attn_v: { path: 'self_attn.v_proj', group: 'qkv', inputs: 'hidden', outputs: 'keys' },
  attn_output: { path: 'self_attn.o_proj', group: 'output', inputs: 'queries', outputs: 'hidden' },
  ffn_gate: { path: 'mlp.gate_proj', group: 'gateUp', inputs: 'hidden', outputs: 'intermediate' },
  ffn_up: { path: 'mlp.up_proj', group: 'gateUp', inputs: 'hidden', outputs: 'intermediate' },
  ffn_down: { path: 'mlp.down_proj', group: 'down', inputs: 'intermediate', outputs: 'hidden' },
  'shortconv.in_proj': { path: 'conv.in_proj', group: 'convInput', inputs: 'hidden', outputs: 'gatedTwice' },
  'shortconv.out_proj': { path: 'conv.out_proj', group: 'convOutput', inputs: 'hidden', outputs: 'hidden' },
  attn_qkv: { path: 'linear_attn.in_proj_qkv', group: 'deltaInput', inputs: 'hidden', outputs: 'deltaConvolved' },
  attn_gate: { path: 'linear_attn.in_proj_z', group: 'deltaInput', inputs: 'hidden', outputs: 'deltaValues' },
  ssm_beta: { path: 'linear_attn.in_proj_b', group: 'deltaInput', inputs: 'hidden', outputs: 'deltaHeads' },
  ssm_alpha: { path: 'linear_attn.in_proj_a', group: 'deltaInput', inputs: 'hidden', outputs: 'deltaHeads' },
  ssm_out: { path: 'linear_attn.out_proj', group: 'deltaOutput', inputs: 'deltaValues', outputs: 'hidden' },
} as const satisfies Record<string, Linear>;

/** Groups of linears that some files store fused, by the fused name; llama.cpp names fused gate and up `ffn_up`. */
export const FUSED = {
  attn_qkv: { path: 'self_attn.qkv_proj', group: 'qkv' },
  ffn_up: { path: 'mlp.gate_up_proj', group: 'gateUp' },
} as const satisfies Record<string, { path: string; group: LinearGroup }>;

export type FusedName = keyof typeof FUSED;

/** The fused group of a linear, if there is one. */
export const fusedOf = (name: LinearName): FusedName | undefined =>
  (Object.keys(FUSED) as FusedName[]).find((fused) => FUSED[fused].group === LINEARS[name].group);

export type LinearName = keyof typeof LINEARS;

export const LINEAR_NAMES = Object.keys(LINEARS) as LinearName[];

const linear = (name: LinearName): Linear => LINEARS[name];

/** Whether RoPE applies to a linear's outputs. */
export const isRotated = (name: LinearName): boolean => linear(name).isRotated === true;

/** Whether a linear adds to the residual stream. */
export const isResidual = (name: LinearName): boolean => LINEARS[name].outputs === 'hidden';

/** The linears of a group, in order. */
export const linearsOfGroup = (group: LinearGroup): LinearName[] =>
  LINEAR_NAMES.filter((name) => LINEARS[name].group === group);

/** Linears of the token mixers. */
const MIXERS = {
  attention: ['qkv', 'output'],
  convolution: ['convInput', 'convOutput'],
  deltaNet: ['deltaInput', 'deltaOutput'],
} as const satisfies Record<string, readonly LinearGroup[]>;

/** Linears that experts replace. */
const MLP: readonly LinearGroup[] = ['gateUp', 'down'];

/** The linears of a layer, in order, without those of experts. */
export function linearsOfLayer(model: Parts, layer: number): LinearName[] {
  const mixer: readonly LinearGroup[] =
    MIXERS[isConvolved(model, layer) ? 'convolution' : hasState(model, layer) ? 'deltaNet' : 'attention'];
  const own = [...mixer, ...(hasExperts(model, layer) ? [] : MLP)];
  const isShared = (name: LinearName): boolean => sharesKeys(model, layer) && LINEARS[name].outputs === 'keys';
  return LINEAR_NAMES.filter((name) => own.includes(LINEARS[name].group) && !isShared(name));
}

/** The linears of all layers of a model, in order. */
export const linearsOfModel = (model: Layers): LinearName[] =>
  LINEAR_NAMES.filter((name) =>
    Array.from({ length: model.numLayers }, (_, layer) => layer).some((layer) =>
      linearsOfLayer(model, layer).includes(name),
    ),
  );

/** Size of a model's largest group of linears. */
export const mostSideBySide = (model: Layers): number =>
  Math.max(...linearsOfModel(model).map((name) => linearsOfGroup(LINEARS[name].group).length));

/** `[outFeatures, inFeatures]` of a linear; pass `configOfLayer` for models whose layers differ in size. */
export const linearShape = (model: Sizes, name: LinearName): [number, number] => [
  WIDTHS[LINEARS[name].outputs](model),
  WIDTHS[LINEARS[name].inputs](model),
];

/** A linear's first output within its group, and the group's output width. */
export function placeInGroup(model: Sizes, name: LinearName): { outputStart: number; outputWidth: number } {
  const group = linearsOfGroup(LINEARS[name].group);
  const widths = group.map((other) => linearShape(model, other)[0]);
  const sum = (counted: readonly number[]): number => counted.reduce((total, width) => total + width, 0);
  return { outputStart: sum(widths.slice(0, group.indexOf(name))), outputWidth: sum(widths) };
}

/** Router of a layer with experts `[count, hiddenSize]`, by llama.cpp's name (src/llama-arch.cpp). */
export const ROUTER = 'ffn_gate_inp';
/** Bias added to the experts' shares when they are compared `[count]`; some models only. */
export const EXPERT_BIAS = 'exp_probs_b.bias';

/** An expert's linears; GGUF files stack all experts in one tensor each `[count, outFeatures, inFeatures]`. */
export const EXPERT_LINEARS = ['ffn_gate_exps', 'ffn_up_exps', 'ffn_down_exps'] as const;

type ExpertLinearName = (typeof EXPERT_LINEARS)[number];

/** Names in transformers of the router and experts within a layer, and of the linears within an expert. */
export interface ExpertPaths extends Readonly<Record<ExpertLinearName, string>> {
  router: string;
  bias?: string;
  /** Prefix of an expert's index. */
  experts: string;
}

/** `[outFeatures, inFeatures]` of an expert's linear. */
export function expertShape(
  { hiddenSize, experts }: Pick<ModelConfig, 'hiddenSize' | 'experts'>,
  name: ExpertLinearName,
): [number, number] {
  const width = experts?.intermediateSize ?? 0;
  return name === 'ffn_down_exps' ? [hiddenSize, width] : [width, hiddenSize];
}
