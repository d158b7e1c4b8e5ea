import type { LinearName } from '../architectures/linears.ts';
import type { Device } from '../gpu/device.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import { Linear } from './linear.ts';
import type { ActiveLora, Batch, BatchShape, PlainProduct } from './batch.ts';
import type { Norm } from './norm.ts';
import type { WeightMatrix } from './weight-matrix.ts';

/** The products of one adapter in one layer. */
export type LoraLayer = Partial<Record<LinearName, LoraProduct>>;

export interface LoraBuffers {
  x: GPUBuffer;
  y: GPUBuffer;
  /** A · x `[T, rank]`, between the two products. */
  low: GPUBuffer;
  /** Of the base linear: its rows' place in y, y's width, and the norm of its input. */
  outputStart?: number;
  outputWidth: number;
  norm?: Norm;
}

/** y += scale · B · (A · norm(x)), as two linears behind the base's own: the plain form of LoRA (arXiv 2106.09685). */
export class LoraProduct implements PlainProduct {
  readonly #a: Linear;
  readonly #b: Linear;

  /** `a [rank, in]`, `b [out, rank]`; b's rank a multiple of 32, filled up with zeros. */
  constructor(
    device: Device,
    a: WeightMatrix,
    b: WeightMatrix,
    buffers: LoraBuffers,
    private readonly scale: number,
  ) {
    const { x, y, low, outputStart, outputWidth, norm } = buffers;
    this.#a = new Linear(device, a, { x, y: low, outputWidth: b.columns, norm });
    this.#b = new Linear(device, b, { x: low, y, outputStart, outputWidth, accumulate: true });
  }

  record(recorder: Dispatcher, batch: BatchShape, scale: number): void {
    this.#a.record(recorder, batch);
    this.#b.record(recorder, batch, this.scale * scale);
  }
}

/** Records the products that `loras` have for `modules` of `layer`. */
export function recordLora(recorder: Dispatcher, batch: Batch, layer: number, modules: readonly LinearName[]): void {
  for (const { layers, scale } of batch.loras) {
    for (const module of modules) layers[layer]?.[module]?.record(recorder, batch, scale);
  }
}

/** Whether one of `loras` changes one of `modules` of `layer`. */
export const changes = (loras: readonly ActiveLora[], layer: number, modules: readonly LinearName[]): boolean =>
  loras.some(({ layers }) => modules.some((module) => layers[layer]?.[module] !== undefined));
