import { AdapterArena, type ArenaBuffers } from '../adapters/adapter-arena.ts';
import { mostSideBySide } from '../architectures/linears.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Dispatcher, Operation } from '../gpu/recorder.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { mostDecoded } from '../kernels/linear-decode.ts';
import { type Activations, HEAD_TOKENS } from '../layers/activation-buffers.ts';
import type { Attention } from '../layers/attention.ts';
import type { Batch } from '../layers/batch.ts';
import type { DraftInput, HiddenStates } from '../layers/draft.ts';
import { beforeFirstHalf, type Embedding, type Linear, type Norm } from '../layers/linear.ts';
import type { Experts } from '../layers/experts.ts';
import type { LayerInput, LayerInputs } from '../layers/per-layer-input.ts';
import type { LoraDelta } from '../layers/lora.ts';
import type { Mlp } from '../layers/mlp.ts';
import type { GatedDeltaNet } from '../layers/delta-net.ts';
import type { ShortConv } from '../layers/short-conv.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import type { TokenRows } from './tensor-loader.ts';

/** `mixer`: the half of a layer that mixes tokens. */
export interface Layer {
  mixer: Attention | ShortConv | GatedDeltaNet;
  mlp: Mlp | Experts;
  /** Per-layer input of each token, in models that have it. */
  input?: LayerInput | undefined;
}

interface TransformerParts {
  config: ModelConfig;
  /** Most tokens of one batch. */
  batchTokens: number;
  activations: Activations;
  cache: KvCache;
  embedding: Embedding | DraftInput;
  layers: readonly Layer[];
  outputNorm: Norm;
  output: Linear;
  /** Embedding and output matrices; the same if tied. */
  matrices: { embeddings: WeightMatrix; output: WeightMatrix };
  /** Hidden states for the draft head. */
  hiddenStates?: HiddenStates | undefined;
  /** Models with per-layer inputs: their projection, and their matrix rows. */
  inputs?: { ofLayers: LayerInputs; rows: TokenRows } | undefined;
  logitCap?: Operation<{ tokens: number }> | undefined;
}

/** Layers from `from` up to `to` (exclusive). */
export interface LayerRange {
  from: number;
  to: number;
}

/** A decoder-only transformer of any architecture of src/architectures. */
export class Transformer {
  /** Dispatches per layer in the last forward pass. */
  dispatchesPerLayer = 0;

  readonly config: ModelConfig;
  readonly batchTokens: number;
  readonly activations: Activations;
  readonly cache: KvCache;
  readonly layers: TransformerParts['layers'];
  /** All adapters on the GPU. */
  readonly arena: AdapterArena;
  /** The arena's buffers that the layers bind. */
  #bound: ArenaBuffers | undefined;
  /** Computes A · x for the first layer's adapters. */
  #firstDelta: LoraDelta | undefined;

  constructor(
    private readonly device: Device,
    private readonly parts: TransformerParts,
  ) {
    const { config, batchTokens, activations, cache, layers } = parts;
    this.config = config;
    this.batchTokens = batchTokens;
    this.activations = activations;
    this.cache = cache;
    this.layers = layers;
    this.arena = new AdapterArena(device, config.numLayers, batchTokens, mostSideBySide(config));
  }

  /**
   * Records the forward pass from `activations.tokens` and `batchTable` to the residual stream `activations.x`; writes the KV
   * cache. A prefill may run a few layers at a time; `activations.x` must stay unchanged in between.
   */
  forward(recorder: Dispatcher, batch: Batch, range: LayerRange = { from: 0, to: this.layers.length }): void {
    this.bindAdapters();
    if (range.from === 0) {
      this.parts.embedding.record(recorder, batch);
      this.parts.inputs?.ofLayers.record(recorder, batch);
    }
    if (batch.lora && batch.kind === 'decode') this.#firstDelta?.record(recorder, batch);
    const before = recorder.dispatches;
    this.#recordLayers(recorder, batch, range);
    this.dispatchesPerLayer = (recorder.dispatches - before) / (range.to - range.from);
    if (batch.keepsHiddenStates && range.to === this.layers.length)
      this.parts.hiddenStates?.record(recorder, batch.tokens);
  }

