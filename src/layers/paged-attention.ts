import { createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { storesTokens } from '../kernels/attention/attention-decode.ts';
import { type AttentionKernel, attentionKernels } from '../kernels/attention/attention-kernels.ts';
import { attentionMergeKernels } from '../kernels/attention-merge.ts';
import type { AttentionBuffers } from './attention-buffers.ts';
import { windowOfLayer } from '../config/model-config.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';

/** Of tokens of a sequence each, and of consecutive tokens. */
type ByKind<T> = Record<'decode' | 'prefill', T>;
interface Attend {
  kernel: AttentionKernel;
  operation: Operation<{ tokens: number; splits: number }>;
}

/** attended = softmax(q · keys) · values over the pages of each token's sequence, in splits that are merged. */
export class PagedAttention {
  readonly #halfOnly: () => ByKind<Attend>;
  /** With pages of every form; made when first used. */
  readonly #every: () => ByKind<Attend>;
  /** Tokens that each attends to; of such a layer all pages are in f16. */
  readonly #window: number | undefined;
  readonly #merge: () => ByKind<Operation<{ tokens: number }>>;

  constructor(
    private readonly place: LayerPlace,
    private readonly buffers: AttentionBuffers,
  ) {
    this.#window = windowOfLayer(place.config, place.layer);
    const pages = (): GPUBuffer => buffers.pages.buffer;
    const probes = (): GPUBuffer => buffers.probes.buffer(place.layer);
    this.#halfOnly = following([pages, probes], () => this.#bindAttend(true));
    this.#every = following([pages, probes], () => this.#bindAttend(false));
    this.#merge = following([probes], () => this.#bindMerge());
    // Compiled while the model is opened.
    this.#halfOnly();
    this.#merge();
  }

  /** Whether it stores the keys and values of a batch, which store-kv does else. */
  stores({ apart }: Batch): boolean {
    return apart && storesTokens(this.place.device, this.place.config);
  }

  record(recorder: Dispatcher, { apart, tokens, length, halfOnly }: Batch): void {
    const kind = apart ? 'decode' : 'prefill';
    const { kernel, operation } = (halfOnly || this.#window !== undefined ? this.#halfOnly() : this.#every())[kind];
    const { splits, pagesPerSplit } = kernel.split({ tokens, length });
    const params = { tokens, splits, pagesPerSplit, slotPages: this.buffers.slotPages };
    recorder.run(operation, operation.groups({ tokens, splits }), params);
    if (splits === 1 && !kernel.alwaysMerged) return;
    const merge = this.#merge()[kind];
    recorder.run(merge, merge.groups({ tokens }), params);
  }

  #bindAttend(halfOnly: boolean): ByKind<Attend> {
    const { device, config, activations } = this.place;
    const { batchTable, qkv, partials } = activations;
    const { pages, table, rope } = this.buffers;
    const bounds = {
      batch_table: batchTable,
      qkv,
      kv: pages.buffer,
      pages: table,
      rope,
      partial_outputs: partials,
      ...this.#finished(),
    };
    const kernels = attentionKernels(device, config, {
      halfOnly,
      stores: storesTokens(device, config),
      window: this.#window,
    });
    const bind = (kernel: AttentionKernel): Attend => ({ kernel, operation: createOperation(device, kernel, bounds) });
    return byKind(kernels, bind);
  }

  #bindMerge(): ByKind<Operation<{ tokens: number }>> {
    const { device, config, activations } = this.place;
    const { batchTable, qkv, partials } = activations;
    const bounds = { partial_outputs: partials, batch_table: batchTable, qkv, ...this.#finished() };
    return byKind(attentionMergeKernels(device, config), (kernel) => createOperation(device, kernel, bounds));
  }

  /** What the attention of a token is left in, once it is whole. */
  #finished(): Record<'y' | 'probes', GPUBuffer> {
    return { y: this.place.activations.attended, probes: this.buffers.probes.buffer(this.place.layer) };
  }
}

/** Made once where both have one kernel. */
function byKind<K, T>({ decode, prefill }: ByKind<K>, make: (kernel: K) => T): ByKind<T> {
  const made = make(decode);
  return { decode: made, prefill: decode === prefill ? made : make(prefill) };
}
