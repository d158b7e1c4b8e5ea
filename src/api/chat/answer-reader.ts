import type { FinishReason as EndReason } from '../../engine/types.ts';
import type { ChatTraits } from '../../tokenizer/chat-traits.ts';
import type { WrittenCall } from './call-literals.ts';
import { jsonMembers } from './incoming-text.ts';
import { beginningAtEnd } from '../../tokenizer/tokenizer.ts';
import { type CallOrText, type ToolCall, ToolCallReader } from './tool-calls.ts';

/** `tool_calls`: the model called tools, and waits for their results. */
export type FinishReason = EndReason | 'tool_calls';

/** The part of a message that a chunk adds. */
export interface AnswerDelta {
  content?: string;
  reasoning_content?: string;
  tool_calls?: (ToolCall & { index: number })[];
}

/** Splits an answer into text, reasoning and tool calls as its pieces arrive. */
export class AnswerReader {
  readonly #reasoning: ReasoningReader;
  readonly #calls: ToolCallReader | ForcedCallReader | undefined;
  #numCalls = 0;

  /** `known`: names of the tools that the model may call. `isForced`: the answer must be a call. */
  constructor({ opensReasoning, toolFormat }: ChatTraits, known: ReadonlySet<string>, isForced = false) {
    this.#calls = isForced ? new ForcedCallReader() : undefined;
    this.#reasoning = new ReasoningReader(opensReasoning);
    if (!isForced && toolFormat !== undefined && known.size > 0) this.#calls = new ToolCallReader(toolFormat, known);
  }

  push(text: string): AnswerDelta[] {
    return this.#deltas(this.#reasoning.push(text), (rest) => this.#calls?.push(rest) ?? [rest]);
  }

  /** Returns the text that was held back, at the end of the answer. */
  flush(): AnswerDelta[] {
    const parts = this.#reasoning.flush();
    return this.#deltas(parts, (rest) => (this.#calls ? [...this.#calls.push(rest), ...this.#calls.flush()] : [rest]));
  }

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

/** Reads an answer that must be a call; returns its text if `max_tokens` cut it off. */
class ForcedCallReader {
  #text = '';

  push(piece: string): [] {
    this.#text += piece;
    return [];
  }

  flush(): (WrittenCall | string)[] {
    try {
      const { name } = JSON.parse(this.#text) as { name: string };
      return [{ name, arguments: jsonMembers(this.#text).get('arguments') ?? '' }]; // keeps the model's own notation
    } catch {
      return [this.#text];
    }
  }
}

const ID_CHARS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** Nine letters and digits, the only form that Mistral's templates accept. */
function callId(): string {
  const random = crypto.getRandomValues(new Uint32Array(9));
  return Array.from(random, (number) => ID_CHARS[number % ID_CHARS.length]).join('');
}

const OPEN = '<think>';
const CLOSE = '</think>';

/** A part of an answer, split into reasoning and text. Either may be empty. */
export interface ThoughtAndText {
  reasoning: string;
  text: string;
}

/**
 * Separates the reasoning in `<think>` tags at an answer's beginning from its text, in pieces of any length. Drops white space
 * around the reasoning. Later tags are text.
 */
export class ReasoningReader {
  #place: 'before' | 'inside' | 'after' | 'answer';
  #held = '';
  /** White space before the answer, or possibly at the reasoning's end. */
  #space = '';

  /** `opened`: the prompt already opened the tag. */
  constructor(opened: boolean) {
    this.#place = opened ? 'inside' : 'before';
  }

  push(piece: string): ThoughtAndText {
    this.#held += piece;
    let reasoning = '';
    if (this.#place === 'before') this.#begin();
    if (this.#place === 'inside') reasoning = this.#readInside();
    if (this.#place === 'after') this.#skipSpace();
    return { reasoning, text: this.#place === 'answer' ? this.#take() : '' };
  }

  /** Returns the text that was held back, at the end of the answer. */
  flush(): ThoughtAndText {
    if (this.#place === 'before') this.#answer();
    const rest = this.#take();
    if (this.#place === 'inside') return { reasoning: this.#trimmed(rest), text: '' };
    return { reasoning: '', text: this.#place === 'after' ? '' : rest };
  }

  #begin(): void {
    const text = this.#held.trimStart();
    this.#space += this.#held.slice(0, this.#held.length - text.length);
    this.#held = text;
    if (text.startsWith(OPEN)) {
      this.#held = text.slice(OPEN.length);
      this.#space = '';
      this.#place = 'inside';
    } else if (!OPEN.startsWith(text)) {
      this.#answer();
    }
  }

  /** The answer has no reasoning. */
  #answer(): void {
    this.#held = this.#space + this.#held;
    this.#place = 'answer';
  }

  #readInside(): string {
    const end = this.#held.indexOf(CLOSE);
    if (end < 0) {
      const kept = beginningAtEnd(this.#held, CLOSE);
      const text = this.#held.slice(0, this.#held.length - kept);
      this.#held = this.#held.slice(this.#held.length - kept);
      return this.#trimmed(text);
    }
    const text = this.#trimmed(this.#held.slice(0, end));
    this.#held = this.#held.slice(end + CLOSE.length);
    this.#place = 'after';
    return text;
  }

  #begun = false;

  /** Returns the next piece of reasoning with the white space before it, which is dropped before the first piece. */
  #trimmed(piece: string): string {
    const text = this.#begun ? piece : piece.trimStart();
    const kept = text.trimEnd();
    if (kept === '') {
      this.#space += text;
      return '';
    }
    const given = this.#space + kept;
    this.#space = text.slice(kept.length);
    this.#begun = true;
    return given;
  }

  #skipSpace(): void {
    this.#held = this.#held.trimStart();
    if (this.#held !== '') this.#place = 'answer';
  }

  #take(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}