  /** Records layers. Decode steps repeat until a sequence fills another page, so their dispatches are replayed: layers see the length in whole pages only. */
  #recordLayers(recorder: Dispatcher, batch: Batch, { from, to }: LayerRange): void {
    const record = (of: Batch): void => {
      for (const { mixer, mlp, input } of this.layers.slice(from, to)) {
        mixer.record(recorder, of);
        mlp.record(recorder, of);
        input?.record(recorder, of);
      }
    };
    const { kind, tokens, onePerSequence, runs, tokensPastState, allF16, unfusedLoras = [], lora } = batch;
    if (kind === 'prefill' || unfusedLoras.length > 0 || batch.onLinearInput) return record(batch);
    const length = Math.ceil(batch.length / PAGE_TOKENS) * PAGE_TOKENS;
    const ofRuns = runs?.map(({ tokens: own }) => own).join('+');
    const ofLora = [lora?.adapters, lora?.rank];
    const key = [from, to, tokens, length, onePerSequence, ofRuns, tokensPastState, allF16, ...ofLora].join();
    recorder.again(key, () => record({ kind, tokens, length, onePerSequence, runs, tokensPastState, allF16, lora }));
  }

  /** Reads the per-layer input rows of these tokens, for `writeLayerInputs`; undefined in models without them. Errors: `bad_file`, and those of the source. */
  async rowsOf(ids: readonly number[]): Promise<Float32Array<ArrayBuffer> | undefined> {
    return this.parts.inputs?.rows.read(ids);
  }

  /** Uploads the per-layer input rows of the next batch, before `forward`. */
  writeLayerInputs(rows: Float32Array<ArrayBuffer>): void {
    this.parts.inputs?.ofLayers.write(rows);
  }

  /** Hidden states for the draft head; undefined without one. */
  get hiddenStates(): HiddenStates | undefined {
    return this.parts.hiddenStates;
  }

  /** Matrices that a draft head shares with the model. */
  get matrices(): TransformerParts['matrices'] {
    return this.parts.matrices;
  }

  get outputNorm(): Norm {
    return this.parts.outputNorm;
  }

  /** Computes logits of `tokens` (at most HEAD_TOKENS) tokens of the batch from `start` on into `activations.logits`. */
  head(recorder: Dispatcher, start: number, tokens: number): void {
    this.parts.outputNorm.record(recorder, tokens, { start });
    this.#recordOutput(recorder, tokens);
  }

  /** The same of any tokens of the batch. */
  headOf(recorder: Dispatcher, tokens: readonly number[]): void {
    tokens.forEach((start, to) => this.parts.outputNorm.record(recorder, 1, { start, to }));
    this.#recordOutput(recorder, tokens.length);
  }

  #recordOutput(recorder: Dispatcher, tokens: number): void {
    if (tokens > HEAD_TOKENS) throw new Error(`head: ${tokens} tokens`);
    this.parts.output.record(
      recorder,
      { tokens, kind: tokens <= mostDecoded(this.device) ? 'decode' : 'prefill' },
      1 / this.config.logitDivisor,
    );
    const cap = this.parts.logitCap;
    if (cap) recorder.run(cap, cap.groups({ tokens }));
  }

  /** Records the last norm; returns the buffer of the batch's hidden states `[tokens, hiddenSize]`. */
  states(recorder: Dispatcher, tokens: number): GPUBuffer {
    this.parts.outputNorm.record(recorder, tokens);
    return this.parts.outputNorm.output;
  }

  /**
   * Binds the adapters' buffers, or none, in every layer if they have changed. Every pass calls it; calling it after adding
   * an adapter compiles its kernels before the first pass.
   */
  bindAdapters(): void {
    const { device, config, activations, layers } = this;
    const buffers = this.arena.buffersIfAny;
    if (buffers === this.#bound) return;
    this.#bound = buffers;
    layers.forEach(({ mixer, mlp, input }, i) => {
      const next = layers[i + 1]?.mixer;
      mixer.attach(buffers, mlp);
      mlp.attach(buffers, input ? undefined : next); // the next layer reads the input's output instead
      input?.attach(buffers, next);
    });
    const first = layers[0]?.mixer;
    this.#firstDelta = buffers && first && beforeFirstHalf({ device, layer: 0, config, activations }, first, buffers);
  }
}
