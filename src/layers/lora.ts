import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import {
  LINEAR_NAMES,
  type LinearGroup,
  type LinearName,
  linearShape,
  linearsOfGroup,
} from '../architectures/linears.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher, Params } from '../gpu/recorder.ts';
import { loraDeltaKernel } from '../kernels/lora-delta.ts';
import type { LoraSite } from '../kernels/lora-layout.ts';
import { type LoraPrefillSize, loraPrefillRuns } from '../kernels/lora-prefill.ts';
import { loraLow } from '../kernels/slot-choices.ts';
import { loweringKernel } from '../kernels/linears/linear-kernels.ts';
import type { BatchShape } from './batch.ts';
import type { LayerPlace } from './layer-place.ts';

/** Behind a norm A · x is there before the linears run; for the others it is computed beside them, for what comes after. */
const LOW_OF = {
  qkv: 'lowNormed',
  convInput: 'lowNormed',
  deltaInput: 'lowNormed',
  gateUp: 'lowNormed',
  output: 'lowResidual',
  convOutput: 'lowResidual',
  deltaOutput: 'lowResidual',
  down: 'lowResidual',
} as const;

/** The linears of a layer that read one input together, and what their adapters' A · input is kept in. */
export interface LoraInputs {
  site: LoraSite;
  low: 'lowNormed' | 'lowResidual';
}

/** A group's linears, as an adapter changes them. */
export function loraInputs(config: ModelConfig, group: LinearGroup): LoraInputs {
  const linears = linearsOfGroup(group);
  const site = {
    first: LINEAR_NAMES.indexOf(linears[0] as LinearName),
    widths: linears.map((name) => linearShape(config, name)[0]),
  };
  return { site, low: LOW_OF[group] };
}

/** Parameters of every kernel that adapters take part in. */
export function loraParams(device: Device, { lora, tokens, kind }: BatchShape, layer: number): Params {
  if (!lora) return {};
  const { arena, adapters, rank } = lora;
  const runs = kind === 'decode' ? Math.ceil(rank / loraLow(device).components) : loraPrefillRuns(rank);
  return { adapters, tokens, runs, lowStride: arena.lowStride, directory: arena.directoryOf(layer) };
}

type LoraPlace = Pick<LayerPlace, 'device' | 'layer'>;

/** A · x of a batch, before the linears that add B · h to what they compute. */
export class LoraLowering {
  readonly #operation: Operation<LoraPrefillSize>;

  /** `columns`: of x. */
  constructor(
    private readonly place: LoraPlace,
    { x, columns, inputs }: { x: GPUBuffer; columns: number; inputs: LoraInputs },
    { lora, counters, ...lows }: ArenaBuffers,
  ) {
    const { device } = place;
    const kernel = loweringKernel(device, columns, inputs.site);
    this.#operation = createOperation(device, kernel, { x, lora, counters, low_next: lows[inputs.low] });
  }

  record(recorder: Dispatcher, batch: BatchShape): void {
    const params = loraParams(this.place.device, batch, this.place.layer);
    const { runs = 0, tokens = 0, adapters = 0 } = params;
    recorder.run(this.#operation, this.#operation.groups({ runs, tokens, adapters }), params);
  }
}

export interface LoraDeltaOptions {
  /** The residual stream, and where it goes with what adapters add to the linear before. */
  x: GPUBuffer;
  y: GPUBuffer;
  width: number;
  /** The linear before; none before the first layer. And what its product is multiplied by; default 1. */
  adds?: LoraInputs;
  scale?: number;
  /** The linears after, and the weights of their norm; without them nothing but y is computed. */
  lowers: LoraInputs;
  normWeight: GPUBuffer;
  /** Nothing after it is lowered for. */
  isLast?: boolean;
}

/** Between two linears of tokens being decoded; see lora-delta.wgsl. */
export class LoraDelta {
  readonly #operation: Operation<{ lowering: number; tokens: number }>;

  /** `place`: of the linears after. */
  constructor(
    private readonly place: LoraPlace,
    private readonly options: LoraDeltaOptions,
    { lora, counters, ...lows }: ArenaBuffers,
  ) {
    const { device } = place;
    const { x, y, width, adds, scale, lowers, normWeight } = options;
    const kernel = loraDeltaKernel(device, { width, adds: adds?.site, scale, lowers: lowers.site });
    this.#operation = createOperation(device, kernel, {
      ...{ x, y, norm_weight: normWeight, lora, counters, low_next: lows[lowers.low] },
      ...(adds && { low: lows[adds.low] }),
    });
  }

  record(recorder: Dispatcher, batch: BatchShape): void {
    const params = loraParams(this.place.device, batch, this.place.layer);
    const { lowers, isLast = false } = this.options;
    const { runs = 0, adapters = 0 } = params;
    const lowering = isLast ? 0 : runs * adapters * lowers.site.widths.length;
    recorder.run(this.#operation, this.#operation.groups({ lowering, tokens: batch.tokens }), params);
  }
}
