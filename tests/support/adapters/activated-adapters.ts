import { expect } from 'vitest';
import { GREEDY } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import type { GenerateOptions } from '../../../src/engine/types.ts';
import { answer, type Answer } from '../answer.ts';
import { type EngineTestOptions, engineUnderTest } from '../engine-under-test.ts';
import { peftSource, tinyAdapter } from '../models/tiny-adapter.ts';
import { tinyModel } from '../models/tiny-model.ts';

export const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 1024, neverEnds: true });
export const STORY = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(4);
/** Invocation text of each adapter. `plain` has the weights of `judge`, and takes every token. */
const INVOCATIONS = { judge: '#j:', short: '#s:', plain: undefined };
type Name = keyof typeof INVOCATIONS;
const SEEDS: Record<Name, number> = { judge: 5, short: 6, plain: 5 };

export async function adaptedEngine(options: EngineTestOptions = {}): Promise<LocalEngine> {
  const engine = await engineUnderTest(MODEL, options);
  const { config } = (await engine.session()).plan;
  for (const [name, invocation] of Object.entries(INVOCATIONS)) {
    const alora_invocation_tokens = invocation && engine.tokenizer.encode(invocation);
    const adapter = tinyAdapter(config, { seed: SEEDS[name as Name], rank: 8, config: { alora_invocation_tokens } });
    await engine.loadAdapter(name, peftSource(adapter));
  }
  return engine;
}

/**
 * At full rank: cached tokens keep the plan they were computed with, so that ranks by chunk might answer otherwise
 * than alone.
 */
export const use = (...names: Name[]) => ({
  adapters: names.map((name) => ({ name, scale: 1 })),
  ranks: 'uniform' as const,
});
export const CHUNKWISE = { ranks: 'chunkwise' } as const;

export const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 12, ...options }));

export const lengthOf = (engine: LocalEngine, text: string): number => engine.tokenizer.encode(text).length;

/**
 * Asks the questions in turn on `engine`, and each on an engine with `options` and an empty cache; expects equal answers.
 * Returns the cached tokens of each.
 */
export async function conversation(
  engine: LocalEngine,
  turns: readonly (readonly [string, Partial<GenerateOptions>])[],
  options?: EngineTestOptions,
): Promise<number[]> {
  const alone = await adaptedEngine(options);
  const cached: number[] = [];
  for (const [prompt, asked] of turns) {
    const { tokens, end } = await ask(engine, prompt, asked);
    cached.push(end.usage.cachedTokens);
    (await alone.session()).sequences.makeRoom(Infinity);
    const fresh = await ask(alone, prompt, asked);
    expect(fresh.end.usage.cachedTokens).toBe(0);
    expect(tokens, prompt).toEqual(fresh.tokens);
    expect(end.report.invokedAt).toEqual(fresh.end.report.invokedAt);
  }
  return cached;
}
