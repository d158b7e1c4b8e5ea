/** What `createEngine` takes and gives. */
import type { SavedFile } from '../../cache/saved-cache.ts';
import type { MemoryReport } from '../../config/memory-report.ts';
import type { AdapterInfo, LoadProgress, SavedSize } from '../../engine/types.ts';
import type { EmbeddingRequest, EmbeddingResponse } from './embeddings.ts';
import type { EngineEvents } from './events.ts';
import type { AdapterSource, ChatCompletionRequest, CompletionOptions, CompletionRequest, MessageInput } from './requests.ts';
import type { AnsweredBy, ChatCompletion, ChatCompletionChunk, Completion } from './responses.ts';

/** Of requests that do not say otherwise. A budget makes `policy` the form of their cache. */
export type RequestDefaults = Pick<CompletionOptions, 'ranks' | 'kvErrorBudget' | 'kvMemoryBudget'>;

export interface EngineOptions extends RequestDefaults {
  /** A GGUF file: its URL, or the file itself. Of a split model, the first part's URL or all parts. */
  model: string | Blob | Blob[];
  /** Tokens of prompt and answer together; default: what the model was trained for, at most 4,096. */
  contextLength?: number;
  /** Refuse a model that needs more GPU memory than this. */
  memoryLimitBytes?: number;
  /** Requests that may wait behind the running one; the next is refused. Default 16. */
  queueLimit?: number;
  /** Who answers where the device cannot: without WebGPU, or with too little memory for the model. */
  fallback?: FallbackOptions;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** An OpenAI-compatible server. Adapters are its models, as vLLM names them. */
export interface FallbackOptions {
  /** As OpenAI's client takes it: up to `/v1`. */
  baseURL: string;
  apiKey?: string;
  /** What the server calls the model; default: the file's name without its ending. */
  model?: string;
  fetch?: typeof fetch;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Engine {
  readonly model: string;
  readonly contextLength: number;
  /** The GPU adapter's own description. */
  readonly device: string;
  /** `server`: the fallback answers. Then `contextLength` is 0 where the server does not tell it, and what only a device has is `unsupported`. */
  readonly answeredBy: AnsweredBy;
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
  embeddings: {
    /**
     * A vector for each text: the mean of its states after the last norm, scaled to length one. Errors: `bad_request`,
     * `context_overflow` for a text longer than the context.
     */
    create(request: EmbeddingRequest, options?: CallOptions): Promise<EmbeddingResponse>;
  };
  /**
   * As fetch, for OpenAI's clients: serves `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models`,
   * whatever the origin and the path before. Adapters are models too: naming one as `model` answers with it.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
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
  countTokens(messages: MessageInput[]): Promise<number>;
  /** Calls `fn` at every event until the returned function is called. */
  on<E extends keyof EngineEvents>(event: E, fn: (event: EngineEvents[E]) => void): () => void;
  /** Destroys every buffer; later calls throw `disposed`. */
  dispose(): Promise<void>;
}
