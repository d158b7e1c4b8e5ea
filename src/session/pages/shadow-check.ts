import { errorBytes } from '../../cache/kv-cache.ts';
import type { Device } from '../../gpu/device.ts';
import { Readback } from '../../gpu/readback.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { FOUND_BYTES, PROBES, sumOverHeads } from '../../kernels/probe-page.ts';
import type { PageForms, ProbedQueries } from '../../layers/page-forms.ts';
import type { Transformer } from '../../models/transformer.ts';
import type { Sequence } from '../sequence.ts';

/** Tells how far the forms of a sequence's pages truly move attention, where what they were written from is kept. */
export class ShadowCheck {
  #readback: Readback | undefined;

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
  ) {}

  /**
   * Of each layer: how far all pages together move the attention output of the latest queries, relative L2.
   * The last token may not have been computed: the queries before it are asked.
   */
  async errors(sequence: Sequence): Promise<number[]> {
    const { cache, layers } = this.transformer;
    const held = sequence.heldTokens;
    const queries = { slot: sequence.slot, queries: Math.min(PROBES - 1, held - 1), position: held - 2 };
    const errors: number[] = [];
    // Between two layers others run: their pages may move, and the tasks and errors are theirs.
    for (const [
      layer,
      {
        mixer: { pageForms },
      },
    ] of layers.entries()) {
      const count = pageForms && queries.queries > 0 ? cache.writeShadows(sequence.pages, layer) : 0;
      if (!pageForms || count === 0) {
        errors.push(0);
        continue;
      }
      const bytes = await this.#probe(pageForms, queries, count);
      const found = new Float32Array(bytes);
      const { numHeads } = this.transformer.config;
      errors.push(Math.sqrt(sumOverHeads(found, numHeads, 0, 0) / sumOverHeads(found, numHeads, 0, 1)));
    }
    return errors;
  }

  /** Of the tasks that are written, all at once. */
  #probe(pageForms: PageForms, queries: ProbedQueries, count: number): Promise<ArrayBuffer> {
    const { transformer, recorder } = this;
    const readback = (this.#readback ??= new Readback(this.device, 'shadow errors', errorBytes(transformer.config), 1));
    const size = transformer.config.numHeads * FOUND_BYTES;
    return recorder.inOneGo(() => {
      pageForms.probe(recorder, 0, count, queries, count);
      return readback.submit(recorder, [{ buffer: transformer.cache.errors, offset: 0, size }]);
    });
  }
}
