/// <reference lib="esnext.disposable" preserve="true" />
/** The engine as an app sees it, and the options of `createEngine`. */
import type { ConfirmLoad, StoredEntry } from '../../workers/protocol.ts';
import type { MemoryReport } from '../gpu/buffers.ts';
import type { AdapterInfo, SavedSize } from '../engine/types.ts';
import type { LoadProgress } from '../session/session-options.ts';
import type { ErrorCode } from '../errors/chunkwise-error.ts';
import type { GpuAdapterOptions } from '../gpu/device.ts';
import type { HubOptions } from '../hub/hub-api.ts';
import type { DeviceReport } from '../measure/device-report.ts';
import type { WeightType } from '../weights/quantize.ts';
import type { AdapterSource } from './adapters.ts';
import type { MessageInput } from './chat/parse-chat.ts';
import type { Calibration, CalibrationRequest, Decision, DecisionRequest } from './decisions/types.ts';
import type { EmbeddingRequest, EmbeddingResponse } from './embeddings.ts';
import type { EngineEvents } from './events.ts';
import type {
  AdapterLibrary,
  FunctionAnswer,
  FunctionInfo,
  FunctionRequest,
  LibraryOptions,
  ResultOf,
} from './functions/types.ts';
import type { MeasureDeviceOptions } from './measure-device.ts';
import type { ChatCompletionRequest, CompletionRequest, RequestDefaults } from './requests.ts';
import type { RerankRequest, RerankResponse } from './rerank.ts';
import type { AnsweredBy, ChatCompletion, ChatCompletionChunk, Completion } from './responses.ts';

export type ModelFile = Blob | FileSystemFileHandle;

export interface EngineOptions extends RequestDefaults {
  /**
   * The model: a hub id (`owner/repo`, `owner/repo@revision`, `owner/repo:file.gguf`); the URL of a GGUF file, or of the
   * first part of a split one; or the files themselves, also as handles: a GGUF file, all parts of a split one, or
   * safetensors with `config.json`, `tokenizer.json` and the model's other files. A relative URL that looks like a hub id
   * must begin with `./`. In Node also a path of a file, or of a folder that holds one model.
   */
  model: string | ModelFile | ModelFile[];
  /**
   * A smaller model with the same tokens, given like `model`. It drafts the answers of requests with `speculate`; `model`
   * verifies several drafted tokens at a time, if that is faster. Both models share `memoryLimitBytes`. Refused with
   * `unsupported` if its tokens differ, or if either model has layers with a recurrent state. Default: the draft head of
   * `model`, if it has one.
   */
  draftModel?: string | ModelFile | ModelFile[];
  /** Adapters to load after the model, by the names that requests use. More can be loaded later. Default: none. */
  adapters?: Readonly<Record<string, AdapterSource>>;
  /**
   * The server of hub ids. `token`, for gated repositories, is sent to `endpoint` only and appears in no error. Default: the
   * Hugging Face hub, without a token.
   */
  hub?: HubOptions;
  /** Maximum number of tokens of prompt and answer together. Default: the model's trained context, at most 4,096. */
  contextLength?: number;
  /**
   * Format of a safetensors model's matrices on the GPU: half floats, 8 or 4 bits a weight, or the stored format. Default:
   * Q8_0, or Q4_1 if Q8_0 exceeds `memoryLimitBytes`; for encoders F16, or Q8_0. Not for GGUF, which has its own types.
   */
  weights?: WeightType;
  /** The machine's GPU to use, as in WebGPU's GPURequestAdapterOptions. Default: the fast one (`high-performance`). */
  gpuAdapter?: GpuAdapterOptions;
  /**
   * Times kernel variants on this device when a model loads for the first time (about a second), and remembers the
   * fastest. Default: true, except on software adapters, whose fastest variants are known.
   */
  autotune?: boolean;
  /**
   * `fast` lets autotuning choose kernels for prompts that round the inputs of matrices to 8 bits, with a scale for each 32,
   * where they are faster. Default: `exact`.
   */
  precision?: 'exact' | 'fast';
  /** Refuses a model that needs more GPU memory than this. Default: only the device's own limits apply. */
  memoryLimitBytes?: number;
  /** Maximum number of waiting requests; the next is refused with `queue_full`. Default: 16. */
  queueLimit?: number;
  /**
   * Milliseconds that a streamed answer may go unread before it loses its sequence slot; reading on then throws
   * `abandoned`. Default: 30,000. 0 or Infinity: no limit.
   */
  readTimeoutMs?: number;
  /**
   * A server that answers if the device cannot: it lacks WebGPU, does not compile the kernels, or has too little memory.
   * Default: none; `createEngine` throws.
   */
  fallback?: FallbackOptions;
  /**
   * Called once the model's files are known: before more than a header is downloaded, or, if everything is stored, before
   * the model goes to the GPU. Called again for each adapter. Returning false ends that loading with `aborted`. Default:
   * loading continues.
   */
  confirmLoad?: ConfirmLoad;
  /** Called with the progress of loading, as is the event `progress`. Default: none. */
  onProgress?: (progress: LoadProgress) => void;
  /** Ends the loading with `aborted`; the error's cause is the signal's reason. Default: none. */
  signal?: AbortSignal;
}

