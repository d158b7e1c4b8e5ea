import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { LinearName } from '../adapters/formats/module-names.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import type { StreamProbes } from '../cache/stream-probes.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { attentionKernel, splitPages } from '../kernels/attention.ts';
import { attentionMergeKernel } from '../kernels/attention-merge.ts';
import { condensePageKernel } from '../kernels/condense-page.ts';
import { probePageKernel } from '../kernels/probe-page.ts';
import { quantizePageKernel } from '../kernels/quantize-page.ts';
import { storeKvKernel } from '../kernels/store-kv.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Activations } from './activations.ts';
import type { Batch } from './batch.ts';
import { Linear, linearsOf } from './linear.ts';
import { LoraDelta, loraInputs, LoraLowering } from './lora.ts';
import type { Norm } from './norm.ts';
import { recordLora } from './unfused-lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface AttentionWeights {
  norm: Norm;
  /** One matrix for q, k and v, or several where their types differ. */
  qkv: readonly WeightMatrix[];
  /** Of q, k and v, one after another. */
  bias?: GPUBuffer;
  output: WeightMatrix;
  /** With qkNorm: `[headDim]` each. */
  queryNorm?: GPUBuffer;
  keyNorm?: GPUBuffer;
}

export interface AttentionBuffers {
  /** Where this layer's pages are. */
  pages: LayerPages;
  /** Entries of the pages of sequences, a region for each stream. */
  table: GPUBuffer;
  /** Entries of a region. */
  slotPages: number;
  /** Copies of pages to write, see quantize-page.ts, and what probing them finds. */
  tasks: GPUBuffer;
  /** What each stream's latest queries were and found. */
  probes: StreamProbes;
  errors: GPUBuffer;
  /** cos and sin of each position: `[position, 2, headDim / 2]`. */
  rope: GPUBuffer;
}

/** Which queries a probe asks. */
export interface ProbedQueries {
  slot: number;
  queries: number;
  position: number;
}

/** What pages in other forms than f16 need. Drivers take seconds to compile it. */
export const pageFormKernels = (device: Device, config: ModelConfig): Kernel[] => [
  attentionKernel(device, config, false),
  quantizePageKernel(device, config),
  probePageKernel(device, config),
];

type Attend = Operation<{ tokens: number; splits: number }>;

/** The linears, and with adapters what stands around them. */
interface Linears {
  qkv: readonly Linear[];
  output: Linear;
  lora?: { qkv: LoraLowering; output: LoraLowering; delta: LoraDelta };
}

const QKV: readonly LinearName[] = ['attn_q', 'attn_k', 'attn_v'];
const OUTPUT: readonly LinearName[] = ['attn_output'];

/** x += Wo · attention(Wq · norm(x), Wk · norm(x), Wv · norm(x)). */
export class Attention {
  #cached: { store: Operation<{ tokens: number }>; attend: Attend; merge: Operation<{ tokens: number }> };
  /** With pages of every form; made when first used. */
  #attendEvery: Attend | undefined;
  /** Made when first used. */
  #quantize: Operation<{ pages: number }> | undefined;
  #condense: Operation<{ pages: number }> | undefined;
  #probe: Operation<{ found: number }> | undefined;
  readonly #plain: Linears;
  #adapted: Linears | undefined;

  constructor(
    private readonly device: Device,
    private readonly layer: number,
    private readonly config: ModelConfig,
    private readonly activations: Activations,
    private readonly buffers: AttentionBuffers,
    private readonly weights: AttentionWeights,
  ) {
    this.#cached = this.#bindCache();
    this.#plain = this.#linears();
  }

  get norm(): Norm {
    return this.weights.norm;
  }

  /** Makes ready for the adapters of these buffers, or for none. `mlpNorm`: of the same layer. */
  attach(buffers: ArenaBuffers | undefined, mlpNorm: Norm): void {
    this.#adapted = buffers && this.#linears({ buffers, mlpNorm });
  }

  /** This layer's pages, or what streams asked of them, lie in another buffer. */
  cacheMoved(): void {
    this.#cached = this.#bindCache();
    this.#attendEvery = this.#quantize = this.#condense = this.#probe = undefined;
  }

  /** Writes the copies of `count` tasks from `first` on. */
  quantize(recorder: Dispatcher, first: number, count: number): void {
    const { device, config, buffers } = this;
    this.#quantize ??= createOperation(device, quantizePageKernel(device, config), { tasks: buffers.tasks, kv: buffers.pages.buffer });
    recorder.run(this.#quantize, this.#quantize.groups({ pages: count }), { first });
  }

  /** Merges the pages of `count` tasks from `first` on into sparse ones, as these queries see them. */
  condense(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries): void {
    const { device, config, buffers } = this;
    this.#condense ??= createOperation(device, condensePageKernel(device, config), {
      ...{ tasks: buffers.tasks, kv: buffers.pages.buffer, qkv: buffers.probes.buffer(this.layer), rope: buffers.rope },
    });
    recorder.run(this.#condense, this.#condense.groups({ pages: count }), { first, ...queries });
  }

