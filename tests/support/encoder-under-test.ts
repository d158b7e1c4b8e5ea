import { afterEach } from 'vitest';
import { napping } from '../../cli/node-gpu.ts';
import { type EncoderEngine, openEncoderEngine } from '../../src/engine/encoder-engine.ts';
import { openAnyEngine } from '../../src/engine/open-model.ts';
import type { EngineCoreOptions } from '../../src/engine/types.ts';
import { type EncoderSession, openEncoderSession } from '../../src/session/encoder/encoder-session.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { lastingGpu } from './gpu/lasting-gpu.ts';

export type EncoderTestOptions = Partial<Omit<EngineCoreOptions, 'sources'>>;

const opened: { close: () => void }[] = [];
afterEach(() => opened.splice(0).forEach(({ close }) => close()));

/** Closes what a test opened itself after that test. */
export const closeAfterTest = (open: { close: () => void }): void => void opened.push(open);

/** An encoder's session on the software adapter, closed after the test; weights as they are stored, where `options` do not say else. */
export async function encoderSession(sources: readonly ByteSource[], options: EncoderTestOptions = {}): Promise<EncoderSession> {
  const session = await openEncoderSession({ gpu: lastingGpu(), wait: napping, weights: 'stored', ...options, sources });
  closeAfterTest(session.device);
  return session;
}

/** The same as an engine. */
export async function encoderEngine(sources: readonly ByteSource[], options: EncoderTestOptions = {}): Promise<EncoderEngine> {
  const engine = await openEncoderEngine({ gpu: lastingGpu(), wait: napping, weights: 'stored', ...options, sources });
  closeAfterTest({ close: () => engine.dispose() });
  return engine;
}

/** The engine that is opened where a caller does not say that the model is an encoder. */
export async function encoderAmongModels(sources: readonly ByteSource[], options: EncoderTestOptions = {}): Promise<EncoderEngine> {
  const engine = await openAnyEngine({ gpu: lastingGpu(), wait: napping, ...options, sources });
  closeAfterTest({ close: () => engine.dispose() });
  return engine as EncoderEngine;
}

/** Vectors of texts, or of tokens. */
export async function embedded(engine: EncoderEngine, inputs: readonly (string | number[])[]): Promise<Float32Array[]> {
  const vectors = [];
  for await (const { vector } of engine.embed(inputs, {})) vectors.push(vector);
  return vectors;
}

/** Scores of documents in their order. */
export async function scored(engine: EncoderEngine, query: string, documents: readonly string[]): Promise<number[]> {
  const scores = [];
  for await (const { score } of engine.rerank(query, documents, {})) scores.push(score);
  return scores;
}

/** Places of scores, the best first. */
export const orderOf = (scores: readonly number[]): number[] => [...scores.keys()].sort((a, b) => scores[b]! - scores[a]!);

/** To length one. */
export const scaled = (vector: Float32Array): Float32Array => vector.map((value) => value / Math.hypot(...vector));
