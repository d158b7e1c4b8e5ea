import type { MemoryReport } from '../../config/memory-report.ts';
import { unitVector } from '../../config/unit-vector.ts';
import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import { type Device, openDevice } from '../../gpu/device.ts';
import { noErrors } from '../../gpu/error-scopes.ts';
import { readOnce, throwIfLost } from '../../gpu/readback.ts';
import { Recorder } from '../../gpu/recorder.ts';
import { loadEncoder } from '../../models/load-encoder.ts';
import type { TextEncoder } from '../../models/text-encoder.ts';
import { withWeights } from '../model-plan.ts';
import type { SessionOptions } from '../session-options.ts';
import { checkEncoder } from './check-encoder.ts';
import { type EncoderPlan, planEncoder } from './encoder-plan.ts';

/** Opens a device and brings an encoder there. Errors: those of `openEngine`. */
export async function openEncoderSession(options: SessionOptions): Promise<EncoderSession> {
  const { onProgress, signal, wait, gpuAdapter, without, deviceClass, tuning } = options;
  const device = await openDevice(options.gpu, {
    wait,
    gpuAdapter,
    without,
    deviceClass,
    onLost: options.onDeviceLost,
  });
  try {
    onProgress?.({ phase: 'header', bytes: 0, total: 0 });
    const plan = options.header
      ? planEncoder(device, options.header, options)
      : await withWeights(options.sources, options, (header) => planEncoder(device, header, options));
    return await noErrors(device, plan.file, async () => {
      const recorder = new Recorder(device);
      if (tuning) device.variant = await checkEncoder(device, recorder, plan, tuning);
      let bytes = 0;
      const onBytes = (more: number): void => {
        throwIfLost(device); // nothing else would notice before all is read
        bytes += more;
        onProgress?.({ phase: 'upload', bytes, total: plan.tensorBytes });
      };
      const encoder = await loadEncoder(device, plan.config, plan.tensors, {
        batchTokens: plan.batchTokens,
        contextLength: plan.contextLength,
        recorder,
        onBytes,
        signal,
      });
      onProgress?.({ phase: 'compile', bytes: 0, total: 0 });
      await device.pipelines.ready();
      const session = new EncoderSession(device, plan, encoder, recorder);
      await session.encode([[0]]); // drivers compile at first dispatch
      return session;
    });
  } catch (error) {
    device.close();
    throw error;
  }
}

/** What the encoder reads at once: a text's tokens, or a pair of texts', of which those from `second` on are of the second segment. */
export interface EncoderInput {
  tokens: readonly number[];
  second?: number;
}

/** An encoder on a device: everything that is lost with the device. Knows nothing of requests or text. */
export class EncoderSession {
  /** Nothing of a text stays. */
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
   * A vector for each text, pooled and scaled as the model has it: `[hiddenSize]`. Several texts go through the model at
   * once; none is longer than the context. Errors: `aborted`, `device_lost`.
   */
  async encode(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const vectors = await this.#pool(
      texts.map((tokens) => ({ tokens })),
      signal,
    );
    return this.encoder.config.isNormalized ? vectors.map(unitVector) : vectors;
  }

  /** Of a cross-encoder, a score for each pair of texts; otherwise as `encode`. */
  async score(pairs: readonly EncoderInput[], signal?: AbortSignal): Promise<number[]> {
    const { classifier } = this.encoder;
    if (!classifier) throw new Error('no cross-encoder'); // the engine has seen to it
    return (await this.#pool(pairs, signal)).map((state) => classifier.score(state));
  }

  /** A vector for each input, as it is pooled. */
  async #pool(inputs: readonly EncoderInput[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const vectors: Float32Array<ArrayBuffer>[] = [];
    while (vectors.length < inputs.length) {
      throwIfAborted(signal);
      for (const vector of await this.#poolBatch(this.#batch(inputs, vectors.length))) vectors.push(vector);
    }
    return vectors;
  }

  /** From `start` on as many as fit a batch. */
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
    // In one go with the batch: others use the same activations between awaits.
    const all = new Float32Array(
      await readOnce(device, 'pooled', [{ buffer: pooled, offset: 0, size: inputs.length * hiddenSize * 4 }]),
    );
    return inputs.map((_, i) => all.slice(i * hiddenSize, (i + 1) * hiddenSize));
  }
}
