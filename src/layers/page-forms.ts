import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { createOperation, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { attentionKernel } from '../kernels/attention.ts';
import { condensePageKernel } from '../kernels/condense-page.ts';
import { probePageKernel } from '../kernels/probe-page.ts';
import { quantizePageKernel } from '../kernels/quantize-page.ts';
import type { AttentionBuffers } from './attention-buffers.ts';
import type { LayerPlace } from './layer-place.ts';

/** Which queries a probe asks. */
export interface ProbedQueries {
  slot: number;
  queries: number;
  position: number;
}

/** What pages in other forms than f16 need. Drivers take seconds to compile it. */
export const pageFormKernels = (device: Device, config: ModelConfig): Kernel[] => [
  attentionKernel(device, config, false),
  quantizePageKernel(device, config),
  probePageKernel(device, config),
];

/** Writes a layer's pages in other forms, and finds how far that would move its output. Each kernel is made when first used. */
export class PageForms {
  #quantize: Operation<{ pages: number }> | undefined;
  #condense: Operation<{ pages: number }> | undefined;
  #probe: Operation<{ found: number }> | undefined;

  constructor(
    private readonly place: LayerPlace,
    private readonly buffers: AttentionBuffers,
  ) {}

  /** This layer's pages, or what streams asked of them, lie in another buffer. */
  cacheMoved(): void {
    this.#quantize = this.#condense = this.#probe = undefined;
  }

  /** Writes the copies of `count` tasks from `first` on. */
  quantize(recorder: Dispatcher, first: number, count: number): void {
    const { device, config } = this.place;
    const { tasks, pages } = this.buffers;
    this.#quantize ??= createOperation(device, quantizePageKernel(device, config), { tasks, kv: pages.buffer });
    recorder.run(this.#quantize, this.#quantize.groups({ pages: count }), { first });
  }

  /** Merges the pages of `count` tasks from `first` on into sparse ones, as these queries see them. */
  condense(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries): void {
    const { device, config, layer } = this.place;
    const { tasks, pages, probes, rope } = this.buffers;
    const bounds = { tasks, kv: pages.buffer, qkv: probes.buffer(layer), rope };
    this.#condense ??= createOperation(device, condensePageKernel(device, config), bounds);
    recorder.run(this.#condense, this.#condense.groups({ pages: count }), { first, ...queries });
  }

  /**
   * Finds how far those copies would move the output of a stream's latest `queries` queries, the last at `position`:
   * each, or `together` of them at once.
   */
  probe(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries, together = 1): void {
    const { device, config, layer } = this.place;
    const { tasks, pages, probes, rope, errors } = this.buffers;
    const bounds = { tasks, kv: pages.buffer, qkv: probes.buffer(layer), rope, errors };
    this.#probe ??= createOperation(device, probePageKernel(device, config), bounds);
    recorder.run(this.#probe, this.#probe.groups({ found: count / together }), { first, count, together, ...queries });
  }
}
