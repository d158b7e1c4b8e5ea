import { errorBytes } from '../cache/kv-cache.ts';
import type { Device } from '../gpu/device.ts';
import { Readback } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { FOUND_BYTES, PROBES } from '../kernels/probe-page.ts';
import type { Transformer } from '../models/transformer.ts';
import { heldTokens, type Sequence } from './sequence.ts';

/** Tells how far the forms of a sequence's pages truly move attention, where what they were written from is kept. */
export class ShadowCheck {
  #readback: Readback | undefined;

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
  ) {}

  /**
   * Of each layer: how far all pages together move the attention output of the latest queries, relative L2, largest head.
   * The last token may not have been computed: the queries before it are asked.
   */
  async errors(sequence: Sequence): Promise<number[]> {
    const { cache, layers, config } = this.transformer;
    this.#readback ??= new Readback(this.device, 'shadow errors', errorBytes(config), 1);
    const held = heldTokens(sequence);
    const queries = { slot: sequence.slot, queries: Math.min(PROBES - 1, held - 1), position: held - 2 };
    const errors: number[] = [];
    for (const [layer, { attention }] of layers.entries()) {
      const count = queries.queries > 0 ? cache.writeShadows(sequence.pages, layer) : 0;
      if (count === 0) {
        errors.push(0);
        continue;
      }
      attention.probe(this.recorder, 0, count, queries, count);
      const bytes = await this.#readback.submit(this.recorder, [{ buffer: cache.errors, offset: 0, size: config.numHeads * FOUND_BYTES }]);
      errors.push(Math.max(...new Float32Array(bytes).filter((_, i) => i % 2 === 0))); // beside each its page's mass
    }
    return errors;
  }
}
