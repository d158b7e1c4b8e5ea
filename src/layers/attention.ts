import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { sharesKeys } from '../config/model-config.ts';
import { createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { normQkKernel } from '../kernels/attention/norm-qk.ts';
import { sigmoidMulKernel } from '../kernels/sigmoid-mul.ts';
import { storeKvKernel } from '../kernels/store-kv.ts';
import type { AttentionBuffers } from './attention-buffers.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';
import { type LoraInputs, loraInputs } from './lora.ts';
import type { Norm } from './norm.ts';
import { NormedLinears } from './normed-linears.ts';
import { PageForms } from './page-forms.ts';
import { PagedAttention } from './paged-attention.ts';
import { beforeSecondHalf, ResidualLinear, type SecondHalf } from './residual-linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface AttentionWeights {
  norm: Norm;
  /** One matrix for q, k and v, or several where their types differ. */
  qkv: readonly WeightMatrix[];
  /** Of q, k and v, one after another, behind the norm's weights. */
  bias?: GPUBuffer;
  output: WeightMatrix;
  postNorm?: GPUBuffer | undefined;
  /** With qkNorm: `[headDim]` each. */
  queryNorm?: GPUBuffer;
  keyNorm?: GPUBuffer;
  /** Where they are normed whole: q's, then k's `[(numHeads + numKvHeads) headDim]`. */
  wholeNorm?: GPUBuffer | undefined;
}

/** x += postNorm(residualScale · Wo · attention(Wq · norm(x), Wk · norm(x), Wv · norm(x))), where it is gated times sigmoid(Wgate · norm(x)). */
export class Attention {
  /** Of the linears that it begins with. */
  readonly reads: LoraInputs;
  readonly norm: Norm;
  /** This layer's pages in other forms. */
  readonly pageForms: PageForms;
  readonly #qkv: NormedLinears;
  readonly #norm: Operation<{ tokens: number }> | undefined;
  readonly #store: () => Operation<{ tokens: number }>;
  readonly #attend: PagedAttention;
  readonly #gate: Operation<{ tokens: number }> | undefined;
  readonly #output: ResidualLinear;

  constructor(
    private readonly place: LayerPlace,
    private readonly buffers: AttentionBuffers,
    private readonly weights: AttentionWeights,
  ) {
    const { x, qkv, attended } = place.activations;
    const { norm, bias, wholeNorm } = weights;
    const { device, config } = place;
    this.norm = norm;
    this.reads = loraInputs(config, 'qkv');
    this.#qkv = new NormedLinears(place, { group: 'qkv', matrices: weights.qkv, norm, x, adaptedX: x, y: qkv, bias });
    this.#norm = wholeNorm && createOperation(device, normQkKernel(device, config), { qkv, norm_weight: wholeNorm });
    this.#store = following([() => buffers.pages.buffer], () => this.#bindStore());
    this.#store(); // compiled while the model is opened
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

  /** Makes ready for the adapters of these buffers, or for none. `mlp`: of the same layer. */
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

  #bindStore(): Operation<{ tokens: number }> {
    const { device, layer, config, activations } = this.place;
    const { batchTable, qkv } = activations;
    const { queryNorm, keyNorm } = this.weights;
    const { pages, table, rope } = this.buffers;
    const norms = { ...(queryNorm && { query_norm_weight: queryNorm }), ...(keyNorm && { key_norm_weight: keyNorm }) };
    return createOperation(device, storeKvKernel(device, config, !sharesKeys(config, layer)), {
      batch_table: batchTable,
      qkv,
      kv: pages.buffer,
      pages: table,
      rope,
      ...norms,
    });
  }
}
