import { expect } from 'vitest';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { LabelRead, LabelScores } from '../../src/engine/types.ts';
import { logSumExp } from '../../src/session/sampling/sampler.ts';
import { forward } from '../reference/forward.ts';
import { readReferenceModel } from '../reference/model.ts';
import { merged } from './adapters/merged-model.ts';
import { USER } from './answer.ts';
import { BytesSource } from './bytes-source.ts';
import { type EngineTestOptions, engineUnderTest, logitsOf } from './engine-under-test.ts';
import { peftSource, tinyAdapter } from './models/tiny-adapter.ts';

const STORY = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
/** Labels of one token, labels of two tokens that share the first, and words of several tokens. */
export const LETTERS = ['A', 'B', 'C'];
export const PAIRS = ['A0', 'A1', 'B0'];
const WORDS = ['yes', 'no'];
export const uses = (name: string, scale = 1) => ({ adapters: [{ name, scale }] });

/** An ordinary adapter `plain`, and `late`, which starts at the question. */
export async function adaptedEngine(model: Uint8Array, options: EngineTestOptions = {}): Promise<LocalEngine> {
  const engine = await engineUnderTest(model, options);
  const { config } = (await engine.session()).plan;
  await engine.loadAdapter('plain', peftSource(tinyAdapter(config, { seed: 3, gain: 0.1 })));
  const alora_invocation_tokens = engine.tokenizer.encode('Question:');
  await engine.loadAdapter(
    'late',
    peftSource(tinyAdapter(config, { seed: 4, gain: 0.1, config: { alora_invocation_tokens } })),
  );
  return engine;
}

export async function scores(engine: LocalEngine, reads: readonly LabelRead[]): Promise<LabelScores[]> {
  const scored: LabelScores[] = [];
  for await (const each of engine.scoreLabels([USER(STORY)], reads, {})) scored[each.read] = each;
  return scored;
}

const READS: LabelRead[] = [
  { text: 'Question: which?', labels: LETTERS },
  { text: 'Question: which?', labels: LETTERS, ...uses('late') },
  { text: 'Question: which?', labels: LETTERS, ...uses('plain', 0.5) },
  { text: 'Question: so?', labels: WORDS, ...uses('late') },
  { text: 'Question: and where?', labels: PAIRS },
  { text: 'Question: and where?', labels: PAIRS, ...uses('plain') },
];

/** Log-probability of each label from the reference's `logits`. */
async function expectedOf(
  engine: LocalEngine,
  { promptTokens }: LabelScores,
  labels: readonly string[],
  logits: (tokens: readonly number[]) => Promise<readonly Float32Array[]>,
): Promise<number[]> {
  const known = new Map<string, readonly Float32Array[]>();
  const logs: number[] = [];
  for (const label of labels) {
    const own = engine.tokenizer.encode(label);
    const before = own.slice(0, -1);
    const all = known.get(before.join()) ?? (await logits([...promptTokens, ...before]));
    known.set(before.join(), all);
    const rows = all.slice(promptTokens.length - 1);
    logs.push(own.reduce((sum, token, i) => sum + rows[i]![token]! - logSumExp(rows[i]!), 0));
  }
  return logs;
}

const exp = (logs: readonly number[]): number[] => logs.map(Math.exp);
const difference = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

/**
 * Expects that probabilities of READS equal the reference's, that mixed adapters equal one at a time, and that the input
 * is read once. `model`: the file of the engine's model.
 */
export async function expectReads(engine: LocalEngine, model: Uint8Array): Promise<void> {
  const together = await scores(engine, READS);
  for (const [i, read] of READS.entries()) {
    const { cachedTokens, readAgain, logprobs } = together[i]!;
    const isPlain = read.adapters?.[0]?.name === 'plain';
    // The prefix is read once for all that start with the base, and once for each scale of the ordinary adapter.
    const isFirst = i === 0 || isPlain;
    if (isFirst) expect([cachedTokens, readAgain > 0], read.text).toEqual([0, isPlain]);
    else expect(cachedTokens, read.text).toBeGreaterThan(engine.tokenizer.encode(STORY).length);
    // Every further read of the base continues before the invocation, and reads that again.
    if (!isPlain) expect(readAgain, read.text).toBeLessThanOrEqual('Question:'.length);
    (await engine.session()).sequences.makeRoom(Infinity);
    const [alone] = await scores(engine, [read]);
    expect(difference(exp(alone!.logprobs), exp(logprobs)), read.text).toBeLessThan(1e-5);
    const { adapters } = read;
    const own = await expectedOf(engine, alone!, read.labels, (tokens) => logitsOf(engine, tokens, { adapters }));
    expect(difference(exp(own), exp(logprobs)), read.text).toBeLessThan(1e-5);
  }
  expect(together[1]!.logprobs).not.toEqual(together[0]!.logprobs);
  // Reads without an adapter equal the engine's logits, which other tests compare with the reference.
  const { config } = (await engine.session()).plan;
  const weights = await merged(model, [[tinyAdapter(config, { seed: 3, gain: 0.1 }), 0.5]]);
  const reference = await readReferenceModel([new BytesSource('tiny.gguf', weights)]);
  const own = await expectedOf(engine, together[2]!, READS[2]!.labels, async (tokens) =>
    forward(reference, tokens).map((row) => Float32Array.from(row)),
  );
  expect(difference(exp(own), exp(together[2]!.logprobs))).toBeLessThan(1e-4);
}

/** Ten questions with labels of two tokens, more than one batch of branches; every third with an adapter that starts late. */
export const MANY: LabelRead[] = Array.from({ length: 10 }, (_, i) => ({
  ...{ text: `Question: is it ${i}?`, labels: PAIRS },
  ...(i % 3 === 0 && uses('late')),
}));

/** Expects that questions in shared batches give the results of one at a time, and that no branch keeps a page. */
export async function expectSharedAsAlone(engine: LocalEngine, reads: readonly LabelRead[]): Promise<void> {
  const { sequences, transformer } = await engine.session();
  const together = await scores(engine, reads);
  for (const [i, read] of reads.entries()) {
    sequences.makeRoom(Infinity);
    const [alone] = await scores(engine, [read]);
    expect(difference(exp(alone!.logprobs), exp(together[i]!.logprobs)), read.text).toBeLessThan(1e-5);
  }
  sequences.makeRoom(Infinity);
  expect(transformer.cache.freePages).toBe(transformer.cache.numPages);
}

/** Expects that five questions with different adapters take fewer than twice the dispatches of one. */
export async function expectSharedDispatches(engine: LocalEngine): Promise<void> {
  const { recorder } = await engine.session();
  const dispatchesOf = async (reads: readonly LabelRead[]): Promise<number> => {
    const before = recorder.dispatches;
    await scores(engine, reads);
    return recorder.dispatches - before;
  };
  const asked = (word: string): LabelRead => ({ text: `Question: ${word}?`, labels: LETTERS });
  await scores(engine, [asked('so')]); // reads the input
  const one = await dispatchesOf([{ ...asked('a'), ...uses('late') }]);
  const five = await dispatchesOf(
    ['b', 'c', 'd', 'e', 'f'].map((word, i) => ({ ...asked(word), ...(i % 2 === 0 && uses('late', i + 1)) })),
  );
  expect(five).toBeLessThan(2 * one);
}
