import { expect } from 'vitest';
import { GREEDY, type SamplingOptions } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import type { GenerateOptions } from '../../../src/engine/types.ts';
import { type DraftSize, StepCosts } from '../../../src/session/speculation/step-costs.ts';
import { type Answer, answer } from '../answer.ts';
import { type EngineTestOptions, engineUnderTest } from '../engine-under-test.ts';
import { tinyModel } from '../models/tiny-model.ts';

export const MODEL = {
  architecture: 'llama',
  type: 'Q4_1',
  seed: 81,
  contextLength: 512,
  neverEnds: true,
} as const;
export const bytes = tinyModel(MODEL);
export const PROMPT = 'The wind comes from the hills. The wind comes from the hills. The wind';
export const OTHERS = [
  'A third, a third, a third, a',
  'And of the fourth nobody speaks; nobody speaks; nobody',
] as const;
export const TOKENS = 60;
/** Allowed tokens of answers: few enough that answers repeat themselves. */
const FEW = 'abc';

/** Steps of several tokens cost almost nothing, so that everything is drafted, and many drafts are wrong. */
class FreeDrafts extends StepCosts {
  constructor(private readonly size: DraftSize) {
    super({ variant: { lanes: 1 } } as never, () => undefined);
  }

  override of(size: DraftSize): number {
    return size === this.size ? 1e-3 : 1e3;
  }
}

/** An engine that drafts whatever it can, in steps of `size` tokens. */
export async function engineOf(
  size: DraftSize = 8,
  options: EngineTestOptions = {},
  model = bytes,
): Promise<LocalEngine> {
  const engine = await engineUnderTest(model, options);
  (await engine.session()).stepCosts = new FreeDrafts(size);
  return engine;
}

export const ask = (engine: LocalEngine, options: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: TOKENS, speculate: true, ...options }));

/** Samples from three tokens that are equally likely at first. */
export function fewTokens(engine: LocalEngine, more: Partial<SamplingOptions>): SamplingOptions {
  const few = engine.tokenizer.encode(FEW);
  const bias = Array.from(
    { length: engine.tokenizer.vocabSize },
    (_, token) => [token, few.includes(token) ? 0 : -100] as const,
  );
  return { ...GREEDY, temperature: 1, ...more, logitBias: new Map(bias) };
}

/** Aborts an answer after `count` tokens, and returns them. */
export async function abortAt(
  engine: LocalEngine,
  options: Partial<GenerateOptions>,
  count: number,
): Promise<number[]> {
  const controller = new AbortController();
  const { signal } = controller;
  const tokens: number[] = [];
  const read = async (): Promise<void> => {
    for await (const event of engine.complete(PROMPT, {
      sampling: GREEDY,
      stop: [],
      maxTokens: TOKENS,
      speculate: true,
      ...options,
      signal,
    })) {
      if (event.type === 'token' && tokens.push(event.token) === count) controller.abort();
    }
  };
  await expect(read()).rejects.toMatchObject({ code: 'aborted' });
  return tokens;
}

/** Expects the same answer with and without speculation, and that drafts were verified. */
export async function expectSame(
  engine: LocalEngine,
  options: Partial<GenerateOptions> = {},
  prompt = PROMPT,
): Promise<Answer> {
  const plain = await ask(engine, { ...options, speculate: false }, prompt);
  const speculated = await ask(engine, options, prompt);
  // Forced and likely tokens of a grammar are verified in any case.
  if (options.responseFormat === undefined) expect(plain.end.report.tokensPerStep).toBe(1);
  expect(speculated.end.report.tokensPerStep).toBeGreaterThan(1.05);
  expect(speculated.tokens).toEqual(plain.tokens);
  expect({ text: speculated.text, reason: speculated.end.finishReason }).toEqual({
    text: plain.text,
    reason: plain.end.finishReason,
  });
  expect(speculated.end.usage.completionTokens).toBe(plain.end.usage.completionTokens);
  return plain;
}

/** Grammars, each with a prompt that ends in text to draft from. */
const GRAMMARS = {
  'words of two letters': ['root ::= ("ab" | "cd"){60}', 'abcdabcdabcdabcdabcdabcd'],
  'one that departs from the copied text in its middle': [
    'root ::= "abcdabc" [de] ("abcdabc" [de])*',
    'abcdabcdabcdabcdabcd',
  ],
  'one that ends in the middle of the copied text': ['root ::= "abcdabcdabcdab"', 'abcdabcdabcdabcdabcdabcd'],
  'one that may end anywhere': ['root ::= [abcd]*', 'abcdabcdabcdabcdabcdabcd'],
  JSON: [
    'root ::= "[" item ("," item)* "]"\nitem ::= "{\\"name\\":\\"" [a-d]+ "\\"}"',
    '[{"name":"ab"},{"name":"ab"},{"name":"ab"},',
  ],
} as const;

/** `expectSame` with a grammar: greedy, sampled, and sampled with ends less likely. */
export async function expectSameWithGrammar(name: keyof typeof GRAMMARS): Promise<void> {
  const [grammar, prompt] = GRAMMARS[name];
  const engine = await engineOf();
  const eos = [...engine.tokenizer.eosIds].map((token) => [token, -2] as const);
  for (const sampling of [
    GREEDY,
    { ...GREEDY, temperature: 1, seed: 5 },
    { ...GREEDY, temperature: 1, seed: 6, logitBias: new Map(eos) },
  ]) {
    await expectSame(engine, { responseFormat: { type: 'grammar', grammar }, sampling }, prompt);
  }
}
