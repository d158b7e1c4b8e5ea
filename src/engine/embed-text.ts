import { unitVector } from '../config/unit-vector.ts';
import { readOnce } from '../gpu/readback.ts';
import type { Adaptation } from './adaptation.ts';
import { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';

/**
 * The mean of a text's states after the last norm, over its tokens, scaled to length one: `[hiddenSize]`. Computed in a
 * stream slot, beside the requests of others; nothing of it stays in the cache. Errors: `context_overflow`, `aborted`,
 * `device_lost`, `scheduler_lost`.
 */
export async function embedText(
  session: Session,
  tokens: readonly number[],
  adaptation: Adaptation,
  slot: number,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const { transformer, recorder, device } = session;
  const { hiddenSize } = transformer.config;
  const sum = new Float64Array(hiddenSize);
  const add = (states: Float32Array): void => states.forEach((value, i) => (sum[i % hiddenSize]! += value));
  const text = await adaptation.begin(tokens, 0);
  const sequence = new Sequence(undefined, slot);
  sequence.attach(text);
  try {
    const onBatch = async (_: number, length: number): Promise<void> => {
      const states = transformer.states(recorder, length);
      // In one go with the batch: others use the same activations between awaits.
      recorder.submit();
      add(
        new Float32Array(
          await readOnce(device, 'states', [{ buffer: states, offset: 0, size: length * hiddenSize * 4 }]),
        ),
      );
    };
    await session.prefill(sequence, tokens, onBatch, signal);
  } finally {
    session.release(sequence);
    text.close();
  }
  return unitVector(sum);
}
