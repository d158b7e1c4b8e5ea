import type { ArenaBuffers } from '../adapters/adapter-arena.ts';
import {
  LINEAR_NAMES,
  type LinearGroup,
  type LinearName,
  linearShape,
  linearsOfGroup,
} from '../architectures/linears.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Dispatcher, type Operation } from '../gpu/recorder.ts';
import type { Params } from '../gpu/kernel.ts';
import { loraDeltaKernel, type LoraPrefillSize, loraPrefillRuns, loweringKernel } from '../kernels/lora.ts';
import type { LoraSite } from '../kernels/lora-layout.ts';
import { loraLow } from '../kernels/kernel-variants.ts';
import type { BatchShape } from './batch.ts';
import type { LayerPlace } from './activation-buffers.ts';

/** Buffer of A · x: computed before linears that follow a norm, and along with the others, whose delta is added later. */
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

/** Linears that share an input, and the buffer of their adapters' A · input. */
export interface LoraInputs {
  site: LoraSite;
  low: 'lowNormed' | 'lowResidual';
}

/** The LoRA inputs of a group of linears. */
export function loraInputs(config: ModelConfig, group: LinearGroup): LoraInputs {
  const linears = linearsOfGroup(group);
  const site = {
    first: LINEAR_NAMES.indexOf(linears[0] as LinearName),
    widths: linears.map((name) => linearShape(config, name)[0]),
  };
  return { site, low: LOW_OF[group] };
}

/** Parameters of every kernel with adapters. */
export function loraParams(device: Device, { lora, tokens, kind }: BatchShape, layer: number): Params {
  if (!lora) return {};
  const { arena, adapters, rank } = lora;
  const runs = kind === 'decode' ? Math.ceil(rank / loraLow(device).components) : loraPrefillRuns(rank);
  return { adapters, tokens, runs, lowStride: arena.lowStride, directory: arena.directoryOf(layer) };
}

type LoraPlace = Pick<LayerPlace, 'device' | 'layer'>;

/** h = A · x of a batch, before the linears that add B · h. */
export class LoraLowering {
  readonly #operation: Operation<LoraPrefillSize>;

  /** `columns`: width of x. */
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
  /** The residual stream, and the buffer of its sum with the preceding linear's adapters. */
  x: GPUBuffer;
  y: GPUBuffer;
  width: number;
  /** The preceding linear, if any, and the scale of its product; default 1. */
  adds?: LoraInputs;
  scale?: number;
  /** The following linears and the weights of their norm. */
  lowers: LoraInputs;
  normWeight: GPUBuffer;
  /** Skips A · x for the following linears. */
  isLast?: boolean;
}

/** Decode, between two linears: adds B · h of the preceding one, then computes A · norm(x) for the following ones; see lora-delta.wgsl. */
export class LoraDelta {
  readonly #operation: Operation<{ lowering: number; tokens: number }>;

  /** `place`: the following linears' layer. */
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
