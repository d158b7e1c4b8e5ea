import type { KvReport } from '../../src/cache/kv-cache.ts';
import type { MemoryReport } from '../../src/gpu/buffers.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions, GenerationReport } from '../../src/engine/types.ts';

/** An answer of fixed length with its GPU memory. */
export interface Continued {
  /** Ranks of the prompt and the answer. */
  tokens: number;
  report: GenerationReport;
  /** Memory at the answer's end and at its peak. */
  memory: MemoryReport;
  peak: MemoryReport;
}

export type AnswerOptions = Omit<GenerateOptions, 'sampling' | 'stop' | 'maxTokens'>;

/** Continues `prompt` greedily for `maxTokens` tokens; no token ends the answer. */
export async function goOn(
  engine: LocalEngine,
  prompt: string,
  maxTokens: number,
  options: AnswerOptions,
): Promise<Continued> {
  const { buffers } = (await engine.session()).device;
  buffers.watchPeak();
  const logitBias = new Map([...engine.tokenizer.eosIds].map((id) => [id, -1000]));
  for await (const event of engine.complete(prompt, {
    ...options,
    maxTokens,
    sampling: { ...GREEDY, logitBias },
    stop: [],
  })) {
    if (event.type !== 'end') continue;
    const { promptTokens, completionTokens } = event.usage;
    return {
      tokens: promptTokens + completionTokens,
      report: event.report,
      memory: engine.memory(),
      peak: buffers.peak,
    };
  }
  throw new Error('an answer without an end');
}

export const pageBytes = ({ bytes }: KvReport): number => Object.values(bytes).reduce((sum, each) => sum + each, 0);

/** Elements of keys and values per token count. */
export async function elementsOf(engine: LocalEngine, tokens: number): Promise<number> {
  const { numLayers, numKvHeads, headDim } = (await engine.session()).plan.config;
  return tokens * numLayers * 2 * numKvHeads * headDim;
}
