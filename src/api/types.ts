import type { KvMap } from '../cache/kv-map.ts';
import type { KvMode, KvPriority } from '../cache/kv-options.ts';
import type { SavedFile } from '../cache/saved-cache.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import type { Chunk, ChunkPlan, LevelRule } from '../chunking/chunk-plan.ts';
import type { ChunkerOptions } from '../chunking/chunker.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type {
  AdapterInfo,
  AdapterSpectrum,
  FinishReason,
  GenerationReport,
  LoadProgress,
  PlanEvent as PlannedEvent,
  PlannedChunk,
  SavedSize,
} from '../engine/types.ts';

export type { AdapterInfo, AdapterSpectrum, Chunk, ChunkerOptions, ChunkPlan, FinishReason, GenerationReport };
export type { KvMap, KvMode, KvPriority, LevelRule, LoadProgress, PlannedChunk, RampRow, SavedFile, SavedSize };

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

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
  /** Of `policy`: how far a layer's attention output may be moved, relative L2; default 0.32. */
  kvErrorBudget?: number;
  /** Of `policy`: bytes that the keys and values of the text may take; default: no limit. */
  kvMemoryBudget?: number;
  /** Which of the two holds where both cannot; default: `error`, and `memory` where it alone is set. The report says which did. */
  kvPriority?: KvPriority;
  /** Measures the true error beside the estimated one, at the cost of keeping the dense pages too. */
  kvShadow?: boolean;
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
}

export interface ChatCompletionRequest extends CompletionOptions {
  messages: ChatMessage[];
}

export interface CompletionRequest extends CompletionOptions {
  prompt: string;
}

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
  choices: { index: number; message: { role: 'assistant'; content: string }; finish_reason: FinishReason; logprobs: null }[];
  usage: Usage;
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
    logprobs: null;
  }[];
  /** On the last chunk, when `stream_options.include_usage` asks for it. */
  usage?: Usage | null;
  /** On the last chunk. */
  chunkwise?: GenerationReport;
}

export interface Completion {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: FinishReason | null; logprobs: null }[];
  usage?: Usage | null;
  chunkwise?: GenerationReport;
}

/** One generated token, as it arrives. */
export interface TokenEvent {
  /** Milliseconds since the token before; for the first, since the request was taken up. */
  ms: number;
  /** Tokens the context now holds. */
  contextUsed: number;
  /** Of the response. */
  id: string;
  /** Where adapters are used: the level it takes of them, that level's mean rank, and how hard it was found to be. */
  level?: number | undefined;
  meanRank?: number | undefined;
  complexity?: number | undefined;
}

/** Tokens of a request whose ranks are known. */
export interface PlanEvent extends PlannedEvent {
  /** Of the response. */
  id: string;
}

/** How the keys and values of a request's text lie, when that has changed. */
export interface KvEvent extends KvMap {
  /** Of the response. */
  id: string;
}

export interface EngineEvents {
  progress: LoadProgress;
  plan: PlanEvent;
  kv: KvEvent;
  token: TokenEvent;
  memory: MemoryReport;
  devicelost: { reason: string };
}

export interface EngineOptions {
  /** A GGUF file: its URL, or the file itself. Of a split model, the first part's URL or all parts. */
  model: string | Blob | Blob[];
  /** Tokens of prompt and answer together; default: what the model was trained for, at most 4,096. */
  contextLength?: number;
  /** Refuse a model that needs more GPU memory than this. */
  memoryLimitBytes?: number;
  /** Requests that may wait behind the running one; the next is refused. Default 16. */
  queueLimit?: number;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Engine {
  readonly model: string;
  readonly contextLength: number;
  /** The GPU adapter's own description. */
  readonly device: string;
  chat: {
    completions: {
      create(request: ChatCompletionRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<ChatCompletionChunk>>;
      create(request: ChatCompletionRequest & { stream?: false }, options?: CallOptions): Promise<ChatCompletion>;
    };
  };
  completions: {
    create(request: CompletionRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<Completion>>;
    create(request: CompletionRequest & { stream?: false }, options?: CallOptions): Promise<Completion>;
  };
  adapters: {
    /** Loads an adapter beside the model; nothing is merged. Errors: `network`, `bad_file`, `unsupported`, `bad_request`. */
    load(name: string, source: AdapterSource): Promise<AdapterInfo>;
    /** Errors: `bad_request` for an unknown name, or an adapter that a request uses. */
    unload(name: string): Promise<void>;
    list(): Promise<AdapterInfo[]>;
  };
  /**
   * Saves the keys and values of the text that was computed last (of the last request that ended: prompt and answer)
   * under `name`, in the origin's private file system, in place of what was there. It waits until no request runs.
   * Resolves with the text's tokens and the bytes of the file. Errors: `bad_request` when nothing is computed, or for the
   * name; `unsupported` when the text follows a recorded plan, tokens of its middle were given up, or the browser has no
   * such file system; `over_limit` when the storage is full; `queue_full`.
   */
  saveCache(name: string): Promise<SavedSize>;
  /**
   * Brings a saved text back to the GPU, in this visit or a later one. A request that begins with the same tokens, with
   * the same adapters (by content), scales, plan options and `kv` options, goes on from it:
   * `usage.prompt_tokens_details.cached_tokens` says how far. Texts longest unused make room. Errors: `bad_request` for
   * an unknown name; `bad_file`, naming file and field, for a file that is damaged or cut off, of another version
   * (`version`) or of another model (`model`); `context_overflow`; `queue_full`. Then what is in the cache stays.
   */
  loadCache(name: string): Promise<SavedSize>;
  /** Saved texts; those in the cache on the GPU come and go by themselves. */
  cache: {
    list(): Promise<SavedFile[]>;
    /** Errors: `bad_request` for an unknown name. */
    delete(name: string): Promise<void>;
    /** Bytes of all of them. */
    size(): Promise<number>;
  };
  memory(): Promise<MemoryReport>;
  countTokens(messages: ChatMessage[]): Promise<number>;
  /** Calls `fn` at every event until the returned function is called. */
  on<E extends keyof EngineEvents>(event: E, fn: (event: EngineEvents[E]) => void): () => void;
  /** Destroys every buffer; later calls throw `disposed`. */
  dispose(): Promise<void>;
}
