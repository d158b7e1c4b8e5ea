import { AdapterArena, type ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { mostSideBySide } from '../architectures/linears.ts';
import type { KvCache } from '../cache/kv-cache.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { mostDecoded } from '../kernels/linears/linear-kernels.ts';
import { type Activations, HEAD_TOKENS } from '../layers/activations.ts';
import type { Attention } from '../layers/attention.ts';
import type { Batch } from '../layers/batch.ts';
import type { DraftInput } from '../layers/draft/draft-input.ts';
import type { KeptStates } from '../layers/draft/kept-states.ts';
import type { Embedding } from '../layers/embedding.ts';
import type { Experts } from '../layers/experts/experts.ts';
import type { LayerInput } from '../layers/gemma/layer-input.ts';
import type { LayerInputs } from '../layers/gemma/layer-inputs.ts';
import type { Linear } from '../layers/linear.ts';
import type { LoraDelta } from '../layers/lora.ts';
import type { Mlp } from '../layers/mlp.ts';
import type { Norm } from '../layers/norm.ts';
import { beforeFirstHalf } from '../layers/residual-linear.ts';
import type { GatedDeltaNet } from '../layers/delta-net.ts';
import type { ShortConv } from '../layers/short-conv.ts';
import type { WeightMatrix } from '../layers/weight-matrix.ts';
import type { TokenRows } from './token-rows.ts';

/** `mixer`: the half of a layer that sees other tokens. */
export interface Layer {
  mixer: Attention | ShortConv | GatedDeltaNet;
  mlp: Mlp | Experts;
  /** What it takes in of each token besides, in models that have that. */
  input?: LayerInput | undefined;
}

export interface TransformerParts {
  config: ModelConfig;
  /** Most tokens of one batch. */
  batchTokens: number;
  activations: Activations;
  cache: KvCache;
  embedding: Embedding | DraftInput;
  layers: readonly Layer[];
  outputNorm: Norm;
  output: Linear;
  /** Of embeddings and output: one where they are tied. */
  matrices: { embeddings: WeightMatrix; output: WeightMatrix };
  /** Where a draft head reads what is known behind tokens. */
  kept?: KeptStates | undefined;
  /** Of models whose layers take in embeddings of their own: what computes these, and their rows. */
  inputs?: { ofLayers: LayerInputs; rows: TokenRows } | undefined;
  logitCap?: Operation<{ tokens: number }> | undefined;
}

/** Layers from `from` up to `to`. */
export interface LayerRange {
  from: number;
  to: number;
}

/** A decoder-only transformer on the GPU, of any of src/architectures. */
export class Transformer {
  /** Dispatches of one layer in the last forward pass. */
  dispatchesPerLayer = 0;

  readonly config: ModelConfig;
  readonly batchTokens: number;
  readonly activations: Activations;
  readonly cache: KvCache;
  readonly layers: TransformerParts['layers'];
  /** Every adapter on the GPU. */
  readonly arena: AdapterArena;
  /** What the layers bind of it. */
  #bound: ArenaBuffers | undefined;
  /** Before the first layer: A · x of its adapters. */
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
   * From what `activations.tokens` and `batchTable` hold to the residual stream in `activations.x`; fills the cache's pages.
   * A prefill may go through its layers a few at a time, and keeps `activations.x` meanwhile.
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
    if (batch.keepsStates && range.to === this.layers.length) this.parts.kept?.record(recorder, batch.tokens);
  }

  /** Decode steps are alike until their texts fill another page: layers are told of whole pages, and of nothing else. */
  #recordLayers(recorder: Dispatcher, batch: Batch, { from, to }: LayerRange): void {
    const record = (of: Batch): void => {
      for (const { mixer, mlp, input } of this.layers.slice(from, to)) {
        mixer.record(recorder, of);
        mlp.record(recorder, of);
        input?.record(recorder, of);
      }
    };
    const { kind, tokens, apart, behind, halfOnly, loras, lora, tap } = batch;
    if (kind === 'prefill' || loras.length > 0 || tap) return record(batch);
    const length = Math.ceil(batch.length / PAGE_TOKENS) * PAGE_TOKENS;
    const key = [from, to, tokens, length, apart, behind, halfOnly, lora?.adapters, lora?.rank].join();
    recorder.again(key, () => record({ kind, tokens, length, apart, behind, halfOnly, loras, lora }));
  }

  /** What layers take in of these tokens besides, to be given to `takeIn` before `forward`; undefined for models that have no such. Errors: `bad_file`, and what the source throws. */
  async rowsOf(ids: readonly number[]): Promise<Float32Array<ArrayBuffer> | undefined> {
    return this.parts.inputs?.rows.read(ids);
  }

  /** Of the batch that is recorded next. */
  takeIn(rows: Float32Array<ArrayBuffer>): void {
    this.parts.inputs?.ofLayers.write(rows);
  }

  /** Where what is known behind tokens is kept for a draft head; undefined where there is none. */
  get kept(): KeptStates | undefined {
    return this.parts.kept;
  }

  /** What a draft head shares with the model. */
  get matrices(): TransformerParts['matrices'] {
    return this.parts.matrices;
  }

  get outputNorm(): Norm {
    return this.parts.outputNorm;
  }

  /** Logits of `tokens` (at most HEAD_TOKENS) tokens of the batch from `start` on, into `activations.logits`. */
  head(recorder: Dispatcher, start: number, tokens: number): void {
    if (tokens > HEAD_TOKENS) throw new Error(`head: ${tokens} tokens`);
    this.parts.outputNorm.record(recorder, tokens, { start });
    this.parts.output.record(
      recorder,
      { tokens, kind: tokens <= mostDecoded(this.device) ? 'decode' : 'prefill' },
      1 / this.config.logitDivisor,
    );
    const cap = this.parts.logitCap;
    if (cap) recorder.run(cap, cap.groups({ tokens }));
  }

  /** States after the last norm of the batch's `tokens` tokens, `[tokens, hiddenSize]` in the buffer given back. */
  states(recorder: Dispatcher, tokens: number): GPUBuffer {
    this.parts.outputNorm.record(recorder, tokens);
    return this.parts.outputNorm.output;
  }

  /**
   * Every layer binds the adapters' buffers, or none, where they are others than before. Each pass begins with it; called
   * as an adapter comes, what that needs is compiled before a pass.
   */
  bindAdapters(): void {
    const { device, config, activations, layers } = this;
    const buffers = this.arena.buffersIfAny;
    if (buffers === this.#bound) return;
    this.#bound = buffers;
    layers.forEach(({ mixer, mlp, input }, i) => {
      const next = layers[i + 1]?.mixer;
      mixer.attach(buffers, mlp);
      mlp.attach(buffers, input ? undefined : next); // what it leaves is not what the next layer reads
      input?.attach(buffers, next);
    });
    const first = layers[0]?.mixer;
    this.#firstDelta = buffers && first && beforeFirstHalf({ device, layer: 0, config, activations }, first, buffers);
  }
}
