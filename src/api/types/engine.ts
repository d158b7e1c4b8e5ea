/// <reference lib="esnext.disposable" preserve="true" />
/** What `createEngine` takes and gives. */
import type { ConfirmLoad, StoredEntry } from '../../../workers/protocol.ts';
import type { MemoryReport } from '../../config/memory-report.ts';
import type { GpuAdapterOptions } from '../../gpu/device.ts';
import type { HubOptions } from '../../hub/hub-api.ts';
import type { AdapterInfo, LoadProgress, SavedSize } from '../../engine/types.ts';
import type { DeviceProgress, DeviceReport } from '../../measure/device/device-report.ts';
import type { WeightType } from '../../weights/quantize.ts';
import type { Calibration, CalibrationRequest, Decision, DecisionRequest } from './decisions.ts';
import type { EmbeddingRequest, EmbeddingResponse } from './embeddings.ts';
import type { EngineEvents } from './events.ts';
import type {
  AdapterSource,
  ChatCompletionRequest,
  CompletionOptions,
  CompletionRequest,
  MessageInput,
} from './requests.ts';
import type { RerankRequest, RerankResponse } from './rerank.ts';
import type { AnsweredBy, ChatCompletion, ChatCompletionChunk, Completion } from './responses.ts';

export type ModelFile = Blob | FileSystemFileHandle;

/** Of requests that do not say otherwise. A budget makes `policy` the form of their cache. */
export type RequestDefaults = Pick<CompletionOptions, 'ranks' | 'kvErrorBudget' | 'kvMemoryBudget'>;

export interface EngineOptions extends RequestDefaults {
  /**
   * A hub id (`owner/repo`, `owner/repo@revision`, `owner/repo:file.gguf`); the URL of a GGUF file, of a split one that
   * of its first part; or the files themselves, also as handles: a GGUF file, all parts of a split one, or safetensors
   * with its `config.json`, `tokenizer.json` and what else belongs to it. A relative URL of one folder and a file
   * without an ending is told from a hub id by `./`. In Node a path too: of a file, or of a folder that holds one model.
   */
  model: string | ModelFile | ModelFile[];
  /**
   * A smaller model of the same tokens, named as `model` is: it drafts the answers of requests with `speculate`, which `model`
   * verifies several tokens at a time, where that is faster than one by one. It takes memory beside `model`, within
   * `memoryLimitBytes`. Refused with `unsupported` where its tokens are others, or layers of either have a state. Default:
   * the draft head of `model`, if it has one.
   */
  draftModel?: string | ModelFile | ModelFile[];
  /** Adapters to load behind the model, by the names that requests give; more can be loaded later. Default: none. */
  adapters?: Readonly<Record<string, AdapterSource>>;
  /**
   * Where hub ids lead to. `token` (of gated repositories) is sent to `endpoint` alone, and never in an error. Default: the
   * Hugging Face hub, without a token.
   */
  hub?: HubOptions;
  /** Tokens of prompt and answer together. Default: what the model was trained for, at most 4,096. */
  contextLength?: number;
  /**
   * What the matrices of a safetensors model become as they are loaded: half floats, 8 or 4 bits a weight, or what is
   * stored. Default: Q8_0, or Q4_1 where that exceeds `memoryLimitBytes`; of encoders F16, or Q8_0. Not for GGUF, whose
   * types are the file's.
   */
  weights?: WeightType;
  /** Which of the machine's GPUs, as in WebGPU's GPURequestAdapterOptions. Default: the fast one (`high-performance`). */
  gpuAdapter?: GpuAdapterOptions;
  /**
   * Times the kernels' variants on this device at the first load of a model, a second or so, and remembers which were
   * fastest. Default: true, but for software adapters, whose variants are known.
   */
  autotune?: boolean;
  /** Refuses a model that needs more GPU memory than this. Default: none is refused but what the device cannot hold. */
  memoryLimitBytes?: number;
  /** Requests that may wait behind those that run; the next is refused with `queue_full`. Default: 16. */
  queueLimit?: number;
  /**
   * Milliseconds for which a streamed answer may go unread: after that it gives up its place to others, and reading on
   * throws `abandoned`. Default: 30,000. 0 or Infinity: for ever.
   */
  readTimeoutMs?: number;
  /**
   * Who answers where the device cannot: without WebGPU, where its kernels do not compile, or with too little memory for the
   * model. Default: nobody; `createEngine` throws.
   */
  fallback?: FallbackOptions;
  /**
   * Asked when the files of the model are known and nothing but its header has been downloaded, or, where all of it is
   * stored, before it goes to the GPU; later of each adapter. False ends that loading with `aborted`. Default: nobody is
   * asked.
   */
  confirmLoad?: ConfirmLoad;
  /** Told how far the loading is; the same as the event `progress`. Default: nobody is told. */
  onProgress?: (progress: LoadProgress) => void;
  /** Ends the loading with `aborted`, whose cause is the signal's reason. Default: none. */
  signal?: AbortSignal;
}

