import type { KvReport } from '../../src/cache/kv-report.ts';
import type { MemoryReport } from '../../src/config/memory-report.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions, GenerationReport } from '../../src/engine/types.ts';

/** An answer of a fixed length, and what lived on the GPU. */
export interface Continued {
  /** Of the prompt and the answer. */
  tokens: number;
  report: GenerationReport;
  /** When the answer ended, and when most lived during it. */
  memory: MemoryReport;
  peak: MemoryReport;
}

export type AnswerOptions = Omit<GenerateOptions, 'sampling' | 'stop' | 'maxTokens'>;

/** Goes on with `prompt` greedily for `maxTokens` tokens, whatever they are: none ends the answer. */
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

/** Keys' and values' elements of that many tokens. */
export async function elementsOf(engine: LocalEngine, tokens: number): Promise<number> {
  const { numLayers, numKvHeads, headDim } = (await engine.session()).plan.config;
  return tokens * numLayers * 2 * numKvHeads * headDim;
}
