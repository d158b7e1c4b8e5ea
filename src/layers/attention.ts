import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import type { LayerPages } from '../cache/layer-pages.ts';
import type { StreamProbes } from '../cache/kv-cache.ts';
import type { SparseBuffers } from '../cache/sparse-buffers.ts';
import { type ModelConfig, sharesKeys, windowOfLayer } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { createOperation, type Dispatcher, following, type Operation } from '../gpu/recorder.ts';
import { type AttentionKernel, attentionKernels, attentionMergeKernels, storesTokens } from '../kernels/attention.ts';
import { normQkKernel, sigmoidMulKernel } from '../kernels/element-wise.ts';
import {
  entryAttentionKernel,
  type EntryMeasure,
  gatherEntriesKernel,
  probePageKernel,
  quantizePageKernel,
  storeKvKernel,
} from '../kernels/pages.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './activation-buffers.ts';
import { type LoraInputs, loraInputs } from './lora.ts';
import { beforeSecondHalf, type Norm, NormedLinears, ResidualLinear, type SecondHalf } from './linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

/** Cache buffers that a layer's attention reads and writes. */
export interface AttentionBuffers {
  /** This layer's pages. */
  pages: LayerPages;
  /** Page table, with a region per sequence slot. */
  table: GPUBuffer;
  /** Entries per region. */
  slotPages: number;
  /** Page conversions (see quantize-page.ts) and the results of probing them. */
  tasks: GPUBuffer;
  sparse: SparseBuffers;
  /** The latest queries of each sequence slot, with their outputs. */
  probes: StreamProbes;
  errors: GPUBuffer;
  /** cos and sin of each position `[position, 2, headDim / 2]`; 1 and 0 in a layer without RoPE. */
  rope: GPUBuffer;
}

/** One for batches with one token per sequence, one for consecutive tokens. */
type ByKind<T> = Record<'decode' | 'prefill', T>;
interface Attend {
  kernel: AttentionKernel;
  operation: Operation<{ tokens: number; splits: number }>;
}

/** attended = softmax(q · keys) · values over the pages of each token's sequence, computed in splits that are then merged. */
export class PagedAttention {
  readonly #allF16: () => ByKind<Attend>;
  /** For pages of any form; created on first use. */
  readonly #every: () => ByKind<Attend>;
  /** Window in tokens; all pages of a sliding-window layer are in f16. */
  readonly #window: number | undefined;
  readonly #measures: Record<EntryMeasure, () => Operation<{ pages: number }>>;
  readonly #merge: () => ByKind<Operation<{ tokens: number }>>;

