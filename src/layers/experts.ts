import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import { linearsOfGroup } from '../architectures/linears.ts';
import type { Activation } from '../config/activations.ts';
import type { Experts as ExpertsConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import {
  GROUP_TOKENS,
  groupedPlaces,
  groupExpertsKernel,
  routeExpertsKernel,
  sumExpertsKernel,
} from '../kernels/experts.ts';
import { type LinearDecodeSize, decodeKernel } from '../kernels/linear-decode.ts';
import type { Batch } from './batch.ts';
import type { LayerPlace } from './activation-buffers.ts';
import { beforeFirstHalf, type FirstHalf, Linear, type Norm } from './linear.ts';
import type { LoraDelta } from './lora.ts';
import type { WeightMatrix } from './weight-matrix.ts';

interface ExpertLinearOptions {
  /** The stacked rows of all experts; an expert's rows are in one slice. */
  matrix: WeightMatrix;
  /** Experts of the matrix. */
  count: number;
  /** Expert of each row of y; see route-experts.ts, or group-experts.ts if grouped. */
  routes: GPUBuffer;
  isGrouped?: boolean;
  x: GPUBuffer;
  y: GPUBuffer;
  /** Consecutive rows of y per row of x. */
  used: number;
  /** Norm of x. */
  norm?: Norm | undefined;
  /** An expert's rows are gate, then up: y = activation(gate) · up. */
  gate?: Activation | undefined;
}

/** Each row of y = W of its expert · norm(x). A slice's dispatch skips rows of experts in other slices. */
export class ExpertLinear {
  readonly #operations: readonly Operation<LinearDecodeSize>[];
  readonly #rows: number;

  constructor(
    device: Device,
    private readonly options: ExpertLinearOptions,
  ) {
    const { matrix, count, routes, x, y, used, norm, gate, isGrouped = false } = options;
    this.#rows = matrix.rows / count;
    const kernel = decodeKernel(device, {
      type: matrix.type,
      columns: matrix.columns,
      normEps: norm?.eps,
      gate,
      routed: { used, grouped: isGrouped },
      tokens: isGrouped ? GROUP_TOKENS : 1,
    });
    const bounds = { x, y, routes, ...(norm && { norm_weight: norm.weight }) };
    this.#operations = matrix.slices.map(({ ranges }) => createOperation(device, kernel, { ...ranges, ...bounds }));
  }

  /** `tokens`: rows of y. */
  record(recorder: Dispatcher, tokens: number): void {
    const rows = this.#rows;
    const { matrix, count, gate, isGrouped } = this.options;
    const outputWidth = gate ? rows / 2 : rows;
    const places = isGrouped ? groupedPlaces(tokens, count) : tokens;
    matrix.slices.forEach((slice, i) => {
      const operation = this.#operations[i] as Operation<LinearDecodeSize>;
      const params = {
        rowStart: 0,
        rows,
        scale: 1,
        tokens,
        outputWidth,
        firstExpert: slice.rowStart / rows,
        experts: slice.rows / rows,
      };
      recorder.run(operation, operation.groups({ outputs: outputWidth, tokens: places }), params);
    });
  }
}

interface ExpertsWeights {
  norm: Norm;
  /** `[count, hiddenSize]` */
  router: WeightMatrix;
  /** Added to the shares when they are compared, if any `[count]`. */
  bias?: GPUBuffer | undefined;
  /** Gate above up of each expert, expert after expert. */
  gateUp: WeightMatrix;
  down: WeightMatrix;
}

/** The linears that read the same input in a layer without experts. */
const MLP_INPUTS = linearsOfGroup('gateUp');

/** Dispatches that read or write the residual stream. */
interface Form {
  router: Linear;
  gateUp: ExpertLinear;
  sum: Operation<{ tokens: number }>;
  /** With adapters: A · x for the next layer's linears. */
  delta?: LoraDelta | undefined;
}

/** Prefill: tokens of the same expert are multiplied together. */
interface Grouped {
  group: Operation<object>;
  gateUp: ExpertLinear;
  down: ExpertLinear;
}

/**
 * x += residualScale · Σ share · Wdown · (activation(Wgate · norm(x)) · (Wup · norm(x))), over the experts that the router
 * chooses for a token. The choice stays on the GPU. Adapters do not apply to experts.
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
    // Grouping does not pay on software adapters, where one invocation computes a row.
    if (device.variant.lanes > 1) this.#grouped = this.#group();
  }

  /** Binds the adapters' buffers, or none. `next`: the next layer's first half, if any. */
  attach(buffers: ArenaBuffers | undefined, next: FirstHalf | undefined): void {
    const { place } = this;
    // In decode the residual stream arrives in `between` and leaves in x.
    const delta = buffers && next && beforeFirstHalf({ ...place, layer: place.layer + 1 }, next, buffers);
    this.#adapted = buffers && { ...this.#form(place.activations.between), delta };
  }

  record(recorder: Dispatcher, batch: Batch): void {
    const { layer, config } = this.place;
    const { kind, tokens } = batch;
    const form = (batch.lora && kind === 'decode' && this.#adapted) || this.#plain;
    if (kind === 'prefill') {
      this.norm.record(recorder, tokens);
      batch.onLinearInput?.(layer, MLP_INPUTS, this.norm.output);
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

  /** `x`: buffer of the incoming residual stream; the outgoing one is `activations.x`. */
  #form(x: GPUBuffer): Form {
    const { device, config, activations } = this.place;
    const { x: stream, qkv, attended, gated, gateUp } = activations;
    const { norm, router, gateUp: matrix } = this.weights;
    const readsResidual = x !== stream;
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
      sum: createOperation(device, sumExpertsKernel(device, config.hiddenSize, used, readsResidual), {
        x: gateUp,
        routes: attended,
        y: stream,
        ...(readsResidual && { before: x }),
      }),
    };
  }
}
