import {
  configOfLayer,
  deltaWidths,
  type Experts,
  hasExperts,
  hasState,
  isConvolved,
  type ModelConfig,
  sharesKeys,
} from '../config/model-config.ts';
import { outputNormOf, type NormName, normShape, QK_NORMS } from '../architectures/architecture.ts';
import { architectureOf } from '../architectures/registry.ts';
import {
  EXPERT_BIAS,
  EXPERT_LINEARS,
  expertShape,
  ROUTER,
  FUSED,
  type FusedName,
  linearShape,
  linearsOfGroup,
  linearsOfLayer,
  placeInGroup,
} from '../architectures/linears.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { draftLayers } from './model-config.ts';
import type { ModelHeader } from './model-header.ts';
import { LONG_ROPE } from './rope-config.ts';
import { rowsOf, type TensorInfo } from './tensor-info.ts';

/**
 * Checks that a file holds every tensor of its architecture in the right shape, and no other tensor, which the forward
 * pass would ignore. Returns them by name; names are llama.cpp's (src/llama-arch.cpp). Throws `bad_file` for a missing
 * or misshapen tensor, `unsupported` for an unknown one.
 */
export function checkTensors(file: ModelHeader, config: ModelConfig): ReadonlyMap<string, TensorInfo> {
  const drafts = draftLayers(file.metadata, config.architecture) > 0;
  const own = file.tensors.filter(
    ({ name }) => !drafts || Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? 0) < config.numLayers,
  );
  const tensors = architectureOf(config).isFused
    ? own.flatMap((tensor) => unfused(tensor, config))
    : own.filter((tensor) => !isUnused(tensor, config));
  const found = checkAgainst({ metadata: file.metadata, tensors }, config.architecture, wantedTensors(config));
  if (config.experts) checkGates(found, config.numLayers);
  return found;
}

/** Key tensors of a layer that shares another layer's keys: files of Gemma 4 contain them anyway. */
function isUnused({ name }: TensorInfo, config: ModelConfig): boolean {
  const [, layer] = /^blk\.(\d+)\.attn_(?:k|v|k_norm)\.weight$/.exec(name) ?? [];
  return layer !== undefined && sharesKeys(config, Number(layer));
}

/** checkTensors for a given list of tensors. */
export function checkAgainst(
  { metadata, tensors }: ModelHeader,
  architecture: string,
  wanted: ReadonlyMap<string, WantedTensor>,
): ReadonlyMap<string, TensorInfo> {
  const found = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const tensor of tensors) {
    if (wanted.has(tensor.name)) continue;
    const reason = `unknown tensor of a ${architecture} model; the forward pass would ignore it`;
    throw new ChunkwiseError('unsupported', { file: tensor.source.name, field: tensor.name, reason });
  }
  for (const [name, { shape, optional, readAs }] of wanted) {
    const tensor = found.get(name);
    if (tensor !== undefined) {
      checkTensor(tensor, shape);
      if (readAs) found.set(name, { ...tensor, shape: readAs });
    } else if (!optional) {
      const reason = 'the tensor is missing';
      throw new ChunkwiseError('bad_file', { file: metadata.file, field: name, reason });
    }
  }
  for (const name of wanted.keys()) checkVector(found.get(name));
  return found;
}

/** One kernel multiplies by an expert's gate and up, so both need one type. */
function checkGates(found: ReadonlyMap<string, TensorInfo>, numLayers: number): void {
  for (let layer = 0; layer < numLayers; layer++) {
    const [gate, up] = ['gate', 'up'].map((part) => found.get(`blk.${layer}.ffn_${part}_exps.weight`));
    if (!gate || !up || gate.type === up.type) continue;
    const reason = `is in ${up.type}, but ${gate.name} in ${gate.type}: experts need gate and up of one type`;
    throw new ChunkwiseError('unsupported', { file: up.source.name, field: up.name, reason });
  }
}

interface WantedTensor {
  shape: readonly number[];
  optional?: boolean;
  /** Shape to read it in, if different: the same elements in the same order. */
  readAs?: readonly number[];
}

/** Short convolution: weights `[hiddenSize, taps]`, the latest token's last. */
export const CONVOLUTION = 'shortconv.conv';

/** Tensors of a layer with a delta net. */
export const DELTA = {
  /** Convolution weights `[convolved, taps]`, the latest token's last. */
  convolution: 'ssm_conv1d.weight',
  /** A value head's decay rate, negative, and the bias of its decay input. */
  decayRate: 'ssm_a',
  decayBias: 'ssm_dt.bias',
  norm: 'ssm_norm.weight',
} as const;

