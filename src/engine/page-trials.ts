import type { Copy, PageTrial, Trial } from '../cache/cache-page.ts';
import { errorBytes, type TaskRun } from '../cache/kv-cache.ts';
import type { Device } from '../gpu/device.ts';
import { Readback } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { pageUnits, UNIT_BYTES } from '../kernels/page-forms.ts';
import { PROBES } from '../kernels/probe-page.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import type { Transformer } from '../models/transformer.ts';
import type { Sequence } from './sequence.ts';

/** Steps of decoding from a trial to what follows of it: by then its result has come, however streams are interleaved. */
const STEPS_TO_RESULT = 2;

/** Gives the pages of sequences the forms their policies want. */
export class PageTrials {
  readonly #readback: Readback;

  constructor(
    device: Device,
    private readonly recorder: Recorder,
    private readonly transformer: Transformer,
  ) {
    const { config, cache } = transformer;
    this.#readback = new Readback(device, 'page errors', errorBytes(config, cache.numPages), MAX_STREAMS);
  }

  /**
   * Before a batch of tokens of these sequences: pages take the forms that were chosen, and copies of those that may take
   * another are written and probed. Nothing may be recorded. Resolves when it is known which of them are taken.
   */
  async settle(sequences: readonly Sequence[]): Promise<void> {
    const { cache } = this.transformer;
    for (const sequence of sequences) this.#conclude(sequence);
    cache.shrink();
    const results: Promise<void>[] = [];
    for (const sequence of sequences) {
      if (sequence.trial) continue;
      const { pages, tokens, policy } = sequence;
      const changes = policy.changes({ pages, tokens: tokens.length });
      if (changes.length === 0) continue;
      const copies = cache.copies(pages, changes);
      const runs = cache.writeTasks(pages, copies);
      for (const { layer, first, count } of runs) this.transformer.layers[layer]?.attention.quantize(this.recorder, first, count);
      if (policy.choose) results.push(this.#probe(sequence, copies, runs));
      else for (const copy of copies) cache.accept(pages, copy, 0, tokens.length);
      this.recorder.submit(); // the tasks are written anew for the next sequence
    }
    await Promise.all(results);
  }

  /** What is being tried is dropped. */
  drop(sequence: Sequence): void {
    for (const copy of sequence.trial?.copies ?? []) this.transformer.cache.reject(copy);
    sequence.trial = undefined;
  }

  async #probe(sequence: Sequence, copies: readonly Copy[], runs: readonly TaskRun[]): Promise<void> {
    const { layers, cache, config } = this.transformer;
    const { pages, policy } = sequence;
    const length = sequence.tokens.length;
    const trial: PageTrial = { copies, length };
    sequence.trial = trial;
    const queries = { slot: sequence.slot, queries: Math.min(PROBES, length - sequence.reused), position: length - 1 };
    for (const { layer, first, count } of runs) layers[layer]?.attention.probe(this.recorder, first, count, queries);
    const size = copies.length * config.numHeads * 4;
    const bytes = await this.#readback.submit(this.recorder, [{ buffer: cache.errors, offset: 0, size }]);
    const errors = new Float32Array(bytes);
    const trials = copies.map(({ page, layer, form }, i): Trial => {
      const heads = errors.subarray(i * config.numHeads, (i + 1) * config.numHeads);
      return { page, layer, form, error: Math.max(...heads), bytes: pageUnits(form, config) * UNIT_BYTES };
    });
    const chosen = new Set(policy.choose?.(trials, { pages, tokens: length }));
    trial.taken = new Map(copies.flatMap((copy, i) => (chosen.has(trials[i] as Trial) ? [[copy, trials[i] as Trial]] : [])));
  }

  #conclude(sequence: Sequence): void {
    const { trial, pages, tokens } = sequence;
    if (!trial?.taken || tokens.length < trial.length + STEPS_TO_RESULT) return;
    for (const copy of trial.copies) {
      copy.from.isSettled = true;
      const taken = trial.taken.get(copy);
      if (taken) this.transformer.cache.accept(pages, copy, taken.error, trial.length);
      else this.transformer.cache.reject(copy);
    }
    sequence.trial = undefined;
  }
}
