/** What is answered. */
import type { FinishReason, GenerationReport } from '../../engine/types.ts';
import type { ChatLogprobs, TextLogprobs } from './decoding.ts';

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: { index: number; message: { role: 'assistant'; content: string }; finish_reason: FinishReason; logprobs: ChatLogprobs | null }[];
  /** Of all choices; the prompt counts once. */
  usage: Usage;
  /** Of the first choice. */
  chunkwise: GenerationReport;
}

export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: 'assistant'; content?: string };
    finish_reason: FinishReason | null;
    logprobs: ChatLogprobs | null;
  }[];
  /** On the last chunk, when `stream_options.include_usage` asks for it. */
  usage?: Usage | null;
  /** On the last chunk: of the choice that it ends; where it has the usage, of the first. */
  chunkwise?: GenerationReport;
}

export interface Completion {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: FinishReason | null; logprobs: TextLogprobs | null }[];
  usage?: Usage | null;
  chunkwise?: GenerationReport;
}
