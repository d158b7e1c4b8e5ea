import type { AdapterInfo, ChatCompletion, Engine } from '../../src/api/index.ts';
import { adapterUrl } from '../adapters/adapters.ts';
import type { Passage } from './passages.ts';

/** What a function cost. */
export interface Cost {
  ms: number;
  promptTokens: number;
  cachedTokens: number;
  /** Tokens of the passage that were computed although it had been read. */
  readAgain: number;
}

export interface Result<T> {
  value: T;
  cost: Cost;
}

const ADAPTER = 'squad-alora';
/** Another name than the chat's, which may unload its own. */
const NAME = `desk ${ADAPTER}`;
const INSTRUCTION = 'Answer with the shortest exact phrase from the text above, and nothing else.';
const MOST_TOKENS = 32;

/** The desk's functions on one engine. The base reads a passage, and an activated adapter goes on from there. */
export class Functions {
  private adapter: Promise<AdapterInfo> | undefined;
  /** Tokens of each passage that was read, up to its question. */
  private readonly read = new Map<string, number>();

  constructor(readonly engine: Engine) {}

  /** Probability of the answer's first token, 0 to 1: low if the passage does not answer the question. */
  async answerable(passage: Passage, question: string, signal: AbortSignal): Promise<Result<number>> {
    const { value, cost } = await this.complete(passage, { question, mostTokens: 1 }, signal);
    return { value: Math.exp(value?.logprobs?.content[0]?.logprob ?? -Infinity), cost };
  }

  /** The shortest phrase of the passage that answers the question. */
  async answer(passage: Passage, question: string, signal: AbortSignal): Promise<Result<string>> {
    const { value, cost } = await this.complete(passage, { question, mostTokens: MOST_TOKENS }, signal);
    return { value: value?.message.content?.trim() ?? '', cost };
  }

  private async complete(
    { text }: Passage,
    { question, mostTokens }: { question: string; mostTokens: number },
    signal: AbortSignal,
  ): Promise<Result<ChatCompletion['choices'][0] | undefined>> {
    await this.load();
    const content = `${text}\n\nQuestion: ${question}\n${INSTRUCTION}`;
    const started = performance.now();
    const { choices, usage, chunkwise } = await this.engine.chat.completions.create(
      {
        messages: [{ role: 'user', content }],
        adapter: NAME,
        temperature: 0,
        max_tokens: mostTokens,
        logprobs: true,
      },
      { signal },
    );
    const cachedTokens = usage.prompt_tokens_details.cached_tokens;
    const readAgain = Math.max(0, (this.read.get(text) ?? 0) - cachedTokens);
    this.read.set(text, chunkwise.invokedAt?.[NAME] ?? 0);
    const ms = performance.now() - started;
    return { value: choices[0], cost: { ms, promptTokens: usage.prompt_tokens, cachedTokens, readAgain } };
  }

  /** Loads the adapter with the first question. */
  private async load(): Promise<void> {
    this.adapter ??= this.engine.adapters.load(NAME, adapterUrl(ADAPTER));
    try {
      await this.adapter;
    } catch (error) {
      this.adapter = undefined; // the next question tries again
      throw error;
    }
  }
}
