import { type Copy, type PageTrial, totalError, type Trial } from '../cache/cache-page.ts';
import { kvBytes } from '../cache/kv-report.ts';
import { errorBytes, type TaskRun } from '../cache/kv-cache.ts';
import type { Device } from '../gpu/device.ts';
import { Readback } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { pageUnits, UNIT_BYTES } from '../kernels/page-forms.ts';
import { PROBES } from '../kernels/probe-page.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import type { ProbedQueries } from '../layers/attention.ts';
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
    const { config } = transformer;
    this.#readback = new Readback(device, 'page errors', errorBytes(config), MAX_STREAMS);
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
      const { pages, tokens, policy } = sequence;
      sequence.peakKvBytes = Math.max(sequence.peakKvBytes, kvBytes(pages));
      const queries = latestQueries(sequence);
      if (sequence.trial || queries.queries === 0) continue;
      const copies = cache.copies(pages, policy.changes({ pages, tokens: tokens.length }));
      if (copies.length === 0) continue;
      const runs = cache.writeTasks(pages, copies);
      for (const { layer, first, count, condenses } of runs) {
        const attention = this.transformer.layers[layer]?.attention;
        if (condenses) attention?.condense(this.recorder, first, count, queries);
        else attention?.quantize(this.recorder, first, count);
      }
      if (policy.choose) results.push(this.#probe(sequence, copies, runs, queries));
      this.recorder.submit(); // the tasks are written anew for the next sequence
      if (!policy.choose) for (const copy of copies) cache.accept(pages, copy, 0, tokens.length);
    }
    await Promise.all(results);
  }

  /** What is being tried is dropped. */
  drop(sequence: Sequence): void {
    for (const copy of sequence.trial?.copies ?? []) this.transformer.cache.reject(copy);
    sequence.trial = undefined;
  }

  async #probe(sequence: Sequence, copies: readonly Copy[], runs: readonly TaskRun[], queries: ProbedQueries): Promise<void> {
    const { layers, cache, config } = this.transformer;
    const { pages, policy } = sequence;
    const length = sequence.tokens.length;
    const trial: PageTrial = { copies, length };
    sequence.trial = trial;
    for (const { layer, first, count } of runs) layers[layer]?.attention.probe(this.recorder, first, count, queries);
    const size = copies.length * config.numHeads * 4;
    const bytes = await this.#readback.submit(this.recorder, [{ buffer: cache.errors, offset: 0, size }]);
    const errors = new Float32Array(bytes);
    const trials = copies.map(({ page, layer, form, entries }, i): Trial => {
      const heads = errors.subarray(i * config.numHeads, (i + 1) * config.numHeads);
      return { page, layer, form, entries, error: Math.max(...heads), bytes: pageUnits(form, config, entries) * UNIT_BYTES };
    });
    const chosen = new Set(policy.choose?.(trials, { pages, tokens: length }));
    trial.taken = new Map(copies.flatMap((copy, i) => (chosen.has(trials[i] as Trial) ? [[copy, trials[i] as Trial]] : [])));
  }

  #conclude(sequence: Sequence): void {
    const { trial, pages, tokens } = sequence;
    if (!trial?.taken || tokens.length < trial.length + STEPS_TO_RESULT) return;
    for (const copy of trial.copies) {
      copy.from.tried = trial.length;
      const taken = trial.taken.get(copy);
      if (taken) this.transformer.cache.accept(pages, copy, totalError(copy.from, taken), trial.length);
      else this.transformer.cache.reject(copy);
    }
    sequence.trial = undefined;
  }
}

/** Of those computed since the sequence is gone on from, as the GPU has them. */
const latestQueries = ({ slot, tokens, reused }: Sequence): ProbedQueries => ({
  slot,
  queries: Math.min(PROBES, tokens.length - reused),
  position: tokens.length - 1,
});
