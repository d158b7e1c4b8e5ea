import type { ChatTraits } from '../../tokenizer/chat-traits.ts';
import type { FinishReason as EndReason } from '../../engine/types.ts';
import type { AnswerDelta, FinishReason } from '../types.ts';
import { ForcedCallReader } from './forced-call.ts';
import { ReasoningReader, type ThoughtAndText } from './reasoning.ts';
import { type CallOrText, ToolCallReader } from './tool-calls.ts';

/** Takes an answer apart, piece by piece, into text, reasoning and calls. */
export class AnswerReader {
  readonly #reasoning: ReasoningReader;
  readonly #calls: ToolCallReader | ForcedCallReader | undefined;
  #numCalls = 0;

  /** `known`: names of the tools that may be called; `isForced`: the answer is held to be a call. */
  constructor({ opensReasoning, toolFormat }: ChatTraits, known: ReadonlySet<string>, isForced = false) {
    this.#calls = isForced ? new ForcedCallReader() : undefined;
    this.#reasoning = new ReasoningReader(opensReasoning);
    if (!isForced && toolFormat !== undefined && known.size > 0) this.#calls = new ToolCallReader(toolFormat, known);
  }

  push(text: string): AnswerDelta[] {
    return this.#deltas(this.#reasoning.push(text), (rest) => this.#calls?.push(rest) ?? [rest]);
  }

  /** What was held back at the end of the answer. */
  flush(): AnswerDelta[] {
    const parts = this.#reasoning.flush();
    return this.#deltas(parts, (rest) => (this.#calls ? [...this.#calls.push(rest), ...this.#calls.flush()] : [rest]));
  }

  /** The engine's reason, or that tools are waited for. */
  finishReason(reason: EndReason): FinishReason {
    return reason === 'stop' && this.#numCalls > 0 ? 'tool_calls' : reason;
  }

  #deltas({ reasoning, text }: ThoughtAndText, read: (text: string) => CallOrText[]): AnswerDelta[] {
    const thought = reasoning === '' ? [] : [{ reasoning_content: reasoning }];
    const answer = read(text)
      .filter((part) => part !== '')
      .map((part): AnswerDelta => {
        if (typeof part === 'string') return { content: part };
        return { tool_calls: [{ index: this.#numCalls++, id: callId(), type: 'function', function: part }] };
      });
    return [...thought, ...answer];
  }
}

const ID_CHARS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** Nine letters and digits: Mistral's templates take no other ids. */
function callId(): string {
  const random = crypto.getRandomValues(new Uint32Array(9));
  return Array.from(random, (number) => ID_CHARS[number % ID_CHARS.length]).join('');
}