  constructor(
    private readonly place: LayerPlace,
    private readonly buffers: AttentionBuffers,
  ) {
    this.#window = windowOfLayer(place.config, place.layer);
    const pages = (): GPUBuffer => buffers.pages.buffer;
    const probes = (): GPUBuffer => buffers.probes.buffer(place.layer);
    const { device, config, activations } = place;
    const { batchTable, qkv, partials, attended } = activations;
    const bind = <Size>(kernel: Kernel<Size>): Operation<Size> =>
      createOperation(device, kernel, {
        batch_table: batchTable,
        qkv,
        kv: pages(),
        pages: buffers.table,
        rope: buffers.rope,
        partial_outputs: partials,
        y: attended,
        probes: probes(),
      });
    const attend = (allF16: boolean): (() => ByKind<Attend>) => {
      let kernels: ByKind<AttentionKernel> | undefined;
      const form = { allF16, stores: storesTokens(device, config), window: this.#window };
      return following([pages, probes], () =>
        byKind((kernels ??= attentionKernels(device, config, form)), (kernel) => ({ kernel, operation: bind(kernel) })),
      );
    };
    this.#allF16 = attend(true);
    this.#every = attend(false);
    const measuring = (measure: EntryMeasure): (() => Operation<{ pages: number }>) => {
      const found = (): GPUBuffer => buffers.sparse.found(measure);
      return following([pages, found], () =>
        createOperation(device, entryAttentionKernel(device, config, measure), {
          ...{ batch_table: batchTable, qkv, kv: pages(), pages: buffers.table, rope: buffers.rope },
          ...{ partial_outputs: partials, found: found() },
        }),
      );
    };
    this.#measures = { share: measuring('share'), square: measuring('square') };
    const merges = attentionMergeKernels(device, config);
    this.#merge = following([probes], () => byKind(merges, bind));
    // Compile while the model loads.
    this.#allF16();
    this.#merge();
  }

  /** Whether the attention kernel stores the batch's keys and values itself; otherwise store-kv does. */
  stores({ onePerSequence }: Batch): boolean {
    return onePerSequence && storesTokens(this.place.device, this.place.config);
  }

  record(recorder: Dispatcher, { onePerSequence, tokens, length, allF16, runs, measured }: Batch): void {
    const kind = onePerSequence ? 'decode' : 'prefill';
    const { kernel, operation } = (allF16 || this.#window !== undefined ? this.#allF16() : this.#every())[kind];
    const split = kernel.split({ tokens, length });
    const { splits } = split;
    const params = { ...split, tokens, slotPages: this.buffers.slotPages };
    const whole = { first: 0, tokens };
    for (const { first: firstToken, tokens: own } of (kernel.ofOneSequence && runs) || [whole])
      recorder.run(operation, operation.groups({ tokens: own, splits }), { ...params, tokens: own, firstToken });
    if (splits === 1 && !kernel.alwaysMerged) return;
    if (measured && this.#window === undefined) {
      const { page, pages, measure, firstQuery, isFirst } = measured;
      const entries = this.#measures[measure]();
      const first = this.buffers.sparse.firstFound(measure, this.place.layer, pages);
      const own = { tokens, firstQuery, splits, page, first, isFirst: Number(isFirst) };
      recorder.run(entries, entries.groups({ pages }), own);
    }
    const merge = this.#merge()[kind];
    recorder.run(merge, merge.groups({ tokens }), params);
  }
}

/** Calls `make` once if both kinds share a kernel. */
function byKind<K, T>({ decode, prefill }: ByKind<K>, make: (kernel: K) => T): ByKind<T> {
  const made = make(decode);
  return { decode: made, prefill: decode === prefill ? made : make(prefill) };
}

/** The queries of a probe. */
export interface ProbedQueries {
  slot: number;
  queries: number;
  position: number;
}

/** Kernels for sparse pages. */
export const sparsePageKernels = (device: Device, config: ModelConfig): Kernel[] => [
  gatherEntriesKernel(device, config),
  entryAttentionKernel(device, config, 'share'),
  entryAttentionKernel(device, config, 'square'),
];

/** Kernels for pages in other forms than f16, which drivers compile for seconds. */
export const pageFormKernels = (device: Device, config: ModelConfig): Kernel[] => [
  ...new Set(Object.values(attentionKernels(device, config, { allF16: false, stores: storesTokens(device, config) }))),
  quantizePageKernel(device, config),
  probePageKernel(device, config),
];

/** Converts a layer's pages to other forms, and measures the resulting change of attention. Kernels are created on first use. */
export class PageForms {
  readonly #quantize: () => Operation<{ pages: number }>;
  readonly #gather: () => Operation<{ pages: number }>;
  readonly #probe: () => Operation<{ found: number }>;

  constructor(
    { device, config, layer }: LayerPlace,
    { tasks, errors, rope, pages, probes, table, sparse }: AttentionBuffers,
  ) {
    const kv = (): GPUBuffer => pages.buffer;
    const qkv = (): GPUBuffer => probes.buffer(layer);
    const operation = <Size>(
      kernelOf: (device: Device, config: ModelConfig) => Kernel<Size>,
    ): (() => Operation<Size>) =>
      following([kv, qkv], () =>
        createOperation(device, kernelOf(device, config), { tasks, kv: kv(), qkv: qkv(), rope, errors }),
      );
    this.#quantize = operation(quantizePageKernel);
    this.#gather = following([kv], () =>
      createOperation(device, gatherEntriesKernel(device, config), {
        ...{ tasks, kv: kv(), rope, pages: table, sources: sparse.sources },
      }),
    );
    this.#probe = operation(probePageKernel);
  }

  /** Writes the sparse pages of the first `count` tasks from `sources`. */
  gather(recorder: Dispatcher, count: number): void {
    const gather = this.#gather();
    recorder.run(gather, gather.groups({ pages: count }), {});
    this.quantize(recorder, 0, count);
  }

  /** Quantizes the pages of `count` tasks from `first` on into their copies. */
  quantize(recorder: Dispatcher, first: number, count: number): void {
    const quantize = this.#quantize();
    recorder.run(quantize, quantize.groups({ pages: count }), { first });
  }

  /**
   * Measures how far these copies would change the output of a sequence slot's latest `queries` queries, the last at
   * `position`: each copy alone, or `together` copies at once.
   */
  probe(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries, together = 1): void {
    const probe = this.#probe();
    recorder.run(probe, probe.groups({ found: count / together }), { first, count, together, ...queries });
  }
}

interface AttentionWeights {
  norm: Norm;
  /** q, k and v: one matrix, or several if their types differ. */
  qkv: readonly WeightMatrix[];
  /** The norm's weights, then the biases of q, k and v. */
  bias?: GPUBuffer;
  output: WeightMatrix;
  postNorm?: GPUBuffer | undefined;
  /** With qkNorm: `[headDim]` each. */
  queryNorm?: GPUBuffer;
  keyNorm?: GPUBuffer;
  /** With normsQkWhole: weights of q's norm, then of k's `[(numHeads + numKvHeads) headDim]`. */
  wholeNorm?: GPUBuffer | undefined;
}

/** x += postNorm(residualScale · Wo · attention(Wq · norm(x), Wk · norm(x), Wv · norm(x))); gated attention is multiplied by sigmoid(Wgate · norm(x)). */
export class Attention {
  /** LoRA inputs of its first linears. */
  readonly reads: LoraInputs;
  readonly norm: Norm;
  /** Conversions of this layer's pages. */
  readonly pageForms: PageForms;
  readonly #qkv: NormedLinears;
  readonly #norm: Operation<{ tokens: number }> | undefined;
  readonly #store: () => Operation<{ tokens: number }>;
  readonly #attend: PagedAttention;
  readonly #gate: Operation<{ tokens: number }> | undefined;
  readonly #output: ResidualLinear;

