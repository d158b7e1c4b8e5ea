import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { type Bound, createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { storesTokens } from '../kernels/attention/attention-decode.ts';
import { attentionKernels } from '../kernels/attention/attention-kernels.ts';
import { splitPages } from '../kernels/attention.ts';
import { attentionMergeKernels } from '../kernels/attention-merge.ts';
import type { AttentionBuffers } from './attention-buffers.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';

/** An operation for tokens of a sequence each, and one for consecutive tokens. */
type ByKind<Size> = Record<'decode' | 'prefill', Operation<Size>>;
type Attend = ByKind<{ tokens: number; splits: number }>;
type Merge = ByKind<{ tokens: number }>;

/** attended = softmax(q · keys) · values over the pages of each token's sequence, in splits that are merged. */
export class PagedAttention {
  readonly #halfOnly: () => Attend;
  /** With pages of every form; made when first used. */
  readonly #every: () => Attend;
  readonly #merge: () => Merge;

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

  /** Whether it stores the keys and values of a batch, which store-kv does else. */
  stores({ apart }: Batch): boolean {
    return apart && storesTokens(this.place.device, this.place.config);
  }

  record(recorder: Dispatcher, { apart, tokens, length, halfOnly }: Batch): void {
    const kind = apart ? 'decode' : 'prefill';
    const { splits, pagesPerSplit } = splitPages(tokens, length);
    const attend = (halfOnly ? this.#halfOnly() : this.#every())[kind];
    const merge = this.#merge()[kind];
    recorder.run(attend, attend.groups({ tokens, splits }), { tokens, splits, pagesPerSplit });
    recorder.run(merge, merge.groups({ tokens }), { tokens, splits, slotPages: this.buffers.slotPages });
  }

  #bindAttend(halfOnly: boolean): Attend {
    const { device, config, activations } = this.place;
    const { batchTable, qkv, partials } = activations;
    const { pages, table, rope } = this.buffers;
    const bounds = { batch_table: batchTable, qkv, kv: pages.buffer, pages: table, rope, partial_outputs: partials };
    return byKind(device, attentionKernels(device, config, { halfOnly, stores: storesTokens(device, config) }), bounds);
  }

  #bindMerge(): Merge {
    const { device, config, activations, layer } = this.place;
    const { batchTable, qkv, partials, attended } = activations;
    const bounds = { partial_outputs: partials, batch_table: batchTable, qkv, y: attended, probes: this.buffers.probes.buffer(layer) };
    return byKind(device, attentionMergeKernels(device, config), bounds);
  }
}

/** One operation where both have one kernel. */
function byKind<Size>(device: Device, { decode, prefill }: Record<'decode' | 'prefill', Kernel<Size>>, bounds: Readonly<Record<string, Bound>>): ByKind<Size> {
  const operation = createOperation(device, decode, bounds);
  return { decode: operation, prefill: decode === prefill ? operation : createOperation(device, prefill, bounds) };
}
