import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { napping } from '../../cli/node-gpu.ts';
import { type EncoderEngine, openEncoderEngine } from '../../src/engine/encoder-engine.ts';
import { openAnyEngine } from '../../src/engine/open-model.ts';
import type { EngineCoreOptions } from '../../src/engine/types.ts';
import { readOnce } from '../../src/gpu/readback.ts';
import type { BidirectionalActivations } from '../../src/models/bidirectional-encoder.ts';
import { checkModel } from '../../src/session/check-model.ts';
import { type EncoderSession, openEncoderSession } from '../../src/session/encoder/encoder-session.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { embed, ensureLlama } from '../llama/llama.ts';
import type { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { lastingGpu } from '../support/gpu/lasting-gpu.ts';
import { miscompiling } from '../support/gpu/miscompiling.ts';
import { MemoryTuning } from '../support/memory-tuning.ts';
import { type Change, encoderFolder, encoderGguf, expectedStates, expectedTexts, expectedVectors } from '../support/models/encoder-folder.ts';
import { nmse } from '../support/nmse.ts';
import { NMSE } from '../support/tolerances.ts';

const { texts, ids } = expectedTexts('gemma');
const vectors = expectedVectors('gemma');
const opened: { close: () => void }[] = [];
afterEach(() => opened.splice(0).forEach(({ close }) => close()));

type Options = Partial<EngineCoreOptions>;

const folder = (change: Change = {}): BytesSource[] => encoderFolder(change, 'gemma');

async function sessionOf(sources: readonly ByteSource[], options: Options = {}): Promise<EncoderSession> {
  const session = await openEncoderSession({ gpu: lastingGpu(), wait: napping, weights: 'stored', ...options, sources });
  opened.push(session.device);
  return session;
}

async function engineOf(sources: readonly ByteSource[], options: Options = {}): Promise<EncoderEngine> {
  const engine = await openEncoderEngine({ gpu: lastingGpu(), wait: napping, weights: 'stored', ...options, sources });
  opened.push({ close: () => engine.dispose() });
  return engine;
}

async function embedded(engine: EncoderEngine, inputs: readonly (string | number[])[] = texts): Promise<Float32Array[]> {
  const found = [];
  for await (const { vector } of engine.embed(inputs, {})) found.push(vector);
  return found;
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const scaled = (vector: Float32Array): Float32Array => vector.map((value) => value / Math.hypot(...vector));
const leastCosine = (found: readonly Float32Array[]): number => Math.min(...found.map((vector, i) => dot(scaled(vector), scaled(vectors[i]!))));

describe.each(['cpu', 'gpu'] as const)('on a device of class %s', (deviceClass) => {
  test('the states of texts side by side are those of transformers, of each alone', async () => {
    const session = await sessionOf(folder(), { deviceClass });
    await session.encode(ids);
    const { device, encoder } = session;
    const { normed } = encoder.activations as BidirectionalActivations;
    const expected = expectedStates('gemma').flat();
    const width = encoder.config.hiddenSize;
    const found = new Float32Array(await readOnce(device, 'states', [{ buffer: normed, offset: 0, size: expected.length * width * 4 }]));
    const error = nmse(expected.map((_, t) => found.subarray(t * width, (t + 1) * width)), expected);
    console.info(`states on class ${deviceClass}: NMSE ${error.toExponential(1)}`);
    expect(error).toBeLessThan(NMSE.reference);
  });

  test('vectors are those of sentence-transformers, behind its dense layers', async () => {
    const found = await embedded(await engineOf(folder(), { deviceClass }));
    const error = nmse(found, vectors);
    console.info(`vectors on class ${deviceClass}: NMSE ${error.toExponential(1)}, cosine ${leastCosine(found)}`);
    expect(error).toBeLessThan(NMSE.reference);
    expect(leastCosine(found)).toBeGreaterThan(0.9999);
  });
});

test('texts side by side are as each alone, in their order', async () => {
  const session = await sessionOf(folder());
  const together = await session.encode([...ids, ...ids]);
  for (const [i, text] of ids.entries()) {
    const [alone] = await session.encode([text]);
    expect(nmse([together[i]!, together[ids.length + i]!], [alone!, alone!])).toBeLessThan(NMSE.sameModel);
  }
});

test.each([['F16', 1e-5], ['Q8_0', 1e-3]] as const)('weights become %s where that is asked for', async (weights, most) => {
  const error = nmse(await embedded(await engineOf(folder(), { weights })), vectors);
  console.info(`${weights}: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(most);
  expect(error).toBeGreaterThan(0);
});

test('a GGUF file of the model gives the same vectors, and is told from a model that answers', async () => {
  const engine = await openAnyEngine({ gpu: lastingGpu(), wait: napping, sources: await encoderGguf(folder()) });
  opened.push({ close: () => engine.dispose() });
  const found = await embedded(engine as EncoderEngine);
  const other = await openAnyEngine({ gpu: lastingGpu(), wait: napping, weights: 'stored', sources: folder() });
  opened.push({ close: () => other.dispose() });
  expect(found).toEqual(await embedded(other as EncoderEngine));
});

test('llama.cpp makes the same vectors of that file', async () => {
  await ensureLlama();
  const path = join(mkdtempSync(join(tmpdir(), 'embedding-gemma-')), 'encoder.gguf');
  const [file] = await encoderGguf(folder());
  writeFileSync(path, await file!.read(0, file!.size));
  const found = (await embed(path, ids)).map((vector) => scaled(Float32Array.from(vector)));
  const error = nmse(await embedded(await engineOf(folder())), found);
  console.info(`vectors of llama.cpp: NMSE ${error.toExponential(1)}`);
  expect(error).toBeLessThan(NMSE.llamaFloat);
});
