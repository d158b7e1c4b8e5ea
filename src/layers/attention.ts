import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { attentionGroups, attentionKernel, splitPages } from '../kernels/attention.ts';
import { attentionMergeGroups, attentionMergeKernel } from '../kernels/attention-merge.ts';
import type { Heads } from '../kernels/heads.ts';
import { storeKvGroups, storeKvKernel } from '../kernels/store-kv.ts';
import type { Activations } from './activations.ts';
import type { Batch } from './batch.ts';
import type { Linear } from './linear.ts';
import { recordLora } from './lora.ts';
import type { Norm } from './norm.ts';

export interface AttentionBuffers {
  /** This layer's pages. */
  kv: GPUBuffer;
  /** Physical page of each logical page of a sequence, a region for each stream. */
  pages: GPUBuffer;
  /** cos and sin of each position: `[position, 2, headDim / 2]`. */
  rope: GPUBuffer;
  /** With qkNorm: `[headDim]` each. */
  queryNorm?: GPUBuffer;
  keyNorm?: GPUBuffer;
}

/** x += Wo · attention(Wq · norm(x), Wk · norm(x), Wv · norm(x)). */
export class Attention {
  readonly #store: Operation;
  readonly #attend: Operation;
  readonly #merge: Operation;

  /** `qkv`: one linear for all three, or several where their types differ. */
  constructor(
    private readonly device: Device,
    private readonly layer: number,
    private readonly heads: Heads,
    { batchTable, qkv, partials, attended }: Activations,
    { kv, pages, rope, queryNorm, keyNorm }: AttentionBuffers,
    readonly norm: Norm,
    private readonly qkvLinears: readonly Linear[],
    private readonly output: Linear,
  ) {
    const norms = { ...(queryNorm && { query_norm_weight: queryNorm }), ...(keyNorm && { key_norm_weight: keyNorm }) };
    const cached = { batch_table: batchTable, qkv, kv, pages, rope };
    this.#store = createOperation(device, storeKvKernel(device, heads), { ...cached, ...norms });
    this.#attend = createOperation(device, attentionKernel(device, heads), {
      ...cached,
      partial_outputs: partials,
    });
    this.#merge = createOperation(device, attentionMergeKernel(device, heads), {
      partial_outputs: partials,
      y: attended,
    });
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, length } = batch;
    const { splits, pagesPerSplit } = splitPages(tokens, length);
    if (tokens > 1) this.norm.record(recorder, tokens);
    for (const linear of this.qkvLinears) linear.record(recorder, tokens);
    recordLora(recorder, batch, this.layer, ['attn_q', 'attn_k', 'attn_v']);
    recorder.run(this.#store, storeKvGroups(this.heads, tokens));
    const groups = attentionGroups(this.device, this.heads, tokens, splits);
    recorder.run(this.#attend, groups, { tokens, splits, pagesPerSplit });
    recorder.run(this.#merge, attentionMergeGroups(this.device, this.heads, tokens), { tokens, splits });
    this.output.record(recorder, tokens);
    recordLora(recorder, batch, this.layer, ['attn_output']);
  }
}
