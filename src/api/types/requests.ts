/** What is asked for. */
import type { KvMode, KvPriority } from '../../cache/kv-options.ts';
import type { ChunkPlan } from '../../chunking/chunk-plan.ts';
import type { ChunkerOptions } from '../../chunking/chunker.ts';
import type { ToolDefinition } from '../../tokenizer/chat-template.ts';
import type { ResponseFormat, StructuredOutputs } from './decoding.ts';

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
  /** Multiplies what the adapter adds. Default: 1. */
  scale?: number;
}

/**
 * A LoRA adapter's files: a hub id, a PEFT directory's URL, its two files (adapter_config.json, adapter_model.safetensors), or
 * a GGUF file. In Node a path counts as a URL.
 */
export type AdapterSource = string | { config: Blob; weights: Blob } | { gguf: string | Blob };

/** Sampling and length fields shared by both kinds of completion; names and defaults are OpenAI's, the rest vLLM's. */
export interface CompletionOptions {
  /** Of no effect: an engine has one model. `engine.fetch` answers with the adapter of that name. Default: the engine's. */
  model?: string;
  /** Most tokens to answer with. Default: what the context still holds. */
  max_tokens?: number;
  /** The same, by its later name. */
  max_completion_tokens?: number;
  /** What the answer must look like. Default: any text. */
  response_format?: ResponseFormat;
  /** The same, as vLLM's clients ask for it. Default: any text. */
  structured_outputs?: StructuredOutputs;
  /** Answers to give, 1 to 8, with seeds that follow each other: `choices` by `index`. Default: 1. */
  n?: number;
  /** How evenly tokens are drawn, 0 (always the likeliest) to 2. Default: 1. */
  temperature?: number;
  /** Keeps the likeliest tokens whose probabilities sum up to this, above 0 to 1. Default: 1, all of them. */
  top_p?: number;
  /** Keeps so many of the likeliest tokens; 0 or -1: all of them. Default: 0. */
  top_k?: number;
  /** Keeps tokens at least so probable, as a share of the likeliest one's probability, 0 to 1. Default: 0, all of them. */
  min_p?: number;
  /** Divides the positive logits, and multiplies the negative ones, of tokens of the text so far, above 0 to 100. Default: 1. */
  repetition_penalty?: number;
  /** Is taken from the logits of tokens of the answer so far, -2 to 2. Default: 0. */
  presence_penalty?: number;
  /** Is taken from them as often as they came, -2 to 2. Default: 0. */
  frequency_penalty?: number;
  /** Token id (as a decimal string) → addend to its logit, −100 to 100. Default: none. */
  logit_bias?: Record<string, number>;
  /** The same seed gives the same answer on the same device. Default: another one each time. */
  seed?: number;
  /** Up to four; the answer ends before the first of them. Default: none. */
  stop?: string | string[];
  /** A loaded adapter to answer with, or several, summed. Default: none. */
  adapter?: string | AdapterRequest[];
  /**
   * How many ranks of the adapters each token gets: by how hard the text is (`chunkwise`), all of them (`uniform`), a number
   * of them, or the chunkwise levels in random order (`shuffled`). Without adapters neither this nor what follows matters.
   * Default: `chunkwise`.
   */
  ranks?: 'chunkwise' | 'uniform' | 'shuffled' | number;
  /** Gives `uniform` the mean rank that `chunkwise` would have. Default: false. */
  equalMeanRank?: boolean;
  /** What the lowest level may lose of the adapter's change (relative L2), 0 to 1. Default: 0.41, within fixed shares of the ranks. */
  rankErrorBudget?: number;
  /** Where chunks end. Default: see `ChunkerOptions`. */
  chunks?: Partial<ChunkerOptions>;
  /** Tokens from one chunk's ranks to the next one's. Default: 4. */
  rampWidth?: number;
  /** A recorded plan of the same text, to be followed instead. Default: none. */
  plan?: ChunkPlan;
  /**
   * How keys and values are kept: `dense` in f16; `policy`: as few bytes as an error budget allows; or all but the first and
   * the last pages in 8 or 4 bits. Default: `dense`, or `policy` where the engine has a budget for them.
   */
  kv?: KvMode;
  /** Of `policy`: what it may cost, in percent of perplexity, 0 to 16. Default: 1. */
  kvErrorBudget?: number;
  /** Of `policy`: bytes that the keys and values of the text may take. Default: no limit. */
  kvMemoryBudget?: number;
  /** Which of the two holds where both cannot. The report says which did. Default: `error`, and `memory` where it alone is set. */
  kvPriority?: KvPriority;
  /** Measures the true error beside the estimated one, at the cost of keeping the dense pages too. Default: false. */
  kvShadow?: boolean;
  /**
   * Whether tokens that the text so far, or a draft model, suggests are verified several at a time, where that is faster.
   * The answer is the same, but where two tokens are as likely as each other to the last digits: steps of many round
   * otherwise. Default: false.
   */
  speculate?: boolean;
  /**
   * Whether all of the prompt is computed, though the cache may hold some of it, once what answers of any length need is
   * compiled, as where times are compared. Default: false.
   */
  recomputePrompt?: boolean;
  /** Whether the answer comes in chunks. Default: false. */
  stream?: boolean;
  /** With `stream`: whether the last chunk has the usage. Default: it has not. */
  stream_options?: { include_usage?: boolean };
  /** Taken and of no effect, as the five that follow: nothing is kept. */
  user?: string;
  store?: boolean;
  metadata?: Record<string, string>;
  service_tier?: string;
  safety_identifier?: string;
  prompt_cache_key?: string;
}

export interface ChatCompletionRequest extends CompletionOptions {
  messages: MessageInput[];
  /** Functions that the model may call, for models whose chat template knows them. `parameters` is a JSON schema. Default: none. */
  tools?: ToolDefinition[];
  /** Whether it may, or must, call one. Default: `auto` where there are tools. */
  tool_choice?: ToolChoice;
  /** Tells each token's log-probability. Default: false. */
  logprobs?: boolean;
  /** With `logprobs`: so many of the likeliest tokens at each place, 0 to 20. Default: 0. */
  top_logprobs?: number;
}

export interface CompletionRequest extends CompletionOptions {
  prompt: string;
  /** Tells each token's log-probability, and so many of the likeliest tokens with theirs, 0 to 20. Default: neither. */
  logprobs?: number;
}