  constructor(
    private readonly place: LayerPlace,
    buffers: AttentionBuffers,
    weights: AttentionWeights,
  ) {
    const { x, qkv, attended } = place.activations;
    const { norm, bias, wholeNorm } = weights;
    const { device, config } = place;
    this.norm = norm;
    this.reads = loraInputs(config, 'qkv');
    this.#qkv = new NormedLinears(place, { group: 'qkv', matrices: weights.qkv, norm, x, adaptedX: x, y: qkv, bias });
    this.#norm = wholeNorm && createOperation(device, normQkKernel(device, config), { qkv, norm_weight: wholeNorm });
    const store = storeKvKernel(device, config, !sharesKeys(config, place.layer));
    const { queryNorm, keyNorm } = weights;
    this.#store = following([() => buffers.pages.buffer], () =>
      createOperation(device, store, {
        batch_table: place.activations.batchTable,
        qkv,
        kv: buffers.pages.buffer,
        pages: buffers.table,
        rope: buffers.rope,
        ...(queryNorm && { query_norm_weight: queryNorm }),
        ...(keyNorm && { key_norm_weight: keyNorm }),
      }),
    );
    this.#store(); // compile while the model loads
    this.#attend = new PagedAttention(place, buffers);
    this.#gate = config.gatesAttention
      ? createOperation(device, sigmoidMulKernel(device, config), { x: qkv, y: attended })
      : undefined;
    this.#output = new ResidualLinear(place, {
      group: 'output',
      matrix: weights.output,
      x: attended,
      y: x,
      adaptedY: x,
      postNorm: weights.postNorm,
    });
    this.pageForms = new PageForms(place, buffers);
  }

  /** Binds the adapters' buffers, or none. `mlp`: the layer's second half. */
  attach(buffers: ArenaBuffers | undefined, mlp: SecondHalf): void {
    this.#qkv.attach(buffers);
    this.#output.attach(buffers, beforeSecondHalf(this.place, mlp));
  }

  record(recorder: Dispatcher, batch: Batch): void {
    this.#qkv.record(recorder, batch);
    if (this.#norm) recorder.run(this.#norm, this.#norm.groups(batch), { tokens: batch.tokens });
    if (!this.#attend.stores(batch)) {
      const store = this.#store();
      recorder.run(store, store.groups(batch));
    }
    this.#attend.record(recorder, batch);
    if (this.#gate) recorder.run(this.#gate, this.#gate.groups(batch));
    this.#output.record(recorder, batch);
  }
}
