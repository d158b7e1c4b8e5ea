import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { PageForm } from '../kernels/formats/page-forms.ts';
import { probeFloats, PROBES } from '../kernels/pages.ts';

/** Change of a layer's attention output when all of its probed pages take a form at once. */
export interface FormLoss {
  layer: number;
  form: PageForm;
  /** Squared norm of the change and of the output, summed over heads and queries. */
  change: number;
  size: number;
  queries: number;
  /** Bytes of a page in this form. */
  bytes: number;
}

/** Losses of page forms by layer, from the probes of a sequence so far. */
export class LayerLosses {
  readonly #found = new Map<string, FormLoss>();

  /** `pages`: pages of the sequence at its last probe; 0 before. */
  constructor(
    found: readonly FormLoss[] = [],
    public pages = 0,
  ) {
    for (const each of found) this.#found.set(keyOf(each), each);
  }

  get found(): FormLoss[] {
    return [...this.#found.values()];
  }

  add(probed: readonly FormLoss[], pages: number): void {
    this.pages = pages;
    for (const each of probed) {
      const { change = 0, size = 0, queries = 0 } = this.#found.get(keyOf(each)) ?? {};
      this.#found.set(keyOf(each), {
        ...each,
        change: each.change + change,
        size: each.size + size,
        queries: each.queries + queries,
      });
    }
  }

  /** Mean squared change per query of a layer with its pages in this form; NaN if not probed. */
  changeOf(layer: number, form: PageForm): number {
    const { change = NaN, queries = NaN } = this.#found.get(keyOf({ layer, form })) ?? {};
    return change / queries;
  }

  /** Bytes of a page in this form; NaN if not probed. */
  bytesOf(layer: number, form: PageForm): number {
    return this.#found.get(keyOf({ layer, form }))?.bytes ?? NaN;
  }

  /** Estimated relative L2 error of a layer's attention output, given the share of its pages in each form. */
  errorOf(layer: number, shares: ReadonlyMap<PageForm, number>): number {
    let square = 0;
    for (const [form, share] of shares) {
      const { change = 0, size = 1 } = this.#found.get(keyOf({ layer, form })) ?? {};
      square += (share * change) / size;
    }
    return Math.sqrt(square);
  }
}

const keyOf = ({ layer, form }: Pick<FormLoss, 'layer' | 'form'>): string => `${layer} ${form}`;

/** Bytes of a sequence slot's probes in one layer. */
export const probeBytes = ({ numHeads, headDim }: Pick<ModelConfig, 'numHeads' | 'headDim'>): number =>
  PROBES * numHeads * probeFloats(headDim) * 4;

/** The latest queries of each sequence slot and their attention outputs, by layer; see probe-page.ts. */
export class StreamProbes {
  #buffers: GPUBuffer[];
  #streams = 1;

  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
  ) {
    this.#buffers = this.#create();
  }

  /** The current buffer; `use` may replace it. */
  buffer(layer: number): GPUBuffer {
    return this.#buffers[layer] as GPUBuffer;
  }

  /** Makes room for a sequence slot. Nothing may be recorded. */
  use(slot: number): void {
    if (slot < this.#streams) return;
    this.device.buffers.expectNoneRecorded('probes');
    const former = this.#buffers;
    const encoder = this.device.gpuDevice.createCommandEncoder();
    this.#streams = slot + 1;
    this.#buffers = this.#create();
    former.forEach((buffer, layer) => encoder.copyBufferToBuffer(buffer, 0, this.buffer(layer), 0, buffer.size));
    this.device.gpuDevice.queue.submit([encoder.finish()]);
    for (const buffer of former) this.device.buffers.destroy(buffer);
  }

  #create(): GPUBuffer[] {
    const bytes = this.#streams * probeBytes(this.config);
    return Array.from({ length: this.config.numLayers }, (_, layer) =>
      this.device.buffers.storage(`probes ${layer}`, 'kv', bytes),
    );
  }
}
