import type { CachePage, LayerPage } from '../../cache/cache-page.ts';
import { KvCache } from '../../cache/kv-cache.ts';
import type { LayerPages } from '../../cache/layer-pages.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { storeKvKernel } from '../../kernels/store-kv.ts';
import { type Activations, createActivations } from '../../layers/activations.ts';
import type { AttentionBuffers } from '../../layers/attention-buffers.ts';
import { type Batch, batchTable } from '../../layers/batch.ts';
import type { LayerPlace } from '../../layers/layer-place.ts';
import { PagedAttention } from '../../layers/paged-attention.ts';
import type { AttentionInputs } from './attention-answers.ts';
import { bufferOf } from './known-values.ts';

/** More than a check's texts take, so that the pages stay where they are. */
const PAGES = 8;
/** Of the activations: more than a check's. */
const MOST_TOKENS = 64;

/** Tokens of a text from `start` up to `end`. */
export interface Span {
  kind: Batch['kind'];
  start: number;
  end: number;
  /** Every page is in f16. */
  halfOnly: boolean;
  /** Of the longest text of the batch; default: this one. A long one's pages are shared out in splits, which are merged. */
  longest?: number;
}

/** The attention of one layer of a model, with a text's pages. */
export class CheckedLayer {
  readonly cache: KvCache;
  readonly pages: CachePage[] = [];
  readonly activations: Activations;
  readonly place: LayerPlace;
  readonly buffers: AttentionBuffers;
  readonly #norms: Record<string, GPUBuffer>;

  constructor(
    private readonly device: Device,
    model: ModelConfig,
    private readonly inputs: AttentionInputs,
  ) {
    const parts = {
      convolution: undefined,
      deltaNet: undefined,
      gatesAttention: false,
      experts: undefined,
      sharedKeys: undefined,
      perLayerInputs: undefined,
    };
    const config = { ...model, ...parts, numLayers: 1, hiddenSize: 32, intermediateSize: 32, vocabSize: 32 };
    const cache = new KvCache(device, config, { numPages: PAGES });
    this.cache = cache;
    this.activations = createActivations(device, config, MOST_TOKENS);
    this.place = { device, layer: 0, config, activations: this.activations };
    const { tasks, errors, probes, numPages: slotPages } = cache;
    const [pages, table] = [cache.layers[0] as LayerPages, cache.tables[0] as GPUBuffer];
    this.buffers = { pages, table, slotPages, tasks, errors, probes, rope: bufferOf(device, inputs.rope) };
    this.#norms = config.qkNorm
      ? { query_norm_weight: bufferOf(device, inputs.queryNorm), key_norm_weight: bufferOf(device, inputs.keyNorm) }
      : {};
  }

  /** Holds a text of so many tokens. */
  hold(tokens: number): void {
    this.cache.resize(this.pages, tokens);
    this.cache.show(0, this.pages);
  }

  /** Of the layer. */
  layerPages(): LayerPage[] {
    return this.pages.map(({ layers }) => layers[0] as LayerPage);
  }

  storing(): Operation<{ tokens: number }> {
    const { device, buffers, activations } = this;
    const { batchTable: batch_table, qkv } = activations;
    const { pages, table, rope } = buffers;
    return createOperation(device, storeKvKernel(device, this.place.config), {
      batch_table,
      qkv,
      kv: pages.buffer,
      pages: table,
      rope,
      ...this.#norms,
    });
  }

  attention(): PagedAttention {
    return new PagedAttention(this.place, this.buffers);
  }

  /** Puts the inputs of these tokens where the kernels find them. */
  write({ start, end }: Pick<Span, 'start' | 'end'>): void {
    const { qkv, rope } = this.inputs;
    const width = (qkv.length / rope.length) * this.place.config.headDim;
    const places = Array.from({ length: end - start }, (_, i) => ({
      place: 0,
      position: start + i,
      firstPage: 0,
      page: Math.floor((start + i) / PAGE_TOKENS),
    }));
    const { queue } = this.device.gpuDevice;
    queue.writeBuffer(this.activations.batchTable, 0, batchTable(places));
    queue.writeBuffer(this.activations.qkv, 0, qkv, start * width, (end - start) * width);
  }

  /** Stores with `store`, if any, unless attention does, and attends. Submits. */
  run(recorder: Recorder, attend: PagedAttention, span: Span, store?: Operation<{ tokens: number }>): void {
    const { kind, start, end, halfOnly, longest = end } = span;
    const batch = {
      kind,
      tokens: end - start,
      length: longest,
      apart: kind === 'decode',
      behind: 0,
      halfOnly,
      loras: [],
    };
    this.write(span);
    if (store && !attend.stores(batch)) recorder.run(store, store.groups(batch));
    attend.record(recorder, batch);
    recorder.submit();
  }
}
