import { throwIfAborted } from '../../errors/throw-if-aborted.ts';
import { type Device, openDevice } from '../../gpu/device.ts';
import { noErrors } from '../../gpu/error-scopes.ts';
import { readOnce, throwIfLost } from '../../gpu/readback.ts';
import { Recorder } from '../../gpu/recorder.ts';
import { loadEncoder } from '../../models/load-encoder.ts';
import type { Encoder } from '../../models/encoder.ts';
import { withWeights } from '../model-plan.ts';
import type { SessionOptions } from '../session-options.ts';
import { checkEncoder } from './check-encoder.ts';
import { type EncoderPlan, planEncoder } from './encoder-plan.ts';

/** What matrices of safetensors become by default: encoders are small, and 8 bits a weight turn their vectors. */
const WEIGHTS = ['F16', 'Q8_0'] as const;

/** Opens a device and brings an encoder there. Errors: those of `openEngine`. */
export async function openEncoderSession(options: SessionOptions): Promise<EncoderSession> {
  const { onProgress, signal, wait, gpuAdapter, without, deviceClass, tuning } = options;
  const device = await openDevice(options.gpu, { wait, gpuAdapter, without, deviceClass, onLost: options.onDeviceLost });
  try {
    onProgress?.({ phase: 'header', bytes: 0, total: 0 });
    const plan = options.header ? planEncoder(device, options.header, options) : await withWeights(options.sources, options, (header) => planEncoder(device, header, options), WEIGHTS);
    return await noErrors(device, plan.file, async () => {
      const recorder = new Recorder(device);
      if (tuning) device.variant = await checkEncoder(device, recorder, plan, tuning);
      let bytes = 0;
      const onBytes = (more: number): void => {
        throwIfLost(device); // nothing else would notice before all is read
        bytes += more;
        onProgress?.({ phase: 'upload', bytes, total: plan.tensorBytes });
      };
      const encoder = await loadEncoder(device, plan.config, plan.tensors, { batchTokens: plan.batchTokens, recorder, onBytes, signal });
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

/** An encoder on a device: everything that is lost with the device. Knows nothing of requests or text. */
export class EncoderSession {
  /** Nothing of a text stays. */
  readonly holdsText = false;

  constructor(
    readonly device: Device,
    readonly plan: EncoderPlan,
    readonly encoder: Encoder,
    readonly recorder: Recorder,
  ) {}

  /**
   * A vector for each text, pooled and scaled as the model has it: `[hiddenSize]`. Several texts go through the model at
   * once; none is longer than the context. Errors: `aborted`, `device_lost`.
   */
  async encode(texts: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array<ArrayBuffer>[]> {
    const vectors: Float32Array<ArrayBuffer>[] = [];
    while (vectors.length < texts.length) {
      throwIfAborted(signal);
      vectors.push(...(await this.#encodeBatch(this.#batch(texts, vectors.length))));
    }
    return vectors;
  }

  /** From `start` on as many as fit a batch. */
  #batch(texts: readonly (readonly number[])[], start: number): readonly (readonly number[])[] {
    let tokens = 0;
    const end = texts.findIndex((text, i) => i >= start && (tokens += text.length) > this.encoder.batchTokens);
    return texts.slice(start, end < 0 ? texts.length : end);
  }

  async #encodeBatch(texts: readonly (readonly number[])[]): Promise<Float32Array<ArrayBuffer>[]> {
    const { device, encoder, recorder } = this;
    const { hiddenSize, pooling, isNormalized } = encoder.config;
    const { tokens, batchTable, spans, pooled } = encoder.activations;
    const ids = Uint32Array.from(texts.flat());
    const table: number[] = [];
    const pooledOver = texts.flatMap(({ length }) => {
      const first = table.length / 4;
      for (let i = 0; i < length; i++) table.push(first + i, i, first, length);
      return pooling === 'mean' ? [first, length] : [pooling === 'cls' ? first : first + length - 1, 1];
    });
    recorder.inOneGo(() => {
      const { queue } = device.gpuDevice;
      queue.writeBuffer(tokens, 0, ids);
      queue.writeBuffer(batchTable, 0, Uint32Array.from(table));
      queue.writeBuffer(spans, 0, Uint32Array.from(pooledOver));
      encoder.forward(recorder, ids.length, texts.length);
    });
    // In one go with the batch: others use the same activations between awaits.
    const all = new Float32Array(await readOnce(device, 'pooled', [{ buffer: pooled, offset: 0, size: texts.length * hiddenSize * 4 }]));
    return texts.map((_, i) => {
      const vector = all.slice(i * hiddenSize, (i + 1) * hiddenSize);
      const length = isNormalized ? Math.hypot(...vector) || 1 : 1;
      return vector.map((value) => value / length);
    });
  }
}
