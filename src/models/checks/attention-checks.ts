import { KvCache } from '../../cache/kv-cache.ts';
import type { CachePage } from '../../cache/cache-page.ts';
import type { LayerPages } from '../../cache/layer-pages.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { storeKvKernel } from '../../kernels/store-kv.ts';
import { createActivations } from '../../layers/activations.ts';
import type { AttentionBuffers } from '../../layers/attention-buffers.ts';
import { type Batch, batchTable } from '../../layers/batch.ts';
import { PagedAttention } from '../../layers/paged-attention.ts';
import { unrotatedTable } from '../rope-table.ts';
import { anyHalves, anyNumbers, bufferOf } from './known-values.ts';

/** A page and some of the next; then one more. */
const PREFILLED = 41;
const TOKENS = PREFILLED + 1;

/** A layer's keys and values are stored and attended to: by many tokens, and by one behind them. Nothing is rotated. */
export function attentionChecks(device: Device, model: ModelConfig): Check[] {
  const config = { ...model, numLayers: 1, qkNorm: false, hiddenSize: 32, intermediateSize: 32, vocabSize: 32 };
  const { numHeads, numKvHeads, headDim } = config;
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const qkv = anyHalves(TOKENS * width, anyNumbers());
  const activations = createActivations(device, config, 64);
  const cache = new KvCache(device, config, Math.ceil(TOKENS / PAGE_TOKENS));
  const pages: CachePage[] = [];
  cache.resize(pages, TOKENS);
  cache.show(0, pages);
  const rope = bufferOf(device, unrotatedTable(config, TOKENS));
  const { tasks, errors, probes } = cache;
  const kv = cache.layers[0] as LayerPages;
  const table = cache.tables[0] as GPUBuffer;
  const buffers: AttentionBuffers = { pages: kv, table, slotPages: cache.numPages, tasks, errors, probes, rope };
  const make = () => {
    const bound = { batch_table: activations.batchTable, qkv: activations.qkv, kv: kv.buffer, pages: table, rope };
    const store = createOperation(device, storeKvKernel(device, config), bound);
    const attend = new PagedAttention({ device, layer: 0, config, activations }, buffers);
    return (recorder: Recorder, kind: Batch['kind'], start: number, end: number): void => {
      const tokens = end - start;
      const places = Array.from({ length: tokens }, (_, i) => start + i);
      const { queue } = device.gpuDevice;
      queue.writeBuffer(activations.batchTable, 0, batchTable(places.map((position) => ({ place: 0, position, firstPage: 0, page: Math.floor(position / PAGE_TOKENS) }))));
      queue.writeBuffer(activations.qkv, 0, qkv, start * width, tokens * width);
      const batch = { kind, tokens, length: end, apart: tokens === 1, halfOnly: true, loras: [] };
      if (!attend.stores(batch)) recorder.run(store, store.groups({ tokens }));
      attend.record(recorder, batch);
      recorder.submit();
    };
  };
  const expected = attended(config, qkv);
  const row = numHeads * headDim;
  const common = { read: (bytes: ArrayBuffer) => new Float32Array(bytes), name: `attention ${numHeads} / ${numKvHeads} × ${headDim}` };
  return [
    {
      ...{ ...common, expected: expected.subarray(0, PREFILLED * row) },
      make: () => {
        const run = make();
        return (recorder) => run(recorder, 'prefill', 0, PREFILLED);
      },
      result: [{ buffer: activations.attended, offset: 0, size: PREFILLED * row * 4 }],
    },
    {
      ...{ ...common, expected: expected.subarray(PREFILLED * row) },
      make: () => {
        const run = make();
        return (recorder) => {
          run(recorder, 'prefill', 0, PREFILLED);
          run(recorder, 'decode', PREFILLED, TOKENS);
        };
      },
      result: [{ buffer: activations.attended, offset: 0, size: row * 4 }],
    },
  ];
}

/** `[TOKENS, numHeads headDim]` */
function attended({ numHeads, numKvHeads, headDim, attentionScale = 1 / Math.sqrt(headDim) }: ModelConfig, qkv: Float32Array): Float32Array {
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const all = new Float32Array(TOKENS * numHeads * headDim);
  for (let token = 0; token < TOKENS; token++) {
    for (let head = 0; head < numHeads; head++) {
      const shared = Math.floor((head * numKvHeads) / numHeads);
      const key = (numHeads + shared) * headDim;
      const value = key + numKvHeads * headDim;
      const weights = Array.from({ length: token + 1 }, (_, past) => {
        let score = 0;
        for (let i = 0; i < headDim; i++) score += qkv[token * width + head * headDim + i]! * qkv[past * width + key + i]!;
        return Math.exp(score * attentionScale); // of values up to 1 that is not large
      });
      const sum = weights.reduce((total, weight) => total + weight, 0);
      const out = (token * numHeads + head) * headDim;
      weights.forEach((weight, past) => {
        for (let i = 0; i < headDim; i++) all[out + i]! += (weight / sum) * qkv[past * width + value + i]!;
      });
    }
  }
  return all;
}
