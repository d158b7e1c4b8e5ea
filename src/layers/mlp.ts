import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { Batch } from './batch.ts';
import { GatedLinears } from './gated-linears.ts';
import type { LayerPlace } from './layer-place.ts';
import { loraInputs } from './lora.ts';
import type { Norm } from './norm.ts';
import { type FirstHalf, ResidualLinear } from './residual-linear.ts';
import type { WeightMatrix } from './weight-matrix.ts';

export interface MlpWeights {
  norm: Norm;
  /** One matrix, gate above up; or the two apart where their types differ. */
  gateUp: readonly WeightMatrix[];
  down: WeightMatrix;
  postNorm?: GPUBuffer | undefined;
}

/** x += postNorm(residualScale · Wdown · (activation(Wgate · norm(x)) · (Wup · norm(x)))). */
export class Mlp {
  readonly norm: Norm;
  /** Whether adapters change it. */
  readonly isAdapted = true;
  readonly #gateUp: GatedLinears;
  readonly #down: ResidualLinear;

  constructor(
    private readonly place: LayerPlace,
    { norm, gateUp, down, postNorm }: MlpWeights,
  ) {
    const { x, between, gated } = place.activations;
    this.norm = norm;
    // With adapters a token being decoded comes here in `between`, and goes on in x; where outputs are normed, it is in x.
    const from = postNorm ? x : between;
    this.#gateUp = new GatedLinears(place, { matrices: gateUp, norm, x, adaptedX: from });
    this.#down = new ResidualLinear(place, { group: 'down', matrix: down, x: gated, y: x, adaptedY: from, postNorm });
  }

  /** Makes ready for the adapters of these buffers, or for none. `next`: what the next layer begins with, if any. */
  attach(buffers: ArenaBuffers | undefined, next: FirstHalf | undefined): void {
    const { layer, config, activations } = this.place;
    this.#gateUp.attach(buffers);
    this.#down.attach(buffers, {
      ...{
        y: activations.x,
        lowers: next?.reads ?? loraInputs(config, 'gateUp'),
        normWeight: (next ?? this).norm.weight,
      },
      ...{ layer: next ? layer + 1 : layer, isLast: !next },
    });
  }

  record(recorder: Dispatcher, batch: Batch): void {
    this.#gateUp.record(recorder, batch);
    this.#down.record(recorder, batch);
  }
}
