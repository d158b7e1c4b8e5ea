/** Expectations for every model, whatever its layers do with earlier and concurrent tokens. */
import { expect } from 'vitest';
import type { LayerPage } from '../../../src/cache/cache-page.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';
import type { DeviceClass } from '../../../src/gpu/device.ts';
import { UNIT_BYTES } from '../../../src/kernels/formats/page-forms.ts';
import { forward } from '../../reference/forward.ts';
import { readReferenceModel } from '../../reference/model.ts';
import { Sequence } from '../../../src/session/sequence.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../engine-under-test.ts';
import { nmse } from '../nmse.ts';
import { NMSE } from '../tolerances.ts';

export interface ModelInPieces {
  /** A GGUF file. */
  bytes: Uint8Array;
  config: ModelConfig;
  tokens: readonly number[];
  /** Lengths of the prefill batches; the last batch takes the rest. */
  pieces: readonly number[];
}

/** Expects logits in pieces, at once and token by token to match the reference. */
export async function expectReference(
  { bytes, tokens, pieces }: ModelInPieces,
  deviceClass: DeviceClass,
): Promise<void> {
  const engine = await engineUnderTest(bytes, { deviceClass });
  const atOnce = await logitsOf(engine, tokens);
  const reference = forward(await readReferenceModel([sourceOf(bytes)]), tokens);
  expect(nmse(atOnce, reference)).toBeLessThan(NMSE.reference);
  expect(nmse(await logitsOf(engine, tokens, { pieces }), atOnce)).toBeLessThan(NMSE.sameModel);
  expect(nmse(await logitsOf(engine, tokens, { pieces: Array<number>(tokens.length).fill(1) }), atOnce)).toBeLessThan(
    NMSE.sameModel,
  );
}

/**
 * Fills freed pages with NaN (`nan` returns that many bytes of it) and expects the logits not to change. Returns the number
 * of pages that each layer freed, and the bytes of each layer's buffer after each piece.
 */
export async function expectPoisonChangesNothing(
  { bytes, config, tokens, pieces }: ModelInPieces,
  deviceClass: DeviceClass,
  nan: (bytes: number) => ArrayBufferView<ArrayBuffer>,
): Promise<{ poisoned: number[]; sizes: number[][] }> {
  const engine = await engineUnderTest(bytes, { deviceClass });
  const clean = await logitsOf(engine, tokens, { pieces });
  const session = await engine.session();
  const { transformer, device } = session;
  const { layers } = transformer.cache;
  const poisoned = layers.map(() => 0);
  const remove = layers.map((layer) => layer.remove.bind(layer));
  layers.forEach((layer, i) => {
    if (layers.indexOf(layer) < i) return; // shares another layer's pages
    layer.remove = (page: LayerPage) => {
      remove[i]!(page);
      const { offset, units } = page.place;
      device.gpuDevice.queue.writeBuffer(layer.buffer, offset * UNIT_BYTES, nan(units * UNIT_BYTES));
      poisoned[i]!++;
    };
  });
  const rows: Float32Array[] = [];
  const sizes: number[][] = [];
  const sequence = new Sequence();
  for (const piece of [...pieces, tokens.length]) {
    const start = sequence.tokens.length;
    await session.prefill(sequence, tokens.slice(start, start + piece), async (_, length) => {
      const logits = await session.logits(0, length);
      for (let t = 0; t < length; t++) rows.push(logits.slice(t * config.vocabSize, (t + 1) * config.vocabSize));
    });
    sizes.push(layers.map(({ buffer }) => buffer.size));
  }
  expect(rows).toEqual(clean);
  expect(rows.every((row) => row.every(Number.isFinite))).toBe(true);
  const given = [...poisoned];
  session.release(sequence);
  return { poisoned: given, sizes };
}
