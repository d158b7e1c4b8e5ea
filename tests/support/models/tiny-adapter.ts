import type { AdapterSource } from '../../../src/adapters/adapter-header.ts';
import { configOfLayer, type ModelConfig } from '../../../src/config/model-config.ts';
import { openGguf } from '../../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../../src/weights/model-config.ts';
import { BytesSource } from '../bytes-source.ts';
import { f32, writeGguf } from './gguf-writer.ts';
import { quantize } from './quantize.ts';
import { Random } from '../random.ts';
import { isInterleaved, tinyModel } from './tiny-model.ts';
import type { TinyModelOptions } from './tiny-model.ts';
import { writeSafetensors } from './safetensors-writer.ts';

export type FloatType = 'F32' | 'F16' | 'BF16';

export interface TinyAdapterOptions {
  seed: number;
  rank?: number;
  alpha?: number;
  type?: FloatType;
  /** Names in transformers, such as `q_proj`; default: all. */
  targets?: readonly string[];
  /** Default: all. */
  layers?: readonly number[];
  /** Ranks of single modules, by their full names in transformers. */
  ranks?: Readonly<Record<string, number>>;
  /** Added to the config; replaces existing keys. */
  config?: Readonly<Record<string, unknown>>;
  /** Standard deviation of ΔW's output for an input of RMS 1; default 0.5. */
  gain?: number;
}

export interface TinyModule {
  /** `model.layers.0.self_attn.q_proj` */
  name: string;
  gguf: string;
  rank: number;
  /** `[rank, inFeatures]` */
  a: Float32Array;
  /** `[outFeatures, rank]` */
  b: Float32Array;
  inFeatures: number;
  outFeatures: number;
}

export interface TinyAdapter {
  config: Record<string, unknown>;
  modules: TinyModule[];
  type: FloatType;
}

/** Names of a layer's linears. */
type Names = [transformers: string, gguf: string][];

const LINEARS: Names = [
  ['self_attn.q_proj', 'attn_q'],
  ['self_attn.k_proj', 'attn_k'],
  ['self_attn.v_proj', 'attn_v'],
  ['self_attn.o_proj', 'attn_output'],
  ['mlp.gate_proj', 'ffn_gate'],
  ['mlp.up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
];
const LFM2_MLP: Names = [
  ['feed_forward.w1', 'ffn_gate'],
  ['feed_forward.w3', 'ffn_up'],
  ['feed_forward.w2', 'ffn_down'],
];
const LFM2_ATTENTION: Names = [...LINEARS.slice(0, 3), ['self_attn.out_proj', 'attn_output']];
const LFM2_CONVOLUTION: Names = [
  ['conv.in_proj', 'shortconv.in_proj'],
  ['conv.out_proj', 'shortconv.out_proj'],
];

const DELTA_NET: Names = [
  ['linear_attn.in_proj_qkv', 'attn_qkv'],
  ['linear_attn.in_proj_z', 'attn_gate'],
  ['linear_attn.in_proj_b', 'ssm_beta'],
  ['linear_attn.in_proj_a', 'ssm_alpha'],
  ['linear_attn.out_proj', 'ssm_out'],
];

/** Names in a model whose files fuse groups of linears. */
const FUSED: Names = [
  ['self_attn.qkv_proj', 'attn_qkv'],
  ['self_attn.o_proj', 'attn_output'],
  ['mlp.gate_up_proj', 'ffn_up'],
  ['mlp.down_proj', 'ffn_down'],
];

function linearsOf({ architecture, convolution, deltaNet, experts, sharedKeys }: ModelConfig, layer: number): Names {
  if (sharedKeys && layer >= sharedKeys.from)
    return LINEARS.filter(([, linear]) => linear !== 'attn_k' && linear !== 'attn_v');
  if (deltaNet?.layers.includes(layer)) return [...DELTA_NET, ...LINEARS.slice(4)];
  if (architecture === 'phi3') return FUSED;
  if (['qwen3moe', 'olmoe'].includes(architecture)) return LINEARS.slice(0, 4);
  if (architecture !== 'lfm2' && architecture !== 'lfm2moe') return LINEARS;
  const hasMlp = layer < (experts?.firstLayer ?? Infinity);
  return [...(convolution?.layers.includes(layer) ? LFM2_CONVOLUTION : LFM2_ATTENTION), ...(hasMlp ? LFM2_MLP : [])];
}

export async function tinyConfig(options: Partial<TinyModelOptions> = {}): Promise<ModelConfig> {
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 1, ...SMALL, ...options });
  return readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
}

const SMALL = { numLayers: 2, hiddenSize: 64, intermediateSize: 96, numHeads: 4, numKvHeads: 2 };