/** For `Engine.reload`: what is left out is as it was, but for `draftModel`, `adapters`, `onProgress` and `signal`, which were the model's before. */
export type ReloadOptions = Omit<EngineOptions, 'model'>;

/** An OpenAI-compatible server. Adapters are its models, as vLLM names them. */
export interface FallbackOptions {
  /** As OpenAI's client takes it: up to `/v1`. */
  baseURL: string;
  /** Sent as a bearer token, and in no error. Default: none. */
  apiKey?: string;
  /** What the server calls the model. Default: the hub id's repository, or the file's name without its ending. */
  model?: string;
  /** Default: the global one. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** Ends the answer with an error that is called `AbortError`: its code is `aborted`, its cause the signal's reason. Default: none. */
  signal?: AbortSignal;
}

export interface MeasureDeviceOptions {
  /** Milliseconds that it may take. Default: 90,000. What would not fit is left out, and the report says so. */
  budgetMs?: number;
  /** Told what is measured. Default: nobody is told. */
  onProgress?: (progress: DeviceProgress) => void;
  /** Ends the measuring with `aborted`. Default: none. */
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
      create(
        request: ChatCompletionRequest & { stream: true },
        options?: CallOptions,
      ): Promise<AsyncIterable<ChatCompletionChunk>>;
      create(request: ChatCompletionRequest & { stream?: false }, options?: CallOptions): Promise<ChatCompletion>;
      create(
        request: ChatCompletionRequest,
        options?: CallOptions,
      ): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
    };
  };
  completions: {
    create(request: CompletionRequest & { stream: true }, options?: CallOptions): Promise<AsyncIterable<Completion>>;
    create(request: CompletionRequest & { stream?: false }, options?: CallOptions): Promise<Completion>;
    create(request: CompletionRequest, options?: CallOptions): Promise<Completion | AsyncIterable<Completion>>;
  };
  embeddings: {
    /**
     * A vector for each text: of an encoder pooled and scaled as the model says; of other models the mean of the text's states
     * after the last norm, scaled to length one. Errors: `bad_request`, `context_overflow` for a text longer than the context.
     */
    create(request: EmbeddingRequest, options?: CallOptions): Promise<EmbeddingResponse>;
  };
  /**
   * Scores documents by how well they answer a query, the best first; of a cross-encoder. Errors: `bad_request`; `unsupported`
   * for another model; `context_overflow` for a document that is with the query longer than the context: nothing is cut.
   */
  rerank(request: RerankRequest, options?: CallOptions): Promise<RerankResponse>;
  decisions: {
    /**
     * Answers typed questions about an input with probabilities: nothing is written, what the model would begin its answer with is
     * read. The input is read once for all questions, but for those with an adapter that is not an activated one. Errors:
     * `bad_request`; `unsupported` for images, or a model whose answers begin with reasoning; `context_overflow`.
     */
    create(request: DecisionRequest, options?: CallOptions): Promise<Decision>;
    /**
     * Fits a temperature to the answers of each type of question, by labelled examples: for `temperature` of a question, or
     * `decision_temperatures` in an adapter's config. Errors: those of `create`.
     */
    calibrate(request: CalibrationRequest, options?: CallOptions): Promise<Calibration>;
  };
  /**
   * As fetch, for OpenAI's clients: serves `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/rerank`,
   * `/v1/decisions`, `/v1/systemone` and `/v1/models`, whatever the origin and the path before. Adapters are models too: naming one as `model` answers with it.
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
  /** What the browser stores: downloaded models and adapters, and saved texts. What is on the GPU comes and goes by itself. */
  cache: {
    list(): Promise<StoredEntry[]>;
    /**
     * By its name, and its kind where a text is called as a model is: without, the text goes. A model in use goes on
     * working until its device is lost. Errors: `bad_request` for an unknown name.
     */
    delete(name: string, kind?: StoredEntry['kind']): Promise<void>;
    /** Bytes of all of them. */
    size(): Promise<number>;
  };
  memory(): Promise<MemoryReport>;
  /**
   * Measures this device: the most it streams and computes, its latencies, and how near to these the loaded model comes, and
   * one of random weights in the shape of a model of 1B, which is made for it and given back (some 1.1 GB). It waits until no
   * request runs; those that come meanwhile wait. Errors: `bad_request`, `queue_full`, `aborted`, `device_lost`.
   */
  measureDevice(options?: MeasureDeviceOptions): Promise<DeviceReport>;
  countTokens(messages: MessageInput[]): Promise<number>;
  /** Calls `fn` at every event until the returned function is called. */
  on<E extends keyof EngineEvents>(event: E, fn: (event: EngineEvents[E]) => void): () => void;
  /**
   * Loads another model in place of this one, which is given up first, with its adapters and what it was answering.
   * Listeners stay. Where it cannot be loaded there is no model, and calls throw `disposed`, until one is. Errors: those of
   * `createEngine`; `aborted` where a later call, or `dispose`, comes before it is loaded.
   */
  reload(model: EngineOptions['model'], options?: ReloadOptions): Promise<void>;
  /** Destroys every buffer; later calls throw `disposed`. */
  dispose(): Promise<void>;
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
