import type { AdapterInfo, Engine } from '../../src/api/index.ts';
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

/** Tokens of a prompt; `passage`: those up to the question. */
interface PromptTokens {
  all: number;
  cached: number;
  passage: number;
}

const INSTRUCTION = 'Answer with the shortest exact phrase from the text above, and nothing else.';
const MOST_TOKENS = 32;

/** Other names than the chat's, which may unload its own. */
const nameOf = (adapter: string): string => `desk ${adapter}`;
const ANSWERABLE = 'answerable';
const ANSWER = 'squad-alora';

/** The desk's functions on one engine. The base reads a passage, and an activated adapter goes on from there. */
export class Functions {
  private readonly adapters = new Map<string, Promise<AdapterInfo>>();
  /** Tokens of each passage that was read, up to its question. */
  private readonly read = new Map<string, number>();

  constructor(readonly engine: Engine) {}

  /** The probability that the passage answers the question, 0 to 1. */
  async answerable({ text }: Passage, question: string, signal: AbortSignal): Promise<Result<number>> {
    await this.load(ANSWERABLE, signal);
    const { invocationTokens = [] } = await this.load(ANSWER, signal); // now, so that the answer needs no network
    const started = performance.now();
    const { answers, usage } = await this.engine.decisions.create(
      {
        input: text,
        questions: [
          {
            type: 'predicate',
            instructions: `Does the text answer this? ${question}`,
            adapter: nameOf(ANSWERABLE),
          },
        ],
        return_prompt_token_ids: true,
      },
      { signal },
    );
    const [decided] = answers;
    const tokens = {
      all: usage.input_tokens,
      cached: usage.input_tokens_details.cached_tokens,
      // Both functions' questions begin with the same tokens.
      passage: lastStart(decided?.prompt_token_ids ?? [], invocationTokens),
    };
    const value = decided?.type === 'predicate' ? decided.probability : 0;
    return { value, cost: this.cost(text, tokens, started) };
  }

  /** The shortest phrase of the passage that answers the question. */
  async answer({ text }: Passage, question: string, signal: AbortSignal): Promise<Result<string>> {
    await this.load(ANSWER, signal);
    const name = nameOf(ANSWER);
    const started = performance.now();
    const { choices, usage, chunkwise } = await this.engine.chat.completions.create(
      {
        messages: [{ role: 'user', content: `${text}\n\nQuestion: ${question}\n${INSTRUCTION}` }],
        adapter: name,
        temperature: 0,
        max_tokens: MOST_TOKENS,
      },
      { signal },
    );
    const tokens = {
      all: usage.prompt_tokens,
      cached: usage.prompt_tokens_details.cached_tokens,
      passage: chunkwise.invokedAt?.[name] ?? 0,
    };
    return { value: choices[0]?.message.content?.trim() ?? '', cost: this.cost(text, tokens, started) };
  }

  private cost(text: string, { all, cached, passage }: PromptTokens, started: number): Cost {
    const readAgain = Math.max(0, (this.read.get(text) ?? 0) - cached);
    this.read.set(text, passage);
    return { ms: performance.now() - started, promptTokens: all, cachedTokens: cached, readAgain };
  }

  /** Loads an adapter before its first use. `signal` ends the wait, not the load. */
  private load(adapter: string, signal: AbortSignal): Promise<AdapterInfo> {
    let loading = this.adapters.get(adapter);
    if (!loading) {
      loading = this.engine.adapters.load(nameOf(adapter), adapterUrl(adapter));
      this.adapters.set(adapter, loading);
      loading.catch(() => this.adapters.delete(adapter)); // the next question tries again
    }
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
    return Promise.race([loading, aborted]);
  }
}

/** Where `part` begins in `tokens` for the last time; -1 if it does not. */
function lastStart(tokens: readonly number[], part: readonly number[]): number {
  return tokens.findLastIndex((_, start) => part.every((token, i) => tokens[start + i] === token));
}
