import { onTestFinished, TestRunner } from 'vitest';
import { napping } from '../../tools/instruments/node-gpu.ts';
import { openGrammars } from '../../src/grammar/open-grammars.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { CachePolicy } from '../../src/cache/policy.ts';
import type { AdapterUse, EngineCoreOptions, RankOptions } from '../../src/engine/types.ts';
import { BlobSource, type ByteSource } from '../../src/weights/byte-source.ts';
import { ADAPTERS_HERE } from './adapters/adapters-here.ts';
import { lastingGpu } from './gpu/lasting-gpu.ts';

export type EngineTestOptions = Partial<Omit<EngineCoreOptions, 'sources'>>;

/** A GGUF file in memory. */
export function sourceOf(bytes: Uint8Array): ByteSource {
  return new BlobSource('tiny.gguf', new Blob([bytes as BlobPart]));
}

/** An engine over a GGUF file or a model's files, on the software adapter, disposed after the test; a hook disposes of its own. Tests that lose the device pass a `gpu`. */
export async function engineUnderTest(
  model: Uint8Array | ByteSource | readonly ByteSource[],
  options: EngineTestOptions = {},
): Promise<LocalEngine> {
  const sources = model instanceof Uint8Array ? [sourceOf(model)] : 'read' in model ? [model] : model;
  const engine = await openEngine({
    gpu: lastingGpu(),
    wait: napping,
    openGrammars,
    ...ADAPTERS_HERE,
    ...options,
    sources,
  });
  // Not by `afterEach`: files of one process share this module, and only the first would register it.
  if (TestRunner.getCurrentTest()) onTestFinished(() => engine.dispose());
  return engine;
}

export interface LogitsOptions extends RankOptions {
  pieces?: readonly number[];
  adapters?: readonly AdapterUse[];
  /** Cache policy; default: dense. */
  policy?: CachePolicy;
}

/**
 * Logits of every token, `[T][vocabSize]`, computed without a cached prefix. `pieces`: lengths of the prefill calls (the
 * last takes the rest); default: one call. Adapters have full rank unless other ranks are given.
 */
export async function logitsOf(
  engine: LocalEngine,
  tokens: readonly number[],
  { pieces = [], adapters = [], policy, ...ranks }: LogitsOptions = {},
): Promise<Float32Array[]> {
  const session = await engine.session();
  const { vocabSize } = session.plan.config;
  const adaptation = await engine.adapt(adapters, { ranks: 'uniform', ...ranks });
  const text = await adaptation.begin(tokens, 0);
  const sequence = new Sequence(undefined, 0, policy);
  sequence.attach(text);
  const rows: Float32Array[] = [];
  const onBatch = async (_: number, length: number): Promise<void> => {
    const logits = await session.logits(0, length);
    for (let t = 0; t < length; t++) rows.push(logits.slice(t * vocabSize, (t + 1) * vocabSize));
  };
  for (const piece of [...pieces, tokens.length]) {
    const done = sequence.tokens.length;
    await session.prefill(sequence, tokens.slice(done, done + piece), onBatch);
  }
  text.close();
  session.release(sequence);
  return rows;
}
