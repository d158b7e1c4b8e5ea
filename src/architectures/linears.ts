import { deltaWidths } from '../config/delta-net.ts';
import { hasExperts, hasState, isConvolved, type ModelConfig, sharesKeys } from '../config/model-config.ts';

type Sizes = Pick<
  ModelConfig,
  'hiddenSize' | 'intermediateSize' | 'headDim' | 'numHeads' | 'numKvHeads' | 'deltaNet' | 'gatesAttention'
>;
type Parts = Pick<ModelConfig, 'convolution' | 'deltaNet' | 'sharedKeys' | 'experts'>;
type Layers = Parts & Pick<ModelConfig, 'numLayers'>;

/** Widths that a linear reads or writes. */
const WIDTHS = {
  hidden: ({ hiddenSize }: Sizes) => hiddenSize,
  queries: ({ numHeads, headDim }: Sizes) => numHeads * headDim,
  /** The same, and where they are gated as many gates of what is attended to. */
  projectedQueries: ({ numHeads, headDim, gatesAttention }: Sizes) => (gatesAttention ? 2 : 1) * numHeads * headDim,
  keys: ({ numKvHeads, headDim }: Sizes) => numKvHeads * headDim,
  intermediate: ({ intermediateSize }: Sizes) => intermediateSize,
  /** A convolution's two gates, and what it takes in. */
  gatedTwice: ({ hiddenSize }: Sizes) => 3 * hiddenSize,
  /** Of a delta net: queries, keys and values; values; and a number a value head. */
  deltaConvolved: ({ deltaNet }: Sizes) => (deltaNet ? deltaWidths(deltaNet).convolved : 0),
  deltaValues: ({ deltaNet }: Sizes) => (deltaNet ? deltaWidths(deltaNet).values : 0),
  deltaHeads: ({ deltaNet }: Sizes) => deltaNet?.numValueHeads ?? 0,
} as const;

interface Linear {
  /** What transformers calls it within a layer, but for architectures with names of their own. */
  path: string;
  inputs: keyof typeof WIDTHS;
  outputs: keyof typeof WIDTHS;
  /** Linears of one group read one input and write one output, one below the other. */
  group: LinearGroup;
  /** Its outputs are rotated by their positions: GGUF files may have its rows in another order. */
  isRotated?: true;
}

export type LinearGroup =
  'qkv' | 'output' | 'gateUp' | 'down' | 'convInput' | 'convOutput' | 'deltaInput' | 'deltaOutput';

/** The linears of layers by llama.cpp's names (src/llama-arch.cpp), in the order in which adapters keep them; a group's are neighbours. */
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

/** Groups of linears that some files have as one, by the names of that, one below the other; llama.cpp calls gate and up together up. */
export const FUSED = {
  attn_qkv: { path: 'self_attn.qkv_proj', group: 'qkv' },
  ffn_up: { path: 'mlp.gate_up_proj', group: 'gateUp' },
} as const satisfies Record<string, { path: string; group: LinearGroup }>;

export type FusedName = keyof typeof FUSED;

/** The one that a linear is in, where its group is fused. */
export const fusedOf = (name: LinearName): FusedName | undefined =>
  (Object.keys(FUSED) as FusedName[]).find((fused) => FUSED[fused].group === LINEARS[name].group);

export type LinearName = keyof typeof LINEARS;

export const LINEAR_NAMES = Object.keys(LINEARS) as LinearName[];

const linear = (name: LinearName): Linear => LINEARS[name];

/** Whether a linear's outputs are rotated by their positions. */
export const isRotated = (name: LinearName): boolean => linear(name).isRotated === true;

/** Whether a linear adds to the residual stream. */
export const isResidual = (name: LinearName): boolean => LINEARS[name].outputs === 'hidden';

/** The linears of a group, in order. */
export const linearsOfGroup = (group: LinearGroup): LinearName[] =>
  LINEAR_NAMES.filter((name) => LINEARS[name].group === group);

/** What a layer has to see other tokens with. */
const MIXERS = {
  attention: ['qkv', 'output'],
  convolution: ['convInput', 'convOutput'],
  deltaNet: ['deltaInput', 'deltaOutput'],
} as const satisfies Record<string, readonly LinearGroup[]>;

/** Those that experts stand in for. */
const MLP: readonly LinearGroup[] = ['gateUp', 'down'];

/** The linears that a layer of a model has, in order; those of experts are not among them. */
export function linearsOfLayer(model: Parts, layer: number): LinearName[] {
  const mixer: readonly LinearGroup[] =
    MIXERS[isConvolved(model, layer) ? 'convolution' : hasState(model, layer) ? 'deltaNet' : 'attention'];
  const own = [...mixer, ...(hasExperts(model, layer) ? [] : MLP)];
  const isShared = (name: LinearName): boolean => sharesKeys(model, layer) && LINEARS[name].outputs === 'keys';
  return LINEAR_NAMES.filter((name) => own.includes(LINEARS[name].group) && !isShared(name));
}

/** The linears that any layer of a model has, in order. */
export const linearsOfModel = (model: Layers): LinearName[] =>
  LINEAR_NAMES.filter((name) =>
    Array.from({ length: model.numLayers }, (_, layer) => layer).some((layer) =>
      linearsOfLayer(model, layer).includes(name),
    ),
  );

/** Most linears of a group that a model has. */
export const mostSideBySide = (model: Layers): number =>
  Math.max(...linearsOfModel(model).map((name) => linearsOfGroup(LINEARS[name].group).length));

/** `[outFeatures, inFeatures]` of a linear; of a model whose layers differ in size, by `configOfLayer`. */
export const linearShape = (model: Sizes, name: LinearName): [number, number] => [
  WIDTHS[LINEARS[name].outputs](model),
  WIDTHS[LINEARS[name].inputs](model),
];

/** Where a linear's outputs lie in those of its group, and how wide these are. */
export function placeInGroup(model: Sizes, name: LinearName): { outputStart: number; outputWidth: number } {
  const group = linearsOfGroup(LINEARS[name].group);
  const widths = group.map((other) => linearShape(model, other)[0]);
  const sum = (counted: readonly number[]): number => counted.reduce((total, width) => total + width, 0);
  return { outputStart: sum(widths.slice(0, group.indexOf(name))), outputWidth: sum(widths) };
}
