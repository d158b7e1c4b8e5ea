import type { PagePool } from '../cache/page-pool.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { type Activations, HEAD_TOKENS } from '../layers/activations.ts';
import type { Attention } from '../layers/attention.ts';
import type { Batch } from '../layers/batch.ts';
import type { Embedding } from '../layers/embedding.ts';
import type { Linear } from '../layers/linear.ts';
import type { Mlp } from '../layers/mlp.ts';
import type { Norm } from '../layers/norm.ts';

/** A decoder-only transformer on the GPU: Llama, Qwen2, Qwen3 and their like. */
export class Transformer {
  /** Dispatches of one layer in the last forward pass. */
  dispatchesPerLayer = 0;

  constructor(
    readonly config: ModelConfig,
    /** Most tokens of one batch. */
    readonly batchTokens: number,
    readonly activations: Activations,
    readonly pool: PagePool,
    private readonly embedding: Embedding,
    readonly layers: readonly { attention: Attention; mlp: Mlp }[],
    private readonly outputNorm: Norm,
    private readonly output: Linear,
  ) {}

  /** From what `activations.tokens` and `batchTable` hold to the residual stream in `activations.x`; fills the cache's pages. */
  forward(recorder: Dispatcher, batch: Batch): void {
    this.embedding.record(recorder, batch.tokens);
    const before = recorder.dispatches;
    for (const { attention, mlp } of this.layers) {
      attention.record(recorder, batch);
      mlp.record(recorder, batch);
    }
    this.dispatchesPerLayer = (recorder.dispatches - before) / this.layers.length;
  }

  /** Logits of `count` (at most HEAD_TOKENS) tokens of the batch from `start` on, into `activations.logits`. */
  head(recorder: Dispatcher, start: number, count: number): void {
    if (count > HEAD_TOKENS) throw new Error(`head: ${count} tokens`);
    this.outputNorm.record(recorder, count, start);
    this.output.record(recorder, count);
  }
}
