/** What is answered. */
import type { FinishReason as EndReason, GenerationReport } from '../../engine/types.ts';
import type { ChatLogprobs, TextLogprobs } from './decoding.ts';
import type { ToolCall } from './requests.ts';

/** `tool_calls`: the answer waits for what they give. */
export type FinishReason = EndReason | 'tool_calls';

/** The device, or the server that stands in for it. */
export type AnsweredBy = 'device' | 'server';

/** Who answered; and, of the device, how. */
export type AnswerReport =
  | ({ answeredBy: 'device' } & GenerationReport)
  | ({ answeredBy: 'server' } & { [Name in keyof GenerationReport]?: undefined });

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  /** `forced_tokens`: those that the answer's format left no choice of, taken without a step of their own. */
  completion_tokens_details: { forced_tokens: number };
}

/** What a chunk adds to a message. */
export interface AnswerDelta {
  content?: string;
  reasoning_content?: string;
  tool_calls?: (ToolCall & { index: number })[];
}

/** A whole message, as a client may send it back. */
export interface AnswerMessage {
  role: 'assistant';
  /** Null where only calls came. */
  content: string | null;
  reasoning_content?: string;
  tool_calls?: ToolCall[];
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: { index: number; message: AnswerMessage; finish_reason: FinishReason; logprobs: ChatLogprobs | null }[];
  /** Of all choices; the prompt counts once. */
  usage: Usage;
  /** Of the first choice. */
  chunkwise: AnswerReport;
}

export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: 'assistant' } & AnswerDelta;
    finish_reason: FinishReason | null;
    logprobs: ChatLogprobs | null;
  }[];
  /** On the last chunk, when `stream_options.include_usage` asks for it. */
  usage?: Usage | null;
  /** On the last chunk: of the choice that it ends; where it has the usage, of the first. A server's on each. */
  chunkwise?: AnswerReport;
}

export interface Completion {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: FinishReason | null; logprobs: TextLogprobs | null }[];
  usage?: Usage | null;
  chunkwise?: AnswerReport;
}
