import type { ArenaBuffers } from '../../adapters/arena/adapter-arena.ts';
import { linearsOfGroup } from '../../architectures/linears.ts';
import type { Experts as ExpertsConfig } from '../../config/model-config.ts';
import { createOperation, type Operation } from '../../gpu/operation.ts';
import type { Dispatcher } from '../../gpu/recorder.ts';
import { groupExpertsKernel, groupedPlaces } from '../../kernels/experts/group-experts.ts';
import { routeExpertsKernel } from '../../kernels/experts/route-experts.ts';
import { sumExpertsKernel } from '../../kernels/experts/sum-experts.ts';
import type { Batch } from '../batch.ts';
import type { LayerPlace } from '../layer-place.ts';
import { Linear } from '../linear.ts';
import type { LoraDelta } from '../lora.ts';
import type { Norm } from '../norm.ts';
import { beforeFirstHalf, type FirstHalf } from '../residual-linear.ts';
import type { WeightMatrix } from '../weight-matrix.ts';
import { ExpertLinear } from './expert-linear.ts';

export interface ExpertsWeights {
  norm: Norm;
  /** `[count, hiddenSize]` */
  router: WeightMatrix;
  /** Of shares where they are compared, if any `[count]`. */
  bias?: GPUBuffer | undefined;
  /** Of each expert gate above up, then the next one's. */
  gateUp: WeightMatrix;
  down: WeightMatrix;
}

/** Those that read the same input in a layer without experts. */
const MLP_INPUTS = linearsOfGroup('gateUp');

/** What reads the residual stream, and what adds to it. */
interface Form {
  router: Linear;
  gateUp: ExpertLinear;
  sum: Operation<{ tokens: number }>;
  /** With adapters: for the linears of the next layer. */
  delta?: LoraDelta | undefined;
}

/** Of many tokens: which go through the same expert are multiplied together. */
interface Grouped {
  group: Operation<object>;
  gateUp: ExpertLinear;
  down: ExpertLinear;
}

/**
 * x += residualScale · Σ share · Wdown · (activation(Wgate · norm(x)) · (Wup · norm(x))), over the experts that the router
 * chooses for a token. Which these are stays on the GPU. Adapters do not change them.
 */
export class Experts {
  readonly norm: Norm;
  readonly isAdapted = false;
  readonly #config: ExpertsConfig;
  readonly #route: Operation<{ tokens: number }>;
  readonly #down: ExpertLinear;
  readonly #grouped: Grouped | undefined;
  readonly #plain: Form;
  #adapted: Form | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly weights: ExpertsWeights,
  ) {
    const { device, config, activations } = place;
    const { x, qkv, attended, gated, gateUp } = activations;
    if (!config.experts) throw new Error('a model without experts');
    this.#config = config.experts;
    this.norm = weights.norm;
    const { count } = config.experts;
    this.#route = createOperation(device, routeExpertsKernel(device, config.experts), {
      x: qkv,
      routes: attended,
      ...(weights.bias && { expert_bias: weights.bias }),
    });
    this.#down = new ExpertLinear(device, {
      matrix: weights.down,
      count,
      routes: attended,
      x: gated,
      y: gateUp,
      used: 1,
    });
    this.#plain = this.#form(x);
    // On software adapters a row is an invocation's, and few tokens are multiplied at once.
    if (device.variant.lanes > 1) this.#grouped = this.#group();
  }

  /** Makes ready for the adapters of these buffers, or for none. `next`: what the next layer begins with, if any. */
  attach(buffers: ArenaBuffers | undefined, next: FirstHalf | undefined): void {
    const { place } = this;
    // A token being decoded comes here in `between`, and goes on in x.
    const delta = buffers && next && beforeFirstHalf({ ...place, layer: place.layer + 1 }, next, buffers);
    this.#adapted = buffers && { ...this.#form(place.activations.between), delta };
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { layer, config } = this.place;
    const { kind, tokens } = batch;
    const form = (batch.lora && kind === 'decode' && this.#adapted) || this.#plain;
    if (kind === 'prefill') {
      this.norm.record(recorder, tokens);
      batch.tap?.(layer, MLP_INPUTS, this.norm.output);
    }
    form.router.record(recorder, batch);
    recorder.run(this.#route, this.#route.groups({ tokens }));
    const { used, count } = this.#config;
    const ways = tokens * used;
    const grouped = kind === 'prefill' ? this.#grouped : undefined;
    if (grouped) recorder.run(grouped.group, grouped.group.groups({}), { ways, places: groupedPlaces(ways, count) });
    (grouped ?? form).gateUp.record(recorder, ways);
    (grouped?.down ?? this.#down).record(recorder, ways);
    recorder.run(form.sum, form.sum.groups({ tokens }), { scale: config.residualScale });
    form.delta?.record(recorder, batch);
  }

  #group(): Grouped {
    const { device, config, activations } = this.place;
    const { x, attended, partials: routes, gated, gateUp } = activations;
    const { norm, gateUp: matrix, down } = this.weights;
    const { count, used } = this.#config;
    return {
      group: createOperation(device, groupExpertsKernel(device, count), { routes: attended, places: routes }),
      gateUp: new ExpertLinear(device, {
        matrix,
        count,
        routes,
        isGrouped: true,
        x,
        y: gated,
        used,
        norm,
        gate: config.activation,
      }),
      down: new ExpertLinear(device, { matrix: down, count, routes, isGrouped: true, x: gated, y: gateUp, used: 1 }),
    };
  }

  /** `x`: the residual stream, which goes on in the activations' own. */
  #form(x: GPUBuffer): Form {
    const { device, config, activations } = this.place;
    const { x: stream, qkv, attended, gated, gateUp } = activations;
    const { norm, router, gateUp: matrix } = this.weights;
    const isApart = x !== stream;
    const { count, used } = this.#config;
    return {
      router: new Linear(device, router, { x, y: qkv, norm }),
      gateUp: new ExpertLinear(device, {
        matrix,
        count,
        routes: attended,
        x,
        y: gated,
        used,
        norm,
        gate: config.activation,
      }),
      sum: createOperation(device, sumExpertsKernel(device, config.hiddenSize, used, isApart), {
        x: gateUp,
        routes: attended,
        y: stream,
        ...(isApart && { before: x }),
      }),
    };
  }
}
