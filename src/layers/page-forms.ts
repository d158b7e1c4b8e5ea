import type { Device } from '../gpu/device.ts';
import type { Kernel } from '../gpu/kernel.ts';
import { createOperation, following, type Operation } from '../gpu/operation.ts';
import type { Dispatcher } from '../gpu/recorder.ts';
import type { ModelConfig } from '../config/model-config.ts';
import { storesTokens } from '../kernels/attention/attention-decode.ts';
import { attentionKernels } from '../kernels/attention/attention-kernels.ts';
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
  ...new Set(
    Object.values(attentionKernels(device, config, { halfOnly: false, stores: storesTokens(device, config) })),
  ),
  quantizePageKernel(device, config),
  probePageKernel(device, config),
];

/** Writes a layer's pages in other forms, and finds how far that would move its output. Each kernel is made when first used. */
export class PageForms {
  readonly #quantize: () => Operation<{ pages: number }>;
  readonly #condense: () => Operation<{ pages: number }>;
  readonly #probe: () => Operation<{ found: number }>;

  constructor({ device, config, layer }: LayerPlace, { tasks, errors, rope, pages, probes }: AttentionBuffers) {
    const kv = (): GPUBuffer => pages.buffer;
    const qkv = (): GPUBuffer => probes.buffer(layer);
    this.#quantize = following([kv], () =>
      createOperation(device, quantizePageKernel(device, config), { tasks, kv: kv() }),
    );
    this.#condense = following([kv, qkv], () =>
      createOperation(device, condensePageKernel(device, config), { tasks, kv: kv(), qkv: qkv(), rope }),
    );
    this.#probe = following([kv, qkv], () =>
      createOperation(device, probePageKernel(device, config), { tasks, kv: kv(), qkv: qkv(), rope, errors }),
    );
  }

  /** Writes the copies of `count` tasks from `first` on. */
  quantize(recorder: Dispatcher, first: number, count: number): void {
    const quantize = this.#quantize();
    recorder.run(quantize, quantize.groups({ pages: count }), { first });
  }

  /** Merges the pages of `count` tasks from `first` on into sparse ones, as these queries see them. */
  condense(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries): void {
    const condense = this.#condense();
    recorder.run(condense, condense.groups({ pages: count }), { first, ...queries });
  }

  /**
   * Finds how far those copies would move the output of a stream's latest `queries` queries, the last at `position`:
   * each, or `together` of them at once.
   */
  probe(recorder: Dispatcher, first: number, count: number, queries: ProbedQueries, together = 1): void {
    const probe = this.#probe();
    recorder.run(probe, probe.groups({ found: count / together }), { first, count, together, ...queries });
  }
}
