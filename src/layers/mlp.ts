import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import { createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import { gatedActivationKernel } from '../kernels/element-wise.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './activation-buffers.ts';
import {
  changes,
  type FirstHalf,
  Linear,
  type Norm,
  NormedLinears,
  type NormedLinearsOptions,
  ResidualLinear,
} from './linear.ts';
import { loraInputs } from './lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

/** y = activation(Wgate · norm(x)) · (Wup · norm(x)). One dispatch in decode, if gate and up share a matrix. */
class GatedLinears {
  readonly #separate: NormedLinears;
  readonly #activation: Operation<{ tokens: number }>;
  readonly #fused: Linear | undefined;
  #adaptedFused: Linear | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: Omit<NormedLinearsOptions, 'group' | 'y'>,
  ) {
    const { device, config, activations } = place;
    const { gateUp, gated } = activations;
    this.#separate = new NormedLinears(place, { ...options, group: 'gateUp', y: gateUp });
    this.#activation = createOperation(
      device,
      gatedActivationKernel(device, config.intermediateSize, config.activation),
      {
        x: gateUp,
        y: gated,
      },
    );
    this.#fused = this.#fuse(options.x);
  }

  /** Binds the adapters' buffers, or none. */
  attach(buffers: ArenaBuffers | undefined): void {
    this.#separate.attach(buffers);
    this.#adaptedFused = buffers && this.#fuse(this.options.adaptedX, buffers);
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { tokens, kind, unfusedLoras = [] } = batch;
    const fused = batch.lora ? this.#adaptedFused : this.#fused;
    // Unfused adapters must change gate and up before their product.
    if (fused && kind === 'decode' && !changes(unfusedLoras, this.place.layer, this.#separate.names))
      return fused.record(recorder, batch);
    this.#separate.record(recorder, batch);
    recorder.run(this.#activation, this.#activation.groups({ tokens }));
  }

  #fuse(x: GPUBuffer, buffers?: ArenaBuffers): Linear | undefined {
    const { device, layer, config, activations } = this.place;
    const { norm, matrices } = this.options;
    const [matrix, ...others] = matrices;
    if (!matrix || others.length > 0 || matrix.slices.length > 1) return undefined;
    const lora = buffers && { ...loraInputs(config, 'gateUp'), layer, buffers };
    return new Linear(device, matrix, { x, y: activations.gated, norm, gate: config.activation, kind: 'decode', lora });
  }
}

interface MlpWeights {
  norm: Norm;
  /** Gate above up in one matrix, or two matrices if their types differ. */
  gateUp: readonly WeightMatrix[];
  down: WeightMatrix;
  postNorm?: GPUBuffer | undefined;
}

/** x += postNorm(residualScale · Wdown · (activation(Wgate · norm(x)) · (Wup · norm(x)))). */
export class Mlp {
  readonly norm: Norm;
  /** Whether adapters apply to it. */
  readonly isAdapted = true;
  readonly #gateUp: GatedLinears;
  readonly #down: ResidualLinear;

  constructor(
    private readonly place: LayerPlace,
    { norm, gateUp, down, postNorm }: MlpWeights,
  ) {
    const { x, between, gated } = place.activations;
    this.norm = norm;
    // In decode with adapters, the residual stream arrives in `between` and leaves in x; with postNorm it stays in x.
    const from = postNorm ? x : between;
    this.#gateUp = new GatedLinears(place, { matrices: gateUp, norm, x, adaptedX: from });
    this.#down = new ResidualLinear(place, { group: 'down', matrix: down, x: gated, y: x, adaptedY: from, postNorm });
  }

  /** Binds the adapters' buffers, or none. `next`: the next layer's first half, if any. */
  attach(buffers: ArenaBuffers | undefined, next: FirstHalf | undefined): void {
    const { layer, config, activations } = this.place;
    this.#gateUp.attach(buffers);
    this.#down.attach(buffers, {
      y: activations.x,
      lowers: next?.reads ?? loraInputs(config, 'gateUp'),
      normWeight: (next ?? this).norm.weight,
      ...{ layer: next ? layer + 1 : layer, isLast: !next },
    });
  }

  record(recorder: Dispatcher, batch: Batch): void {
    this.#gateUp.record(recorder, batch);
    this.#down.record(recorder, batch);
  }
}