/** Options of `Engine.reload`. Options left out keep their values, except `draftModel`, `adapters`, `onProgress` and `signal`, which belong to one model. */
export type ReloadOptions = Omit<EngineOptions, 'model'>;

/** An OpenAI-compatible server. Adapters are models of the server, as in vLLM. */
export interface FallbackOptions {
  /** The base URL as OpenAI's client takes it: up to `/v1`. */
  baseURL: string;
  /** Sent as a bearer token; appears in no error. Default: none. */
  apiKey?: string;
  /** The server's name of the model. Default: the hub id's repository, or the file's name without its extension. */
  model?: string;
  /** Replaces the global `fetch`. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** Ends the answer with an error named `AbortError`: its code is `aborted`, its cause the signal's reason. Default: none. */
  signal?: AbortSignal;
}

export interface Engine {
  readonly model: string;
  /** Maximum number of tokens of prompt and answer together; 0 if a fallback's server does not tell it. */
  readonly contextLength: number;
  /** The GPU adapter's own description. */
  readonly device: string;
  /** `server`: the fallback answers, and features that need a device throw `unsupported`. */
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
     * Returns a vector for each text. An encoder pools and scales as its model says; other models return the mean of the
     * text's hidden states after the last norm, scaled to length 1. Errors: `bad_request`; `context_overflow` for a text
     * longer than the context.
     */
    create(request: EmbeddingRequest, options?: CallOptions): Promise<EmbeddingResponse>;
  };
  /**
   * Scores documents by how well they answer a query, best first; needs a cross-encoder. Truncates nothing. Errors:
   * `bad_request`; `unsupported` for another model; `context_overflow` if query and document together exceed the context.
   */
  rerank(request: RerankRequest, options?: CallOptions): Promise<RerankResponse>;
  decisions: {
    /**
     * Answers typed questions about an input with probabilities. The model generates nothing: the probabilities of its
     * first tokens are read. The input is computed once for all questions, except those with an adapter that is not an
     * activated one. Errors: `bad_request`; `unsupported` for images, or a model whose answers begin with reasoning;
     * `context_overflow`.
     */
    create(request: DecisionRequest, options?: CallOptions): Promise<Decision>;
    /**
     * Fits a temperature for each type of question to labelled examples. Use it as a question's `temperature`, or as
     * `decision_temperatures` in an adapter's config. Errors: those of `create`.
     */
    calibrate(request: CalibrationRequest, options?: CallOptions): Promise<Calibration>;
  };
  /**
   * A `fetch` for OpenAI's clients. It serves `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/rerank`,
   * `/v1/decisions`, `/v1/systemone` and `/v1/models`, under any origin and path. Adapters are models too: a request whose
   * `model` names one is answered with it.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  adapters: {
    /** Loads an adapter without merging it into the model. Errors: `network`, `bad_file`, `unsupported`, `bad_request`. */
    load(name: string, source: AdapterSource): Promise<AdapterInfo>;
    /** Errors: `bad_request` for an unknown name, or an adapter that a request uses. */
    unload(name: string): Promise<void>;
    list(): Promise<AdapterInfo[]>;
    /**
     * Lists the functions that a library of adapters has for the loaded model: a hub id, the URL of a folder (with
     * `options.files`), or in Node a path. Both layouts of Granite's libraries are read. Downloads no adapter: the first call
     * of a function does. Errors: `bad_request`, `network`, `bad_file`; `unsupported` for a server that lists no files.
     */
    library(source: string, options?: LibraryOptions): Promise<AdapterLibrary>;
  };
  functions: {
    /** The functions of libraries, and of loaded adapters with a function.yaml or io.yaml. */
    list(): Promise<FunctionInfo[]>;
    /**
     * Calls a function, whose adapter is loaded first if it belongs to a library: rewrites the request as the function's file
     * says, holds the answer to its schema, and transforms it. The adapter runs at full rank, at temperature 0 unless the file
     * sets another. Errors: `bad_request`; `bad_file` if the file is wrong, or does not fit the model's answer; `unsupported`
     * for what the file or the model's chat template does not support; `over_limit` if the answer is cut off; those of
     * `adapters.load` and of chats.
     */
    call<N extends string>(
      name: N,
      request: FunctionRequest<N>,
      options?: CallOptions,
    ): Promise<FunctionAnswer<ResultOf<N>>>;
  };
  /**
   * Saves the keys and values of the text that was computed last (prompt and answer of the last request that ended) under
   * `name`, in the origin's private file system. Replaces what `name` held. Waits until no request runs. Returns the text's
   * tokens and the file's bytes. Errors: `bad_request` if nothing is computed, or for the name; `unsupported` if the text
   * follows a recorded plan, tokens of its middle were evicted, or the browser has no such file system; `over_limit` if
   * the storage is full; `queue_full`.
   */
  saveCache(name: string): Promise<SavedSize>;
  /**
   * Loads a saved text into the prefix cache, in this visit or a later one. A request that begins with the same tokens, and
   * has the same adapters (by content), scales, plan options and `kv` options, reuses it:
   * `usage.prompt_tokens_details.cached_tokens` tells how far. The least recently used texts are evicted to make room.
   * Errors, which leave the cache unchanged: `bad_request` for an unknown name; `bad_file`, naming file and field, for a
   * file that is damaged or truncated, of another version (`version`) or of another model (`model`); `context_overflow`;
   * `queue_full`.
   */
  loadCache(name: string): Promise<SavedSize>;
  /** The browser's storage: downloaded models and adapters, and saved texts. */
  cache: {
    list(): Promise<StoredEntry[]>;
    /**
     * Deletes an item by its name. `kind` tells a text from a model of the same name; without it, the text is deleted. A
     * model in use keeps working until its device is lost. Errors: `bad_request` for an unknown name.
     */
    delete(name: string, kind?: StoredEntry['kind']): Promise<void>;
    /** Bytes of all items. */
    size(): Promise<number>;
  };
  memory(): Promise<MemoryReport>;
  /**
   * Measures the device's peak bandwidth, peak compute and latencies, and how close the loaded model comes to them. Also
   * measures a model with random weights in the shape of a 1B model, which takes about 1.1 GB meanwhile. Waits until no
   * request runs; new requests wait until it ends. Errors: `bad_request`, `queue_full`, `aborted`, `device_lost`.
   */
  measureDevice(options?: MeasureDeviceOptions): Promise<DeviceReport>;
  countTokens(messages: MessageInput[]): Promise<number>;
  /** Calls `fn` at every event until the returned function is called. */
  on<E extends keyof EngineEvents>(event: E, fn: (event: EngineEvents[E]) => void): () => void;
  /**
   * Unloads this model with its adapters, ends its requests, and loads another. Listeners stay. If loading fails, calls
   * throw `disposed` until a later `reload` succeeds. Errors: those of `createEngine`; `aborted` if `reload` or `dispose` is
   * called before the model is loaded.
   */
  reload(model: EngineOptions['model'], options?: ReloadOptions): Promise<void>;
  /** Destroys every buffer. Later calls throw `disposed`. */
  dispose(): Promise<void>;
  /** The same as `dispose`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** An engine with one model, or with the server of a fallback. */
export type LoadedEngine = Omit<Engine, 'on' | 'reload' | typeof Symbol.asyncDispose>;

/** `available`: the model runs here and needs no download. `downloadable`: it needs a download, and should then run. */
export type Availability =
  | { status: 'available'; reason: string }
  /** `bytes`: size of the model's files; `missingBytes`: what is still to be downloaded. */
  | { status: 'downloadable'; reason: string; bytes: number; missingBytes: number }
  /** `code`: of the error that `createEngine` would throw. */
  | { status: 'unavailable'; reason: string; code: ErrorCode };
