import { STATE_TOKENS } from '../cache/text-states.ts';
import { MAX_STREAMS } from '../config/max-streams.ts';
import { throwIfAborted } from '../errors/throw-if-aborted.ts';
import type { Device } from '../gpu/device.ts';
import { Governor } from '../gpu/governor.ts';
import { unlessLost } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Batch, FIRST_PREFILL_TOKEN } from '../layers/batch.ts';
import type { LayerRange, Transformer } from '../models/transformer.ts';
import type { Batches, ForwardOptions } from './batches.ts';
import { PlannedRows } from './planned-rows.ts';
import { layerFlops, PrefillSizes } from './prefill-sizes.ts';
import type { Sequence } from './sequence.ts';
import type { SessionOptions } from './session-options.ts';

/** What prompts are computed with. */
interface PrefillParts {
  device: Device;
  transformer: Transformer;
  recorder: Recorder;
  batches: Batches;
  contextLength: number;
  onTrace: SessionOptions['onTrace'];
}

/** Called once a batch is recorded, before the last of it is submitted; see `Session.prefill`. */
export type OnBatch = (start: number, length: number) => Promise<void> | void;

/** What a batch has begun. */
interface Begun {
  /** Resolves when the trial of pages that it began is known. */
  trial: Promise<void> | undefined;
  visit: Promise<void> | void;
}

/** Submissions of which the GPU has not said that they are done: one that runs, and the next. */
const MOST_UNDER_WAY = 2;

/** Computes prompts in batches, each in as many submissions as it takes for none to be long. */
export class Prefill {
  readonly governor = new Governor();
  readonly #sizes: PrefillSizes;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(private readonly parts: PrefillParts) {
    this.#sizes = new PrefillSizes(parts.transformer.config, this.governor);
  }

  /** See `Session.prefill`. */
  async compute(sequence: Sequence, tokens: readonly number[], onBatch: OnBatch, signal?: AbortSignal): Promise<void> {
    const { device, onTrace, transformer } = this.parts;
    const rows = new PlannedRows(sequence, onTrace);
    const ask = (left: number): number => {
      const { length: position } = sequence.tokens;
      const most = Math.min(
        this.#mostTokens(sequence),
        transformer.config.deltaNet ? STATE_TOKENS - (position % STATE_TOKENS) : Infinity,
      );
      const length = Math.min(this.#sizes.tokens(most, sequence.placeOf(position)), left);
      rows.ask(length);
      return length;
    };
    let length = ask(tokens.length);
    for (let start = 0; start < tokens.length;) {
      const trace = await rows.take();
      const batch = tokens.slice(start, start + length);
      const first = start;
      const { trial, visit } = await this.#batch(sequence, batch, () => onBatch(first, batch.length), signal);
      sequence.tokens.push(...batch); // they are submitted
      trace?.submitted(device.gpuDevice.queue);
      start += length;
      const left = tokens.length - start;
      if (left > 0) length = ask(left);
      if (visit) await visit;
      await trial;
    }
    transformer.cache.states.keep(sequence.states, sequence.tokens.length);
  }

  /**
   * Submits a batch in one go, or some layers after others; then nobody else computes one until it is whole. Layers of few
   * tokens, in the form of decoding, keep more than x: they are never apart.
   */
  async #batch(
    sequence: Sequence,
    batch: readonly number[],
    onBatch: () => Promise<void> | void,
    signal?: AbortSignal,
  ): Promise<Begun> {
    const { batches, transformer } = this.parts;
    const rows = await transformer.rowsOf(batch);
    await this.#room();
    while (batches.held) await batches.held;
    throwIfAborted(signal);
    const { numLayers } = transformer.config;
    const release = batches.hold();
    try {
      const length = sequence.placeOf(sequence.tokens.length) + batch.length;
      let trial: Begun['trial'];
      for (let from = 0; ;) {
        const to =
          kindOf(batch) === 'decode' ? numLayers : from + this.#sizes.layers(numLayers - from, batch.length, length);
        const begun = this.#submit(sequence, { batch, rows }, { from, to }, onBatch);
        trial ??= begun.trial;
        if (to === numLayers) return { trial, visit: begun.visit };
        from = to;
        await this.#room();
        throwIfAborted(signal);
      }
    } finally {
      release();
    }
  }

  /** Submits these layers of a batch: with the first ones its ids, with the last ones what `onBatch` records. */
  #submit(
    sequence: Sequence,
    { batch, rows }: { batch: readonly number[]; rows: ForwardOptions['rows'] },
    layers: LayerRange,
    onBatch: () => Promise<void> | void,
  ): Begun {
    const { recorder, batches, transformer, device } = this.parts;
    const { config, activations } = transformer;
    const { queue } = device.gpuDevice;
    const position = sequence.tokens.length;
    const places = batch.map((_, i) => ({ sequence, position: position + i, place: FIRST_PREFILL_TOKEN + i }));
    const begun = recorder.inOneGo((): Begun => {
      if (layers.from === 0) queue.writeBuffer(activations.tokens, FIRST_PREFILL_TOKEN * 4, new Uint32Array(batch));
      const trial = layers.from === 0 ? batches.lengthen(sequence, position, position + batch.length) : undefined;
      batches.forward(recorder, kindOf(batch), places, { layers, rows });
      return { trial, visit: layers.to === config.numLayers ? onBatch() : undefined };
    });
    const length = sequence.placeOf(position) + batch.length;
    const done = this.governor.submitted((layers.to - layers.from) * layerFlops(config, batch.length, length));
    const work = queue.onSubmittedWorkDone();
    this.#underWay.add(work);
    const forget = (): void => void this.#underWay.delete(work);
    work.then(done, () => undefined).then(forget, forget);
    return begun;
  }

  /** Resolves when another submission may go off. Errors: `device_lost`. */
  async #room(): Promise<void> {
    const [oldest] = this.#underWay;
    if (this.#underWay.size >= MOST_UNDER_WAY && oldest) await unlessLost(this.parts.device, oldest);
  }

  /** A text that goes on past the context needs room for a batch behind what is kept, which may be half of it. */
  #mostTokens({ policy }: Sequence): number {
    const { transformer, contextLength } = this.parts;
    const { batchTokens } = transformer;
    return policy.drops ? Math.max(1, Math.min(batchTokens, Math.floor(contextLength / 4))) : batchTokens;
  }
}

/** Few tokens are cheaper in the form of decoding. */
const kindOf = (batch: readonly number[]): Batch['kind'] => (batch.length > MAX_STREAMS ? 'prefill' : 'decode');