  /**
   * Finds how far those copies would move the output of a stream's latest `queries` queries, the last at `position`:
   * each, or `together` of them at once.
   */
  probe(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries, together = 1): void {
    const { device, config, buffers } = this;
    this.#probe ??= createOperation(device, probePageKernel(device, config), {
      ...{ tasks: buffers.tasks, kv: buffers.pages.buffer, qkv: buffers.probes.buffer(this.layer) },
      ...{ rope: buffers.rope, errors: buffers.errors },
    });
    recorder.run(this.#probe, this.#probe.groups({ found: count / together }), { first, count, together, ...queries });
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, length, kind } = batch;
    const prefills = kind === 'prefill';
    const { qkv, output, lora } = (batch.lora && this.#adapted) ?? this.#plain;
    if (prefills) {
      this.norm.record(recorder, tokens);
      batch.tap?.(this.layer, QKV, this.norm.output);
    }
    if (prefills) lora?.qkv.record(recorder, batch);
    for (const linear of qkv) linear.record(recorder, batch);
    recordLora(recorder, batch, this.layer, QKV);
    const { store, attend: attendHalf, merge } = this.#cached;
    recorder.run(store, store.groups({ tokens }));
    const { splits, pagesPerSplit } = splitPages(tokens, length);
    const attend = batch.halfOnly ? attendHalf : (this.#attendEvery ??= this.#attend(false));
    recorder.run(attend, attend.groups({ tokens, splits }), { tokens, splits, pagesPerSplit });
    recorder.run(merge, merge.groups({ tokens }), { tokens, splits, slotPages: this.buffers.slotPages });
    if (prefills) batch.tap?.(this.layer, OUTPUT, this.activations.attended);
    if (prefills) lora?.output.record(recorder, batch);
    output.record(recorder, batch);
    if (!prefills) lora?.delta.record(recorder, batch);
    recordLora(recorder, batch, this.layer, OUTPUT);
  }

  #bindCache() {
    const { device, config, layer } = this;
    const { batchTable, qkv, partials, attended } = this.activations;
    const { queryNorm, keyNorm } = this.weights;
    const { pages, table, rope, probes } = this.buffers;
    const kv = pages.buffer;
    const norms = { ...(queryNorm && { query_norm_weight: queryNorm }), ...(keyNorm && { key_norm_weight: keyNorm }) };
    const cached = { batch_table: batchTable, qkv, kv, pages: table, rope };
    return {
      store: createOperation(device, storeKvKernel(device, config), { ...cached, ...norms }),
      attend: this.#attend(true),
      merge: createOperation(device, attentionMergeKernel(device, config), {
        ...{ partial_outputs: partials, batch_table: batchTable, qkv },
        ...{ y: attended, probes: probes.buffer(layer) },
      }),
    };
  }

  #attend(halfOnly: boolean): Attend {
    const { device, config } = this;
    const { batchTable, qkv, partials } = this.activations;
    const { pages, table, rope } = this.buffers;
    const buffers = { batch_table: batchTable, qkv, kv: pages.buffer, pages: table, rope, partial_outputs: partials };
    return createOperation(device, attentionKernel(device, config, halfOnly), buffers);
  }

  #linears(adapters?: { buffers: ArenaBuffers; mlpNorm: Norm }): Linears {
    const { device, layer, config } = this;
    const { x, between, qkv, attended, normed } = this.activations;
    const { norm, bias } = this.weights;
    const inputs = loraInputs(config);
    const lora = (of: 'qkv' | 'output') => adapters && { ...inputs[of], layer, buffers: adapters.buffers };
    const linears = {
      qkv: linearsOf(device, this.weights.qkv, { x, y: qkv, norm, bias, lora: lora('qkv') }),
      output: new Linear(device, this.weights.output, { x: attended, y: x, accumulate: true, lora: lora('output') }),
    };
    if (!adapters) return linears;
    const { buffers, mlpNorm } = adapters;
    const delta = { x, y: between, adds: inputs.output, lowers: inputs.gateUp, normWeight: mlpNorm.weight };
    return {
      ...linears,
      lora: {
        qkv: new LoraLowering(device, layer, normed, config.hiddenSize, inputs.qkv, buffers),
        output: new LoraLowering(device, layer, attended, config.numHeads * config.headDim, inputs.output, buffers),
        delta: new LoraDelta(device, layer, config.hiddenSize, delta, buffers),
      },
    };
  }
}
