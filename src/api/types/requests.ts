/** What is asked for. */
import type { KvMode, KvPriority } from '../../cache/kv-options.ts';
import type { ChunkPlan } from '../../chunking/chunk-plan.ts';
import type { ChunkerOptions } from '../../chunking/chunker.ts';
import type { ToolDefinition } from '../../tokenizer/chat-template.ts';
import type { ResponseFormat } from './decoding.ts';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

/** A message as a request may have it. */
export interface MessageInput {
  /** `developer` is OpenAI's later name of `system`. */
  role: ChatMessage['role'] | 'developer';
  /** Parts are joined. Only an assistant's message with calls may be without. */
  content?: string | TextPart[] | null;
  /** Of an assistant's message. */
  tool_calls?: ToolCall[];
  /** Of a tool's message: the call that it answers. */
  tool_call_id?: string;
  name?: string;
  reasoning_content?: string | null;
}

export interface TextPart {
  type: 'text';
  text: string;
}

export interface ToolCall {
  id: string;
  type: 'function';
  /** `arguments`: a JSON object's text. */
  function: { name: string; arguments: string };
}

/** Whether the model may call (`auto`, the default where there are tools), may not, or must: any tool, or this one. */
export type ToolChoice = 'none' | 'auto' | 'required' | { type: 'function'; function: { name: string } };

export interface AdapterRequest {
  name: string;
  /** Multiplies what the adapter adds; default 1. */
  scale?: number;
}

/**
 * A LoRA adapter's files: a PEFT directory's URL, its two files (adapter_config.json, adapter_model.safetensors), or
 * a GGUF file.
 */
export type AdapterSource = string | { config: Blob; weights: Blob } | { gguf: string | Blob };

/** Sampling and length fields shared by both kinds of completion; names and defaults are OpenAI's, the rest vLLM's. */
export interface CompletionOptions {
  /** Most tokens to answer with; default: what the context still holds. */
  max_tokens?: number;
  /** The same, by its later name. */
  max_completion_tokens?: number;
  /** What the answer must look like; default: any text. */
  response_format?: ResponseFormat;
  /** Answers to give, 1 to 8, with seeds that follow each other: `choices` by `index`. */
  n?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  /** Token id (as a decimal string) → addend to its logit, −100 to 100. */
  logit_bias?: Record<string, number>;
  seed?: number;
  /** Up to four; the answer ends before the first of them. */
  stop?: string | string[];
  /** A loaded adapter to answer with, or several, summed. */
  adapter?: string | AdapterRequest[];
  /**
   * How many ranks of the adapters each token gets: by how hard the text is (`chunkwise`, the default), all of them, a
   * number of them, or the chunkwise levels in random order. Without adapters neither this nor what follows matters.
   */
  ranks?: 'chunkwise' | 'uniform' | 'shuffled' | number;
  /** Gives `uniform` the mean rank that `chunkwise` would have. */
  equalMeanRank?: boolean;
  /** What the lowest level may lose of the adapter's change (relative L2), 0 to 1; default 0.41, within fixed shares of the ranks. */
  rankErrorBudget?: number;
  /** Where chunks end. */
  chunks?: Partial<ChunkerOptions>;
  /** Tokens from one chunk's ranks to the next one's; default 4. */
  rampWidth?: number;
  /** A recorded plan of the same text, to be followed instead. */
  plan?: ChunkPlan;
  /**
   * How keys and values are kept: `dense` in f16 (default); `policy`: as few
   * bytes as an error budget allows; or all but the first and the last pages in 8 or 4 bits.
   */
  kv?: KvMode;
  /** Of `policy`: what it may cost, in percent of perplexity, 0 to 16; default 1. */
  kvErrorBudget?: number;
  /** Of `policy`: bytes that the keys and values of the text may take; default: no limit. */
  kvMemoryBudget?: number;
  /** Which of the two holds where both cannot; default: `error`, and `memory` where it alone is set. The report says which did. */
  kvPriority?: KvPriority;
  /** Measures the true error beside the estimated one, at the cost of keeping the dense pages too. */
  kvShadow?: boolean;
  /**
   * Whether tokens that the text so far, or a draft model, suggests are verified several at a time, where that is faster;
   * default false. The answer is the same, but where two tokens are as likely as each other to the last digits: steps of many
   * round otherwise.
   */
  speculate?: boolean;
  /**
   * Whether all of the prompt is computed, though the cache may hold some of it, once what answers of any length need is
   * compiled, as where times are compared; default false.
   */
  recomputePrompt?: boolean;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
  /** Taken and of no effect: nothing is kept. */
  user?: string;
  store?: boolean;
  metadata?: Record<string, string>;
  service_tier?: string;
  safety_identifier?: string;
  prompt_cache_key?: string;
}

export interface ChatCompletionRequest extends CompletionOptions {
  messages: MessageInput[];
  /** Functions that the model may call, for models whose chat template knows them. `parameters` is a JSON schema. */
  tools?: ToolDefinition[];
  tool_choice?: ToolChoice;
  /** Tells each token's log-probability. */
  logprobs?: boolean;
  /** With `logprobs`: so many of the likeliest tokens at each place, 0 to 20. */
  top_logprobs?: number;
}

export interface CompletionRequest extends CompletionOptions {
  prompt: string;
  /** Tells each token's log-probability, and so many of the likeliest tokens with theirs, 0 to 20. */
  logprobs?: number;
}