/**
 * Tensors of a model with per-layer embeddings: the embeddings `[vocabSize, numLayers perLayerInputs]`, which stay off
 * the GPU, and the projection that gives the other part of each layer's input.
 */
export const PER_LAYER = {
  embeddings: 'per_layer_token_embd.weight',
  projection: 'per_layer_model_proj.weight',
  norm: 'per_layer_proj_norm.weight',
  /** Tensors of each layer. */
  gate: 'inp_gate.weight',
  output: 'proj.weight',
  outputNorm: 'post_norm.weight',
  /** Factor of the residual stream after the layer, `[1]`; default: 1. */
  scale: 'layer_output_scale.weight',
} as const;

/**
 * Tensors of the draft layer (llama.cpp's nextn): norms of the token's embedding and of the hidden state, the
 * projection of both to its input, and its output norm.
 */
export const DRAFT = {
  tokenNorm: 'nextn.enorm.weight',
  stateNorm: 'nextn.hnorm.weight',
  input: 'nextn.eh_proj.weight',
  outputNorm: 'nextn.shared_head_norm.weight',
} as const;

/**
 * Tensors of a model's draft head, named as in a model of one layer plus those in DRAFT; undefined if the file has no
 * head that this runtime runs. Embeddings and output are the model's. Errors: `bad_file` for a missing or misshapen
 * tensor.
 */
export function draftHeadTensors(
  file: ModelHeader,
  config: ModelConfig,
): { config: ModelConfig; tensors: ReadonlyMap<string, TensorInfo> } | undefined {
  const head = draftHeadOf(config);
  const prefix = `blk.${config.numLayers}.`;
  const wanted = new Map([...wantedTensors(head)].map(([name, tensor]) => [name.replace('blk.0.', prefix), tensor]));
  const tensors = file.tensors.filter(({ name }) => !name.startsWith('blk.') || name.startsWith(prefix));
  const isRun =
    architectureOf(config).draftParts !== undefined && tensors.some(({ name }) => name === `${prefix}${DRAFT.input}`);
  if (
    !isRun ||
    tensors.some((tensor) => tensor.name.startsWith(prefix) && !(wanted.has(tensor.name) && isRead(tensor)))
  )
    return undefined;
  const found = checkAgainst({ metadata: file.metadata, tensors }, head.architecture, wanted);
  return {
    config: head,
    tensors: new Map([...found].map(([name, tensor]) => [name.replace(prefix, 'blk.0.'), tensor])),
  };
}

/** Config of the draft head as a one-layer model with full attention. */
function draftHeadOf(config: ModelConfig): ModelConfig {
  const head: ModelConfig = { ...config, numLayers: 1, unrotatedLayers: [], isDraftHead: true };
  delete head.deltaNet;
  return head;
}

/** Tensors that are uploaded to the GPU. */
export const onGpu = (tensors: ReadonlyMap<string, TensorInfo>): TensorInfo[] =>
  [...tensors.values()].filter(({ name }) => name !== PER_LAYER.embeddings);

