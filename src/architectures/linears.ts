import { hasExperts, isConvolved, type ModelConfig } from '../config/model-config.ts';

type Sizes = Pick<ModelConfig, 'hiddenSize' | 'intermediateSize' | 'headDim' | 'numHeads' | 'numKvHeads'>;
type Mixers = Pick<ModelConfig, 'convolution' | 'experts' | 'numLayers'>;

/** Widths that a linear reads or writes. */
const WIDTHS = {
  hidden: ({ hiddenSize }: Sizes) => hiddenSize,
  queries: ({ numHeads, headDim }: Sizes) => numHeads * headDim,
  keys: ({ numKvHeads, headDim }: Sizes) => numKvHeads * headDim,
  intermediate: ({ intermediateSize }: Sizes) => intermediateSize,
  /** A convolution's two gates, and what it takes in. */
  gatedTwice: ({ hiddenSize }: Sizes) => 3 * hiddenSize,
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

export type LinearGroup = 'qkv' | 'output' | 'gateUp' | 'down' | 'convInput' | 'convOutput';

/** The linears of layers by llama.cpp's names (src/llama-arch.cpp), in the order in which adapters keep them; a group's are neighbours. */
export const LINEARS = {
  attn_q: { path: 'self_attn.q_proj', group: 'qkv', inputs: 'hidden', outputs: 'queries', isRotated: true },
  attn_k: { path: 'self_attn.k_proj', group: 'qkv', inputs: 'hidden', outputs: 'keys', isRotated: true },
  attn_v: { path: 'self_attn.v_proj', group: 'qkv', inputs: 'hidden', outputs: 'keys' },
  attn_output: { path: 'self_attn.o_proj', group: 'output', inputs: 'queries', outputs: 'hidden' },
  ffn_gate: { path: 'mlp.gate_proj', group: 'gateUp', inputs: 'hidden', outputs: 'intermediate' },
  ffn_up: { path: 'mlp.up_proj', group: 'gateUp', inputs: 'hidden', outputs: 'intermediate' },
  ffn_down: { path: 'mlp.down_proj', group: 'down', inputs: 'intermediate', outputs: 'hidden' },
  'shortconv.in_proj': { path: 'conv.in_proj', group: 'convInput', inputs: 'hidden', outputs: 'gatedTwice' },
  'shortconv.out_proj': { path: 'conv.out_proj', group: 'convOutput', inputs: 'hidden', outputs: 'hidden' },
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
export const linearsOfGroup = (group: LinearGroup): LinearName[] => LINEAR_NAMES.filter((name) => LINEARS[name].group === group);

/** Of a layer with attention, and of one with a convolution in its place. */
const MIXERS: Record<'attention' | 'convolution', readonly LinearGroup[]> = { attention: ['qkv', 'output'], convolution: ['convInput', 'convOutput'] };

/** Those that experts stand in for. */
const MLP: readonly LinearGroup[] = ['gateUp', 'down'];

/** The linears that a layer of a model has, in order; those of experts are not among them. */
export function linearsOfLayer(model: Pick<Mixers, 'convolution' | 'experts'>, layer: number): LinearName[] {
  const others = [...MIXERS[isConvolved(model, layer) ? 'attention' : 'convolution'], ...(hasExperts(model, layer) ? MLP : [])];
  return LINEAR_NAMES.filter((name) => !others.includes(LINEARS[name].group));
}

/** The linears that any layer of a model has, in order. */
export const linearsOfModel = (model: Mixers): LinearName[] =>
  LINEAR_NAMES.filter((name) => Array.from({ length: model.numLayers }, (_, layer) => layer).some((layer) => linearsOfLayer(model, layer).includes(name)));

/** `[outFeatures, inFeatures]` of a linear. */
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
