import type { MemoryReport } from '../../gpu/buffers.ts';
import { unitVector } from '../../util/numbers.ts';
import { throwIfAborted } from '../../errors/chunkwise-error.ts';
import { type Device, openDevice, noErrors, type Variant } from '../../gpu/device.ts';
import { readOnce, Recorder } from '../../gpu/recorder.ts';
import { loadEncoder } from '../../models/load-encoder.ts';
import type { TextEncoder } from '../../models/encoder.ts';
import { withWeights } from '../model-plan.ts';
import type { SessionOptions } from '../session-options.ts';
import { type EncoderPlan, planEncoder } from './encoder-plan.ts';
import type { TuningStore } from '../../gpu/autotuner.ts';
import { encoderChecks, encoderKernels } from '../../models/checks/encoder-checks.ts';
import { rightFor } from '../checks/session-checks.ts';
import { inSmallSubmissions, reportKernels, uploadProgress } from '../open-session.ts';

/** Opens a device and brings an encoder there. Errors: those of `openEngine`. */
export async function openEncoderSession(options: SessionOptions): Promise<EncoderSession> {
  const { onProgress, signal, tuning } = options;
  const device = await openDevice(options.gpu, { ...options, onLost: options.onDeviceLost });
  try {
    onProgress?.({ phase: 'header', bytes: 0, total: 0 });
    const plan = options.header
      ? planEncoder(device, options.header, options)
      : await withWeights(options.sources, options, (header) => planEncoder(device, header, options));
    return await noErrors(device, plan.file, async () => {
      const recorder = new Recorder(device);
      if (tuning) device.variant = await checkEncoder(device, recorder, plan, tuning);
      const encoder = await loadEncoder(device, plan.config, plan.tensors, {
        batchTokens: plan.batchTokens,
        contextLength: plan.contextLength,
        recorder,
        onBytes: uploadProgress(device, plan, options),
        signal,
      });
      reportKernels(device, options);
      await device.pipelines.ready();
      const session = new EncoderSession(device, plan, encoder, recorder);
      await inSmallSubmissions(recorder, () => session.encode([[0]])); // drivers compile at the first dispatch
      return session;
    });
  } catch (error) {
    device.close();
    throw error;
  }
}

/** Input of an encoder: a text, or a pair of texts whose second segment starts at `second`. */
export interface EncoderInput {
  tokens: readonly number[];
  second?: number;
}

/** An encoder on a device: everything that is lost with the device. Knows nothing of requests or text. */
export class EncoderSession {
  /** An encoder keeps no text. */
  readonly holdsText = false;

  constructor(
    readonly device: Device,
    readonly plan: EncoderPlan,
    readonly encoder: TextEncoder,
    readonly recorder: Recorder,
  ) {}

  memory(): MemoryReport {
    return this.device.buffers.report();
  }

  close(): void {
    this.device.close();
  }

  /**
   * A vector for each text, pooled and scaled as the model asks: `[hiddenSize]`. Computes several texts at once; none
   * is longer than the context. Errors: `aborted`, `device_lost`.
   */
  async encode(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const vectors = await this.#pool(
      texts.map((tokens) => ({ tokens })),
      signal,
    );
    return this.encoder.config.isNormalized ? vectors.map(unitVector) : vectors;
  }

  /** The score of each pair of texts by a cross-encoder. Errors: as `encode`. */
  async score(pairs: readonly EncoderInput[], signal?: AbortSignal): Promise<number[]> {
    const { classifier } = this.encoder;
    if (!classifier) throw new Error('no cross-encoder'); // the engine checks first
    return (await this.#pool(pairs, signal)).map((state) => classifier.score(state));
  }

  /** The pooled vector of each input. */
  async #pool(inputs: readonly EncoderInput[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const vectors: Float32Array<ArrayBuffer>[] = [];
    while (vectors.length < inputs.length) {
      throwIfAborted(signal);
      for (const vector of await this.#poolBatch(this.#batch(inputs, vectors.length))) vectors.push(vector);
    }
    return vectors;
  }

  /** The inputs from `start` on that fit a batch. */
  #batch(inputs: readonly EncoderInput[], start: number): readonly EncoderInput[] {
    let total = 0;
    let end = start;
    while (end < inputs.length && (total += inputs[end]!.tokens.length) <= this.encoder.batchTokens) end++;
    return inputs.slice(start, end);
  }

  async #poolBatch(inputs: readonly EncoderInput[]): Promise<Float32Array<ArrayBuffer>[]> {
    const { device, encoder, recorder } = this;
    const { hiddenSize, pooling, contextLength } = encoder.config;
    const { tokens, batchTable, spans, pooled } = encoder.activations;
    const ids = Uint32Array.from(inputs.flatMap((input) => input.tokens));
    const table: number[] = [];
    const pooledOver = inputs.flatMap(({ tokens: { length }, second = length }) => {
      const first = table.length / 4;
      for (let i = 0; i < length; i++) table.push(first + i, i < second ? i : contextLength + i, first, length);
      if (pooling === 'mean') return [first, length];
      return [pooling === 'last' ? first + length - 1 : first, 1];
    });
    recorder.inOneGo(() => {
      const { queue } = device.gpuDevice;
      queue.writeBuffer(tokens, 0, ids);
      queue.writeBuffer(batchTable, 0, Uint32Array.from(table));
      queue.writeBuffer(spans, 0, Uint32Array.from(pooledOver));
      encoder.forward(recorder, ids.length, inputs.length);
    });
    // Before the first await: others use the same activations after it.
    const all = new Float32Array(
      await readOnce(device, 'pooled', [{ buffer: pooled, offset: 0, size: inputs.length * hiddenSize * 4 }]),
    );
    return inputs.map((_, i) => all.slice(i * hiddenSize, (i + 1) * hiddenSize));
  }
}

/**
 * The kernel variant with which this device computes an encoder right, from the store or by checking now. Errors:
 * `wrong_results`, `device_lost`.
 */
export function checkEncoder(
  device: Device,
  recorder: Recorder,
  { config, tensors }: EncoderPlan,
  store: TuningStore,
): Promise<Variant> {
  return rightFor({ device, recorder }, store, {
    name: 'right with an encoder',
    texts: encoderKernels(device, config, tensors).map((kernel) => device.pipelines.textOf(kernel)),
    groups: (apart) => encoderChecks(apart, recorder, config, tensors),
  });
}
