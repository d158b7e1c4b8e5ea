import { expect, onTestFinished } from 'vitest';
import { napping } from '../../tools/instruments/node-gpu.ts';
import { type EncoderEngine, type EncoderOptions, openEncoderEngine } from '../../src/engine/encoder-engine.ts';
import { openAnyEngine } from '../../src/engine/open-engine.ts';
import { readOnce } from '../../src/gpu/recorder.ts';
import { type EncoderSession, openEncoderSession } from '../../src/session/encoder/encoder-session.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { ADAPTERS_HERE } from './adapters/adapters-here.ts';
import { lastingGpu } from './gpu/lasting-gpu.ts';
import { miscompiling } from './gpu/miscompiling.ts';
import { MemoryTuning } from './memory-tuning.ts';
import { nmse } from './nmse.ts';

export type EncoderTestOptions = Partial<Omit<EncoderOptions, 'sources'>>;

/** Closes a resource after the current test. */
export const closeAfterTest = (open: { close: () => void }): void => onTestFinished(() => open.close());

/** An encoder's session on the software adapter, closed after the test. Default: weights as stored. */
export async function encoderSession(
  sources: readonly ByteSource[],
  options: EncoderTestOptions = {},
): Promise<EncoderSession> {
  const session = await openEncoderSession({
    gpu: lastingGpu(),
    wait: napping,
    weights: 'stored',
    ...options,
    sources,
  });
  closeAfterTest(session.device);
  return session;
}

/** NMSE of the last encoded states, stored row by row in `states`, against `expected`. */
export async function stateError(
  { device, encoder }: EncoderSession,
  states: GPUBuffer,
  expected: readonly Float32Array[],
): Promise<number> {
  const width = encoder.config.hiddenSize;
  const found = new Float32Array(
    await readOnce(device, 'states', [{ buffer: states, offset: 0, size: expected.length * width * 4 }]),
  );
  return nmse(
    expected.map((_, t) => found.subarray(t * width, (t + 1) * width)),
    expected,
  );
}

/** The same, as an engine. */
export async function encoderEngine(
  sources: readonly ByteSource[],
  options: EncoderTestOptions = {},
): Promise<EncoderEngine> {
  const engine = await openEncoderEngine({ gpu: lastingGpu(), wait: napping, weights: 'stored', ...options, sources });
  closeAfterTest({ close: () => engine.dispose() });
  return engine;
}

/** The engine opened if the caller does not specify that the model is an encoder. */
export async function encoderAmongModels(
  sources: readonly ByteSource[],
  options: EncoderTestOptions = {},
): Promise<EncoderEngine> {
  const engine = await openAnyEngine({ gpu: lastingGpu(), wait: napping, ...ADAPTERS_HERE, ...options, sources });
  closeAfterTest({ close: () => engine.dispose() });
  return engine as EncoderEngine;
}

/** A replacement that changes the result of a kernel, or of its stand-in. */
export type Broken = [kernel: string, from: RegExp, to: string, standIn?: string];

/** Expects a faulty kernel to be detected and named. */
export async function expectFound(
  sources: readonly ByteSource[],
  [kernel, from, to, standIn = kernel]: Broken,
): Promise<void> {
  const { gpu, changed } = miscompiling(from, to, [kernel, standIn]);
  await expect(encoderSession(sources, { gpu, tuning: new MemoryTuning() })).rejects.toMatchObject({
    code: 'wrong_results',
    detail: { field: expect.stringContaining(kernel) as string },
  });
  expect(changed()).toBeGreaterThan(0);
}

/** Expects the attention kernel with shared keys, the default on devices of class `gpu`, not to be used if it is faulty. */
export async function expectNotShared(sources: readonly ByteSource[], from: RegExp, to: string): Promise<void> {
  const { gpu, changed } = miscompiling(from, to, ['attention-texts-shared']);
  const { device } = await encoderSession(sources, { gpu, tuning: new MemoryTuning(), deviceClass: 'gpu' });
  expect(changed()).toBeGreaterThan(0);
  expect(device.variant.sharedPages).toBe(false);
}

/** Expects a correct device to be checked once, without memory left from the check. */
export async function expectAskedOnce(sources: readonly ByteSource[]): Promise<void> {
  const tuning = new MemoryTuning();
  const session = await encoderSession(sources, { tuning });
  expect(session.device.buffers.report()).toEqual((await encoderSession(sources)).device.buffers.report());
  expect(tuning.known.size).toBe(1);
  await encoderSession(sources, { tuning });
  expect(tuning.known.size).toBe(1);
}

/** Vectors of texts or token lists. */
export async function embedded(engine: EncoderEngine, inputs: readonly (string | number[])[]): Promise<Float32Array[]> {
  const vectors = [];
  for await (const { vector } of engine.embed(inputs, {})) vectors.push(vector);
  return vectors;
}

/** Scores of documents, in document order. */
export async function scored(engine: EncoderEngine, query: string, documents: readonly string[]): Promise<number[]> {
  const scores = [];
  for await (const { score } of engine.rerank(query, documents, {})) scores.push(score);
  return scores;
}

/** Indices of scores, best first. */
export const orderOf = (scores: readonly number[]): number[] =>
  [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);

/** Normalized to length one. */
export const scaled = (vector: Float32Array): Float32Array => vector.map((value) => value / Math.hypot(...vector));
