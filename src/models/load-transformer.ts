import { mlpNormOf, outputNormOf, QK_NORMS } from '../architectures/architecture.ts';
import { architectureOf } from '../architectures/registry.ts';
import {
  EXPERT_BIAS,
  ROUTER,
  isRotated,
  type LinearName,
  linearsOfGroup,
  linearsOfLayer,
} from '../architectures/linears.ts';
import { KvCache } from '../cache/kv-cache.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import {
  configOfLayer,
  deltaWidths,
  type Experts as ExpertsConfig,
  hasExperts,
  hasState,
  isConvolved,
  type ModelConfig,
  sharesKeys,
} from '../config/model-config.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Recorder } from '../gpu/recorder.ts';
import { capLogitsKernel } from '../kernels/element-wise.ts';
import { type Activations, createActivations } from '../layers/activation-buffers.ts';
import { Attention } from '../layers/attention.ts';
import { GatedDeltaNet } from '../layers/delta-net.ts';
import { DraftInput, HiddenStates } from '../layers/draft.ts';
import { Embedding, Linear, Norm } from '../layers/linear.ts';
import { Experts } from '../layers/experts.ts';
import { LayerInput, LayerInputs } from '../layers/per-layer-input.ts';
import { Mlp } from '../layers/mlp.ts';
import { ShortConv } from '../layers/short-conv.ts';
import { type RowSource, WeightUpload } from '../layers/weight-upload.ts';
import { deinterleaveRows, orderedRows, pairedRows, rowOrder, withOrderedRows } from '../weights/interleaved-rows.ts';
import { CONVOLUTION, DELTA, DRAFT, PER_LAYER } from '../weights/model-tensors.ts';
import type { TensorInfo } from '../weights/tensor-info.ts';
import { ropeTable, unrotatedTable, windowTable } from './rope-table.ts';
import { type LoadingOptions, TensorLoader, TokenRows } from './tensor-loader.ts';
import { Transformer } from './transformer.ts';
import { normThenBias } from '../kernels/linear-decode.ts';

interface TransformerOptions extends LoadingOptions {
  /** Pages of the KV cache. */
  numPages: number;
  /** Most tokens of a sequence. */
  contextLength: number;
  /** Most tokens of a batch; a multiple of the prefill tile. */
  batchTokens: number;
  /** Records the repacking of weights. */
  recorder: Recorder;
  /** Buffer of hidden states for the draft head; see `HiddenStates`. */
  states?: GPUBuffer | undefined;
}

/**
 * Loads a model onto the GPU. `tensors`: by name, as `checkTensors` returns them. Errors: `bad_file` for a number that is
 * not finite, `aborted`, and those of the sources.
 */
export async function loadTransformer(
  device: Device,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  options: TransformerOptions,
): Promise<Transformer> {
  return loaded(device, config, tensors, options, (loader) => loader.load());
}

/**
 * Loads a model's draft head, which shares the model's embeddings and output and reads its hidden states. `tensors`: named
 * as by `draftHeadTensors`.
 */
export async function loadDraftHead(
  device: Device,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  model: Transformer,
  options: TransformerOptions,
): Promise<Transformer> {
  return loaded(device, config, tensors, options, (loader) => loader.loadDraftHead(model));
}

/** Runs `load` and finishes its uploads. */
async function loaded(
  device: Device,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
  options: TransformerOptions,
  load: (loader: Loader) => Promise<Transformer>,
): Promise<Transformer> {
  const upload = new WeightUpload(device, options.recorder);
  try {
    const transformer = await load(
      new Loader(device, config, new TensorLoader(device, tensors, upload, options), options),
    );
    await upload.finish();
    return transformer;
  } finally {
    upload.destroy();
  }
}

