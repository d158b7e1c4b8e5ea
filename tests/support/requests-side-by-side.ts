import { GREEDY, type SamplingOptions } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { answer, type Answer } from './answer.ts';
import { tinyModel } from './models/tiny-model.ts';

// A sequence alone uses other kernels than a shared step, with results equal up to rounding. Tokens are compared
// exactly: no two candidates in these answers are that close.
export const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 81 });
/** Excludes the two tokens that would end an answer. */
export const ENDLESS: SamplingOptions = { ...GREEDY, logitBias: new Map([0, 2].map((id) => [id, -1000])) };

export interface Request {
  prompt: string;
  maxTokens: number;
  sampling?: Partial<SamplingOptions>;
  adapters?: GenerateOptions['adapters'];
}

/** The second has more than two pages of prompt, which a software adapter prefills in two batches. */
export const REQUESTS: Request[] = [
  { prompt: 'The first wind comes from the hills.', maxTokens: 40 },
  {
    prompt: 'The second, that has no name, '.repeat(3),
    maxTokens: 21,
    sampling: { temperature: 1, topK: 30, seed: 7 },
  },
  { prompt: 'A third', maxTokens: 33, sampling: { repetitionPenalty: 1.3, frequencyPenalty: 0.4 } },
  {
    prompt: 'And of the fourth nobody speaks;',
    maxTokens: 28,
    sampling: { temperature: 0.8, topP: 0.9, presencePenalty: 0.3, seed: 0xfffffff0 },
  },
];

export function start(
  engine: LocalEngine,
  { prompt, maxTokens, sampling, adapters = [] }: Request,
  signal?: AbortSignal,
) {
  const options = { sampling: { ...ENDLESS, ...sampling }, stop: [], maxTokens, adapters };
  return engine.complete(prompt, signal ? { ...options, signal } : options);
}

export const ask = (engine: LocalEngine, request: Request): Promise<Answer> => answer(start(engine, request));

export async function eachAlone(engine: LocalEngine, requests: readonly Request[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const request of requests) answers.push(await ask(engine, request));
  return answers;
}

export const tokensOf = (answers: readonly Answer[]): number[][] => answers.map(({ tokens }) => tokens);