/** A random adapter for a model in PEFT's layout: rows in the model's own order. */
export function tinyAdapter(model: ModelConfig, options: TinyAdapterOptions): TinyAdapter {
  const { seed, rank = 4, alpha = 8, type = 'F32', ranks = {}, gain = 0.5 } = options;
  const layers = options.layers ?? Array.from({ length: model.numLayers }, (_, i) => i);
  const targets = options.targets ?? [
    ...new Set(layers.flatMap((layer) => linearsOf(model, layer).map(([path]) => path.split('.')[1]!))),
  ];
  const random = new Random(seed);
  const modules: TinyModule[] = [];
  for (const layer of layers) {
    for (const [path, linear] of linearsOf(model, layer)) {
      if (!targets.includes(path.split('.')[1]!)) continue;
      const name = `model.layers.${layer}.${path}`;
      const own = ranks[name] ?? rank;
      const [outFeatures, inFeatures] = shapeOf(configOfLayer(model, layer), linear);
      const a = rounded(type, random.normals(own * inFeatures, 1 / Math.sqrt(inFeatures)));
      const b = rounded(type, random.normals(outFeatures * own, gain / Math.sqrt(own)));
      modules.push({ name, gguf: `blk.${layer}.${linear}.weight`, rank: own, a, b, inFeatures, outFeatures });
    }
  }
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'tiny',
    r: rank,
    lora_alpha: alpha,
    target_modules: targets,
    bias: 'none',
    lora_dropout: 0.05,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    ...options.config,
  };
  return { config, modules, type };
}

function shapeOf(model: ModelConfig, linear: string): [outFeatures: number, inFeatures: number] {
  const q = model.numHeads * model.headDim;
  if (model.deltaNet) {
    const { numKeyHeads, numValueHeads, headDim } = model.deltaNet;
    const values = numValueHeads * headDim;
    const own: Record<string, number> = {
      attn_qkv: 2 * numKeyHeads * headDim + values,
      attn_gate: values,
      ssm_beta: numValueHeads,
      ssm_alpha: numValueHeads,
      attn_q: 2 * q,
    };
    if (own[linear] !== undefined) return [own[linear], model.hiddenSize];
    if (linear === 'ssm_out') return [model.hiddenSize, values];
  }
  if (linear === 'shortconv.in_proj') return [3 * model.hiddenSize, model.hiddenSize];
  if (linear === 'shortconv.out_proj') return [model.hiddenSize, model.hiddenSize];
  if (linear === 'attn_q') return [q, model.hiddenSize];
  if (linear === 'attn_output') return [model.hiddenSize, q];
  if (linear === 'attn_qkv') return [q + 2 * model.numKvHeads * model.headDim, model.hiddenSize];
  if (model.architecture === 'phi3' && linear === 'ffn_up') return [2 * model.intermediateSize, model.hiddenSize];
  if (linear.startsWith('attn')) return [model.numKvHeads * model.headDim, model.hiddenSize];
  const isDown = linear === 'ffn_down';
  return isDown ? [model.hiddenSize, model.intermediateSize] : [model.intermediateSize, model.hiddenSize];
}

/** Values rounded to the type. */
function rounded(type: FloatType, values: Float32Array): Float32Array {
  if (type === 'F32') return values;
  const step = type === 'F16' ? 2 ** 10 : 2 ** 7;
  return values.map((value) => {
    const unit = 2 ** Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -14)));
    return (Math.round((value / unit) * step) / step) * unit;
  });
}

export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';

/** The adapter as PEFT saves it. */
export function peftSource(adapter: TinyAdapter): AdapterSource {
  const config = new BytesSource(CONFIG_FILE, new TextEncoder().encode(JSON.stringify(adapter.config)));
  return { config, weights: new BytesSource(WEIGHTS_FILE, peftWeights(adapter)) };
}

export function peftWeights({ modules, type }: TinyAdapter): Uint8Array {
  const tensors = modules.flatMap(({ name, rank, a, b, inFeatures, outFeatures }) => [
    { name: `base_model.model.${name}.lora_A.weight`, shape: [rank, inFeatures], type, bytes: quantize(type, a) },
    { name: `base_model.model.${name}.lora_B.weight`, shape: [outFeatures, rank], type, bytes: quantize(type, b) },
  ]);
  return writeSafetensors(tensors, { format: 'pt' });
}

/** The adapter as llama.cpp's convert_lora_to_gguf.py writes it: q and k rows of the Llama family permuted. */
export function ggufAdapter({ config, modules, type }: TinyAdapter, model: ModelConfig): Uint8Array {
  const tensors = modules.flatMap(({ gguf, rank, a, b, inFeatures, outFeatures }) => {
    const permuted = isInterleaved(model.architecture) && /attn_[qk]/.test(gguf);
    const rows = permuted ? permute(b, outFeatures, rank, model.headDim) : b;
    return [
      { name: `${gguf}.lora_a`, shape: [rank, inFeatures], type, bytes: quantize(type, a) },
      { name: `${gguf}.lora_b`, shape: [outFeatures, rank], type, bytes: quantize(type, rows) },
    ];
  });
  const invocation = config['alora_invocation_tokens'];
  return writeGguf({
    metadata: {
      'general.type': 'adapter',
      'general.architecture': model.architecture,
      'adapter.type': 'lora',
      'adapter.lora.alpha': f32(config['lora_alpha'] as number),
      ...(Array.isArray(invocation) && { 'adapter.alora.invocation_tokens': Uint32Array.from(invocation as number[]) }),
    },
    tensors,
  });
}

/** Head by head `[2, headDim / 2, columns]` → `[headDim / 2, 2, columns]`, as in convert_hf_to_gguf.py, permute. */
function permute(b: Float32Array, rows: number, columns: number, headDim: number): Float32Array {
  const out = new Float32Array(b.length);
  for (let head = 0; head < rows / headDim; head++) {
    for (let half = 0; half < 2; half++) {
      for (let i = 0; i < headDim / 2; i++) {
        const from = head * headDim + half * (headDim / 2) + i;
        out.set(b.subarray(from * columns, (from + 1) * columns), (head * headDim + 2 * i + half) * columns);
      }
    }
  }
  return out;
}
