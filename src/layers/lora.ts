import type { ArenaBuffers } from '../adapters/arena/adapter-arena.ts';
import { LINEAR_NAMES, type LinearName, linearShape } from '../adapters/formats/module-names.ts';
import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher, Params } from '../gpu/recorder.ts';
import { loraDeltaKernel } from '../kernels/lora-delta.ts';
import type { LoraSite } from '../kernels/lora-layout.ts';
import { loraPrefillKernel, loraPrefillRuns } from '../kernels/lora-prefill.ts';
import { reduction } from '../kernels/slot-choices.ts';
import type { BatchShape } from './batch.ts';

/** The linears of a layer that read one input together, and what their adapters' A · input is kept in. */
export interface LoraInputs {
  site: LoraSite;
  low: 'lowNormed' | 'lowResidual';
}

/** The four groups of linears an adapter changes. */
export function loraInputs(config: ModelConfig): Record<'qkv' | 'output' | 'gateUp' | 'down', LoraInputs> {
  const inputs = (low: LoraInputs['low'], ...linears: LinearName[]): LoraInputs => ({
    site: {
      first: LINEAR_NAMES.indexOf(linears[0] as LinearName),
      widths: linears.map((linear) => linearShape(config, linear)[0]),
    },
    low,
  });
  return {
    qkv: inputs('lowNormed', 'attn_q', 'attn_k', 'attn_v'),
    output: inputs('lowResidual', 'attn_output'),
    gateUp: inputs('lowNormed', 'ffn_gate', 'ffn_up'),
    down: inputs('lowResidual', 'ffn_down'),
  };
}

/** Parameters of every kernel that adapters take part in. */
export function loraParams(device: Device, { lora, tokens, kind }: BatchShape, layer: number): Params {
  if (!lora) return {};
  const { arena, adapters, rank } = lora;
  const components = 2 * reduction(device).rowsPerGroup;
  const runs = kind === 'decode' ? Math.ceil(rank / components) : loraPrefillRuns(rank);
  return { adapters, tokens, runs, lowStride: arena.lowStride, directory: arena.directoryOf(layer) };
}

/** A · x of a batch, before the linears that add B · h to what they compute. */
export class LoraLowering {
  readonly #operation: Operation<{ runs: number; tokens: number; adapters: number }>;

  constructor(
    private readonly device: Device,
    private readonly layer: number,
    x: GPUBuffer,
    columns: number,
    inputs: LoraInputs,
    { lora, counters, ...lows }: ArenaBuffers,
  ) {
    const kernel = loraPrefillKernel(device, columns, inputs.site);
    this.#operation = createOperation(device, kernel, { x, lora, counters, low_next: lows[inputs.low] });
  }

  record(recorder: Dispatcher, batch: BatchShape): void {
    const params = loraParams(this.device, batch, this.layer);
    const { runs = 0, tokens = 0, adapters = 0 } = params;
    recorder.run(this.#operation, this.#operation.groups({ runs, tokens, adapters }), params);
  }
}

export interface LoraDeltaOptions {
  /** The residual stream, and where it goes with what adapters add to the linear before. */
  x: GPUBuffer;
  y: GPUBuffer;
  /** The linear before; none before the first layer. */
  adds?: LoraInputs;
  /** The linears after, and the weights of their norm; without them nothing but y is computed. */
  lowers: LoraInputs;
  normWeight: GPUBuffer;
  isLast?: boolean;
}

/** Between two linears of tokens being decoded; see lora-delta.wgsl. */
export class LoraDelta {
  readonly #operation: Operation<{ lowering: number; tokens: number }>;

  /** `layer`: of the linears after. */
  constructor(
    private readonly device: Device,
    private readonly layer: number,
    width: number,
    private readonly options: LoraDeltaOptions,
    { lora, counters, ...lows }: ArenaBuffers,
  ) {
    const { x, y, adds, lowers, normWeight } = options;
    const kernel = loraDeltaKernel(device, { width, adds: adds?.site, lowers: lowers.site });
    this.#operation = createOperation(device, kernel, {
      ...{ x, y, norm_weight: normWeight, lora, counters, low_next: lows[lowers.low] },
      ...(adds && { low: lows[adds.low] }),
    });
  }

  record(recorder: Dispatcher, batch: BatchShape): void {
    const params = loraParams(this.device, batch, this.layer);
    const { lowers, isLast = false } = this.options;
    const { runs = 0, adapters = 0 } = params;
    const lowering = isLast ? 0 : runs * adapters * lowers.site.widths.length;
    recorder.run(this.#operation, this.#operation.groups({ lowering, tokens: batch.tokens }), params);
  }
}