/** Every tensor of a model, by name. */
export function wantedTensors(config: ModelConfig): Map<string, WantedTensor> {
  const {
    hiddenSize,
    headDim,
    vocabSize,
    numLayers,
    convolution,
    deltaNet,
    experts,
    perLayerInputs,
    shortContext,
    rotaryDim = headDim,
  } = config;
  const architecture = architectureOf(config);
  const wanted = new Map<string, WantedTensor>([
    ['token_embd.weight', { shape: [vocabSize, hiddenSize] }],
    [outputNormOf(architecture), { shape: [hiddenSize] }],
  ]);
  // One divisor per frequency, for LongRoPE or Llama 3's scaling.
  if (shortContext === undefined) wanted.set('rope_freqs.weight', { shape: [rotaryDim / 2], optional: true });
  else for (const name of LONG_ROPE) wanted.set(name, { shape: [rotaryDim / 2] });
  if (!config.tiedEmbeddings) wanted.set('output.weight', { shape: [vocabSize, hiddenSize] });
  if (perLayerInputs !== undefined) {
    wanted.set(PER_LAYER.embeddings, { shape: [vocabSize, numLayers * perLayerInputs] });
    wanted.set(PER_LAYER.projection, { shape: [numLayers * perLayerInputs, hiddenSize] });
    wanted.set(PER_LAYER.norm, { shape: [perLayerInputs] });
  }
  for (let layer = 0; layer < numLayers; layer++) {
    const own = configOfLayer(config, layer);
    const want = (name: string, shape: readonly number[], readAs?: readonly number[]): void =>
      void wanted.set(`blk.${layer}.${name}`, { shape, ...(readAs && { readAs }) });
    const attends = !isConvolved(config, layer) && !hasState(config, layer);
    const isMissing = (name: NormName): boolean =>
      (!attends && QK_NORMS.includes(name)) || (name === 'attn_k_norm' && sharesKeys(config, layer));
    for (const name of architecture.norms) if (!isMissing(name)) want(`${name}.weight`, normShape(own, name));
    for (const name of linearsOfLayer(config, layer)) want(`${name}.weight`, linearShape(own, name));
    if (perLayerInputs !== undefined) {
      want(PER_LAYER.gate, [perLayerInputs, hiddenSize]);
      want(PER_LAYER.output, [hiddenSize, perLayerInputs]);
      want(PER_LAYER.outputNorm, [hiddenSize]);
      wanted.set(`blk.${layer}.${PER_LAYER.scale}`, { shape: [1], optional: true });
    }
    if (config.isDraftHead) {
      for (const name of [DRAFT.tokenNorm, DRAFT.stateNorm]) want(name, [hiddenSize]);
      want(DRAFT.input, [hiddenSize, 2 * hiddenSize]);
      wanted.set(`blk.${layer}.${DRAFT.outputNorm}`, { shape: [hiddenSize], optional: true });
    }
    if (attends && config.qkvBias)
      for (const name of linearsOfGroup('qkv')) want(`${name}.bias`, [linearShape(config, name)[0]]);
    if (convolution && !attends)
      want(`${CONVOLUTION}.weight`, [hiddenSize, convolution.taps], [hiddenSize * convolution.taps]);
    if (deltaNet && !attends) {
      const { convolved } = deltaWidths(deltaNet);
      want(DELTA.convolution, [convolved, deltaNet.taps], [convolved * deltaNet.taps]);
      want(DELTA.decayRate, [deltaNet.numValueHeads]);
      want(DELTA.decayBias, [deltaNet.numValueHeads]);
      want(DELTA.norm, [deltaNet.headDim]);
    }
    if (experts && hasExperts(config, layer))
      for (const [name, own, readAs] of expertTensors(config, experts)) want(name, own, readAs);
  }
  return wanted;
}

/** Router and expert tensors of a layer. The stacked matrices of all experts are read as one matrix. */
function expertTensors(
  config: ModelConfig,
  { count, shares }: Experts,
): [name: string, shape: number[], readAs?: number[]][] {
  const stacks = EXPERT_LINEARS.map((name): [string, number[], number[]] => {
    const [rows, columns] = expertShape(config, name);
    return [`${name}.weight`, [count, rows, columns], [count * rows, columns]];
  });
  return [
    [`${ROUTER}.weight`, [count, config.hiddenSize]],
    ...(shares === 'sigmoid' ? [[EXPERT_BIAS, [count]] as [string, number[]]] : []),
    ...stacks,
  ];
}

const FUSED_NAME = /^blk\.(\d+)\.(attn_qkv|ffn_up)\.(weight|bias)$/;

/** Splits a fused tensor into its linears; returns any other tensor alone. */
function unfused(tensor: TensorInfo, config: ModelConfig): TensorInfo[] {
  const [, layer, name, end] = FUSED_NAME.exec(tensor.name) ?? [];
  if (name === undefined) return [tensor];
  const linears = linearsOfGroup(FUSED[name as FusedName].group);
  const places = linears.map((linear) => placeInGroup(config, linear).outputStart);
  checkTensor(
    tensor,
    end === 'bias'
      ? [placeInGroup(config, linears[0]!).outputWidth]
      : [placeInGroup(config, linears[0]!).outputWidth, config.hiddenSize],
  );
  return linears.map((linear, i) =>
    rowsOf(tensor, `blk.${layer}.${linear}.${end}`, places[i]!, linearShape(config, linear)[0]),
  );
}

function checkTensor(tensor: TensorInfo, shape: readonly number[]): void {
  const { name, source } = tensor;
  if (tensor.shape.length !== shape.length || tensor.shape.some((length, i) => length !== shape[i])) {
    const reason = `its shape is [${tensor.shape.join(', ')}], but the metadata require [${shape.join(', ')}]`;
    throw new ChunkwiseError('bad_file', { file: source.name, field: name, reason });
  }
}

/** llama.cpp stores norms, biases, frequencies and convolutions in F32 for every model type. */
const isRead = ({ shape, type }: TensorInfo): boolean => shape.length > 1 || type === 'F32';

function checkVector(tensor: TensorInfo | undefined): void {
  if (!tensor || isRead(tensor)) return;
  const reason = `a vector in ${tensor.type}; only F32 is supported`;
  throw new ChunkwiseError('unsupported', { file: tensor.source.name, field: tensor.name, reason });
}