class Loader {
  readonly #activations: Activations;
  readonly #cache: KvCache;

  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
    private readonly tensors: TensorLoader,
    private readonly options: TransformerOptions,
  ) {
    this.#activations = createActivations(device, config, options.batchTokens);
    this.#cache = new KvCache(device, config, options);
  }

  async load(): Promise<Transformer> {
    const { device, config } = this;
    const { normed, logits } = this.#activations;
    const tables = await this.ropeTables();
    const embeddings = await this.tensors.matrix('token_embd.weight');
    const layers = [];
    for (let i = 0; i < config.numLayers; i++) {
      const rope = config.unrotatedLayers.includes(i)
        ? tables.unrotated
        : config.window?.layers.includes(i)
          ? tables.window
          : tables.rotated;
      const mixer = isConvolved(config, i)
        ? await this.shortConv(i)
        : hasState(config, i)
          ? await this.deltaNet(i)
          : await this.attention(i, rope);
      const mlp = config.experts && hasExperts(config, i) ? await this.experts(i, config.experts) : await this.mlp(i);
      layers.push({ mixer, mlp, input: config.perLayerInputs === undefined ? undefined : await this.layerInput(i) });
    }
    const outputNorm = await this.norm(outputNormOf(architectureOf(config)));
    const outputMatrix = config.tiedEmbeddings ? embeddings : await this.tensors.matrix('output.weight');
    const output = new Linear(device, outputMatrix, { x: normed, y: logits });
    const embedding = new Embedding(device, embeddings, config.embeddingScale, this.#activations);
    const { batchTokens, states } = this.options;
    const inputs = config.perLayerInputs === undefined ? undefined : await this.layerInputs(config.perLayerInputs);
    const logitCap =
      config.logitCap === undefined
        ? undefined
        : createOperation(device, capLogitsKernel(device, config.vocabSize, config.logitCap), { logits });
    const matrices = { embeddings, output: outputMatrix };
    const hiddenStates = states && new HiddenStates(device, this.#activations, outputNorm, states);
    return new Transformer(device, {
      config,
      batchTokens,
      activations: this.#activations,
      cache: this.#cache,
      embedding,
      inputs,
      layers,
      outputNorm,
      output,
      matrices,
      hiddenStates,
      logitCap,
    });
  }

  async loadDraftHead({ matrices, outputNorm: modelNorm, hiddenStates }: Transformer): Promise<Transformer> {
    const { device, config } = this;
    const { x, normed, logits } = this.#activations;
    if (!hiddenStates) throw new Error('the model stores no hidden states for a draft head');
    const { states } = hiddenStates;
    const name = (part: string): string => `blk.0.${part}`;
    const { rotated } = await this.ropeTables();
    const embedding = new DraftInput(device, config.rmsNormEps, this.#activations, {
      embedding: new Embedding(device, matrices.embeddings, config.embeddingScale, this.#activations),
      tokenNorm: await this.tensors.vector(name(DRAFT.tokenNorm)),
      stateNorm: await this.tensors.vector(name(DRAFT.stateNorm)),
      projection: await this.tensors.matrix(name(DRAFT.input)),
      states,
    });
    const layers = [{ mixer: await this.attention(0, rotated), mlp: await this.mlp(0) }];
    const weight = this.tensors.has(name(DRAFT.outputNorm))
      ? await this.tensors.vector(name(DRAFT.outputNorm))
      : modelNorm.weight;
    const outputNorm = new Norm(device, weight, config.rmsNormEps, { x, output: normed });
    const output = new Linear(device, matrices.output, { x: normed, y: logits });
    const { batchTokens } = this.options;
    const own = new HiddenStates(device, this.#activations, outputNorm, states);
    return new Transformer(device, {
      config,
      batchTokens,
      activations: this.#activations,
      cache: this.#cache,
      embedding,
      layers,
      outputNorm,
      output,
      matrices,
      hiddenStates: own,
    });
  }

  async attention(layer: number, rope: GPUBuffer): Promise<Attention> {
    const { device } = this;
    const config = configOfLayer(this.config, layer);
    const name = (part: string): string => `blk.${layer}.${part}`;
    const normWeight = await this.tensors.read(name('attn_norm.weight'));
    const norm = this.normOf(this.tensors.buffer(name('attn_norm.weight'), normWeight));
    const own = linearsOfLayer(config, layer);
    const sources = linearsOfGroup('qkv')
      .filter((linear) => own.includes(linear))
      .map((linear) => this.rows(name(`${linear}.weight`), linear));
    const bias = config.qkvBias ? await this.qkvBias(layer, normWeight) : undefined;
    const qkv = await this.tensors.matrices(name('qkv'), sources);
    const output = await this.tensors.matrix(name('attn_output.weight'));
    const [queryNorm, keyNorm] = config.qkNorm
      ? [
          await this.headNorm(name('attn_q_norm.weight')),
          await this.headNorm(name(`attn_${sharesKeys(config, layer) ? 'q' : 'k'}_norm.weight`)),
        ] // a layer without keys never reads the key norm
      : [];
    const wholeNorm = config.normsQkWhole ? await this.wholeNorm(layer) : undefined;
    const { layers, tables, numPages: slotPages, tasks, errors, probes, sparse } = this.#cache;
    const buffers = {
      pages: layers[layer] as LayerPages,
      table: tables[layer] as GPUBuffer,
      slotPages,
      tasks,
      errors,
      probes,
      sparse,
      rope,
    };
    const weights = {
      norm,
      qkv,
      bias,
      output,
      queryNorm,
      keyNorm,
      wholeNorm,
      postNorm: await this.postNorm(name('post_attention_norm')),
    };
    return new Attention({ device, layer, config, activations: this.#activations }, buffers, weights);
  }

  async layerInput(layer: number): Promise<LayerInput> {
    const { config, device } = this;
    const name = (part: string): string => `blk.${layer}.${part}`;
    const gate = await this.tensors.matrix(name(PER_LAYER.gate));
    const output = await this.tensors.matrix(name(PER_LAYER.output));
    const outputNorm = await this.tensors.vector(name(PER_LAYER.outputNorm));
    const scales = this.tensors.has(name(PER_LAYER.scale)) ? await this.tensors.read(name(PER_LAYER.scale)) : undefined;
    const [scale = 1] = scales ? new Float32Array(scales.slice().buffer) : [];
    return new LayerInput(
      { device, layer, config, activations: this.#activations },
      { gate, output, outputNorm, scale },
    );
  }

  /** `width`: per-layer inputs of a token. */
  async layerInputs(width: number): Promise<{ ofLayers: LayerInputs; rows: TokenRows }> {
    const projection = await this.tensors.matrix(PER_LAYER.projection);
    const norm = await this.tensors.vector(PER_LAYER.norm);
    const ofLayers = new LayerInputs(this.device, this.config, this.#activations, { projection, norm });
    return { ofLayers, rows: new TokenRows(this.tensors.tensor(PER_LAYER.embeddings), Math.sqrt(width)) };
  }

  async shortConv(layer: number): Promise<ShortConv> {
    const { config, device } = this;
    const name = (part: string): string => `blk.${layer}.${part}.weight`;
    const norm = await this.norm(name('attn_norm'));
    const input = await this.tensors.matrix(name('shortconv.in_proj'));
    const taps = this.tensors.buffer(
      name(CONVOLUTION),
      latestFirst(await this.tensors.read(name(CONVOLUTION)), config.hiddenSize),
    );
    const output = await this.tensors.matrix(name('shortconv.out_proj'));
    const { layers, tables } = this.#cache;
    const buffers = { pages: layers[layer] as LayerPages, table: tables[layer] as GPUBuffer };
    return new ShortConv({ device, layer, config, activations: this.#activations }, buffers, {
      norm,
      input,
      taps,
      output,
    });
  }

  async deltaNet(layer: number): Promise<GatedDeltaNet> {
    const { config, device } = this;
    const { deltaNet: net } = config;
    if (!net) throw new Error(`layer ${layer} has no delta net`);
    const name = (part: string): string => `blk.${layer}.${part}`;
    const norm = await this.norm(name('attn_norm.weight'));
    const input = await this.tensors.matrices(
      name('delta input'),
      linearsOfGroup('deltaInput').map((linear) => this.rows(name(`${linear}.weight`))),
    );
    const taps = this.tensors.buffer(
      name(DELTA.convolution),
      latestFirst(await this.tensors.read(name(DELTA.convolution)), deltaWidths(net).convolved),
    );
    const [decayRate, decayBias, headNorm] = [
      await this.decayRate(name(DELTA.decayRate)),
      await this.tensors.vector(name(DELTA.decayBias)),
      await this.tensors.vector(name(DELTA.norm)),
    ];
    const output = await this.tensors.matrix(name('ssm_out.weight'));
    const { layers, tables } = this.#cache;
    const buffers = { pages: layers[layer] as LayerPages, places: tables[layer] as GPUBuffer };
    return new GatedDeltaNet({ device, layer, config, activations: this.#activations }, net, buffers, {
      norm,
      input,
      taps,
      decayRate,
      decayBias,
      headNorm,
      output,
    });
  }

  /** Decay rates of the value heads; a rate above 0 would let the state grow without bound. */
  async decayRate(name: string): Promise<GPUBuffer> {
    const bytes = await this.tensors.read(name);
    if (new Float32Array(bytes.slice().buffer).every((rate) => rate <= 0)) return this.tensors.buffer(name, bytes);
    throw new ChunkwiseError('bad_file', {
      file: this.tensors.tensor(name).source.name,
      field: name,
      reason: 'a rate of decay must not be above 0',
    });
  }

  async mlp(layer: number): Promise<Mlp> {
    const config = configOfLayer(this.config, layer);
    const name = (part: string): string => `blk.${layer}.${part}.weight`;
    const norm = await this.norm(name(mlpNormOf(architectureOf(config))));
    const sources = linearsOfGroup('gateUp').map((part) => this.rows(name(part)));
    const gateUp = await this.tensors.matrices(`blk.${layer}.ffn_gate_up`, sources);
    const down = await this.tensors.matrix(name('ffn_down'));
    const postNorm = await this.postNorm(`blk.${layer}.post_ffw_norm`);
    return new Mlp(
      { device: this.device, layer, config, activations: this.#activations },
      { norm, gateUp, down, postNorm },
    );
  }

  async experts(layer: number, { count, shares }: ExpertsConfig): Promise<Experts> {
    const name = (part: string): string => `blk.${layer}.${part}.weight`;
    const norm = await this.norm(name(mlpNormOf(architectureOf(this.config))));
    const router = await this.tensors.matrix(name(ROUTER));
    const bias = shares === 'sigmoid' ? await this.tensors.vector(`blk.${layer}.${EXPERT_BIAS}`) : undefined;
    const gateUp = await this.tensors.experts(
      `blk.${layer}.ffn_gate_up_exps`,
      [name('ffn_gate_exps'), name('ffn_up_exps')],
      count,
    );
    const down = await this.tensors.experts(`blk.${layer}.ffn_down_exps`, [name('ffn_down_exps')], count);
    return new Experts(
      { device: this.device, layer, config: this.config, activations: this.#activations },
      { norm, router, bias, gateUp, down },
    );
  }

  async norm(name: string): Promise<Norm> {
    return this.normOf(await this.tensors.vector(name));
  }

  normOf(weight: GPUBuffer): Norm {
    const { x, normed } = this.#activations;
    return new Norm(this.device, weight, this.config.rmsNormEps, { x, output: normed });
  }

  async postNorm(name: string): Promise<GPUBuffer | undefined> {
    return this.config.postNorms ? this.tensors.vector(`${name}.weight`) : undefined;
  }

  /** A linear's rows, reordered for the kernels' RoPE. */
  rows(name: string, linear?: LinearName): RowSource {
    const { ropeLayout, headDim } = this.config;
    const tensor = this.tensors.tensor(name);
    if (!linear || !isRotated(linear)) return { tensor };
    if (ropeLayout === 'interleaved') return { tensor, interleavedHeadDim: headDim };
    const order = rowOrder(this.config, linear);
    return { tensor: order ? withOrderedRows(tensor, order) : tensor };
  }

  /** The norm's weights, then the biases of q, k and v. */
  async qkvBias(layer: number, normWeight: Uint8Array): Promise<GPUBuffer> {
    const { ropeLayout, headDim } = this.config;
    const parts = await Promise.all(
      linearsOfGroup('qkv').map(async (linear) => {
        const bytes = await this.tensors.read(`blk.${layer}.${linear}.bias`);
        if (!isRotated(linear)) return bytes;
        if (ropeLayout === 'interleaved') return deinterleaveRows(bytes, 4, headDim);
        const order = rowOrder(this.config, linear);
        return order ? orderedRows(bytes, 4, order) : bytes;
      }),
    );
    const bias = await new Blob(parts as BlobPart[]).arrayBuffer();
    const both = normThenBias(new Float32Array(normWeight.slice().buffer), new Float32Array(bias));
    return this.tensors.buffer(`blk.${layer}.qkv.bias`, new Uint8Array(both.buffer));
  }

  /** Weights of q's norm, then of k's, each over all heads. */
  async wholeNorm(layer: number): Promise<GPUBuffer> {
    const parts = await Promise.all(QK_NORMS.map((name) => this.tensors.read(`blk.${layer}.${name}.weight`)));
    return this.tensors.buffer(
      `blk.${layer}.qk_norm.weight`,
      new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()),
    );
  }

  async ropeTables(): Promise<Record<'rotated' | 'unrotated' | 'window', GPUBuffer>> {
    const { config } = this;
    const { contextLength } = this.options;
    const [always, short, long] = [
      await this.divisors('rope_freqs.weight'),
      await this.divisors('rope_factors_short.weight'),
      await this.divisors('rope_factors_long.weight'),
    ];
    const floats = config.shortContext === undefined ? always : contextLength <= config.shortContext ? short : long;
    const upload = (table: Float32Array): GPUBuffer =>
      this.tensors.buffer('rope', new Uint8Array(table.buffer), 'activations');
    const rotated = upload(ropeTable(config, contextLength, floats));
    const unrotated = config.unrotatedLayers.length > 0 ? upload(unrotatedTable(config, contextLength)) : rotated;
    const window = config.window && windowTable(config, config.window, contextLength);
    return { rotated, unrotated, window: window ? upload(window) : rotated };
  }

  /** Divisors of the RoPE frequencies, if the file has them. */
  async divisors(name: string): Promise<Float32Array | undefined> {
    if (!this.tensors.has(name)) return undefined;
    const floats = new Float32Array((await this.tensors.read(name)).slice().buffer);
    if (floats.every((divisor) => divisor > 0)) return floats;
    throw new ChunkwiseError('bad_file', {
      file: this.tensors.tensor(name).source.name,
      field: name,
      reason: 'a divisor must be above 0',
    });
  }

  /** Norm weights of q's or k's heads, in the order of the kernels' RoPE. */
  async headNorm(name: string): Promise<GPUBuffer> {
    const { headDim, rotaryDim = headDim } = this.config;
    const bytes = await this.tensors.read(name);
    return this.tensors.buffer(
      name,
      rotaryDim === headDim ? bytes : orderedRows(bytes, 4, pairedRows(headDim, rotaryDim)),
    );
  }
}

/** Transposes a convolution's weights, f32 `[width, taps]`, to `[taps, width]`, the latest token's first. */
function latestFirst(bytes: Uint8Array, width: number): Uint8Array {
  const weights = new Float32Array(bytes.slice().buffer);
  const taps = weights.length / width;
  return new Uint8Array(
    weights.map((_, i) => weights[(i % width) * taps + taps - 1 - Math.floor(i / width)] as number).buffer,
  );
}
