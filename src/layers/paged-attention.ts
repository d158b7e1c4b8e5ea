import { createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { attentionKernel, splitPages } from '../kernels/attention.ts';
import { attentionMergeKernel } from '../kernels/attention-merge.ts';
import type { AttentionBuffers } from './attention-buffers.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';

type Attend = Operation<{ tokens: number; splits: number }>;

/** attended = softmax(q · keys) · values over the pages of each token's sequence, in splits that are merged. */
export class PagedAttention {
  readonly #halfOnly: () => Attend;
  /** With pages of every form; made when first used. */
  readonly #every: () => Attend;
  readonly #merge: () => Operation<{ tokens: number }>;

  constructor(
    private readonly place: LayerPlace,
    private readonly buffers: AttentionBuffers,
  ) {
    const pages = (): GPUBuffer => buffers.pages.buffer;
    const probes = (): GPUBuffer => buffers.probes.buffer(place.layer);
    this.#halfOnly = following([pages], () => this.#bindAttend(true));
    this.#every = following([pages], () => this.#bindAttend(false));
    this.#merge = following([probes], () => this.#bindMerge());
    // Compiled while the model is opened.
    this.#halfOnly();
    this.#merge();
  }

  record(recorder: Dispatcher, { tokens, length, halfOnly }: Batch): void {
    const { splits, pagesPerSplit } = splitPages(tokens, length);
    const attend = halfOnly ? this.#halfOnly() : this.#every();
    const merge = this.#merge();
    recorder.run(attend, attend.groups({ tokens, splits }), { tokens, splits, pagesPerSplit });
    recorder.run(merge, merge.groups({ tokens }), { tokens, splits, slotPages: this.buffers.slotPages });
  }

  #bindAttend(halfOnly: boolean): Attend {
    const { device, config, activations } = this.place;
    const { batchTable, qkv, partials } = activations;
    const { pages, table, rope } = this.buffers;
    const bounds = { batch_table: batchTable, qkv, kv: pages.buffer, pages: table, rope, partial_outputs: partials };
    return createOperation(device, attentionKernel(device, config, halfOnly), bounds);
  }

  #bindMerge(): Operation<{ tokens: number }> {
    const { device, config, activations, layer } = this.place;
    const { batchTable, qkv, partials, attended } = activations;
    const bounds = { partial_outputs: partials, batch_table: batchTable, qkv, y: attended, probes: this.buffers.probes.buffer(layer) };
    return createOperation(device, attentionMergeKernel(device, config), bounds);
  }
}
