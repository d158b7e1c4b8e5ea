import type * as WebLlm from '@mlc-ai/web-llm';
import type {
  AppConfig,
  ChatOptions,
  CreateEmbeddingResponse,
  EmbeddingCreateParams,
  InitProgressCallback,
  LogLevel,
  MLCEngineConfig,
  MLCEngineInterface,
} from '@mlc-ai/web-llm';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { OwnEngine } from './own-engine.ts';

/** The runtime of a model: this one, with the `model` of `createEngine`, or web-llm for models in MLC's compiled format. */
type ModelKind = { runtime: 'chunkwise'; model: string } | { runtime: 'web-llm' };

/**
 * Finds the runtime of a model without loading web-llm's list: ids of MLC's format contain no slash, or have a record with a
 * compiled `model_lib`. A record whose `model` is a GGUF file stands for that file.
 * @throws ChunkwiseError `unsupported` for several models if one is not in MLC's format.
 */
function modelKind(modelId: string | readonly string[], appConfig: AppConfig | undefined): ModelKind {
  const ids = typeof modelId === 'string' ? [modelId] : modelId;
  const own = ids.map((id) => ownModel(id, appConfig)).filter((model) => model !== undefined);
  const [model] = own;
  if (model === undefined) return { runtime: 'web-llm' };
  if (ids.length === 1) return { runtime: 'chunkwise', model };
  throw new ChunkwiseError('unsupported', { field: 'modelId', reason: `${model} can only be loaded alone` });
}

/** Returns the `model` of `createEngine` for an id; undefined for MLC's format. */
function ownModel(id: string, appConfig: AppConfig | undefined): string | undefined {
  const record = appConfig?.model_list.find(({ model_id }) => model_id === id);
  if (record !== undefined) return isGguf(record.model) ? record.model : undefined;
  return id.includes('/') || isGguf(id) ? id : undefined;
}

const isGguf = (address: string): boolean => /\.gguf([?#].*)?$/.test(address);

/** Vendor as in GPUAdapterInfo; empty if the browser does not tell it. Throws `no_webgpu`. */
async function deviceVendor(): Promise<string> {
  return (await gpuAdapter()).info.vendor;
}

/** Throws `no_webgpu`. */
async function deviceLimits(): Promise<GPUSupportedLimits> {
  return (await gpuAdapter()).limits;
}

async function gpuAdapter(): Promise<GPUAdapter> {
  const gpu = navigator.gpu as GPU | undefined;
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new ChunkwiseError('no_webgpu', { reason: 'this browser has no GPU adapter' });
  return adapter;
}

/**
 * web-llm's `CreateMLCEngine`. `modelId`: a `model` of `createEngine`, or an id of a model in MLC's format from
 * `engineConfig.appConfig` or web-llm's own list.
 * @throws ChunkwiseError as `createEngine` does; `unsupported` for options without a counterpart, and for MLC's format if
 * `@mlc-ai/web-llm` is not installed.
 */
export async function CreateMLCEngine(
  modelId: string | string[],
  engineConfig?: MLCEngineConfig,
  chatOpts?: ChatOptions | ChatOptions[],
): Promise<MLCEngine> {
  const engine = new MLCEngine(engineConfig);
  await engine.reload(modelId, chatOpts);
  return engine;
}

/** web-llm's `MLCEngine`. */
export class MLCEngine implements MLCEngineInterface {
  readonly chat: WebLlm.Chat;
  readonly completions: WebLlm.Completions;
  readonly embeddings: WebLlm.Embeddings;
  #config: MLCEngineConfig;
  #backend: OwnEngine | MLCEngineInterface | undefined;
  #loading = new AbortController();

  constructor(engineConfig: MLCEngineConfig = {}) {
    this.#config = engineConfig;
    // web-llm's classes have private fields, so no other object has their type; TypeScript checks the public members.
    const create: Create = this.chatCompletion.bind(this);
    const chat: { completions: Public<WebLlm.Chat['completions']> } = { completions: { create } };
    const completions: Public<WebLlm.Completions> = {
      create: this.completion.bind(this) as WebLlm.Completions['create'],
    };
    const embeddings: Public<WebLlm.Embeddings> = { create: (request) => this.embedding(request) };
    this.chat = chat as WebLlm.Chat;
    this.completions = completions as WebLlm.Completions;
    this.embeddings = embeddings as WebLlm.Embeddings;
  }

  /** Unloads the current model and loads another. Errors: those of `CreateMLCEngine`; `aborted` if `unload` is called. */
  async reload(modelId: string | string[], chatOpts?: ChatOptions | ChatOptions[]): Promise<void> {
    await this.unload();
    const { signal } = (this.#loading = new AbortController());
    const kind = modelKind(modelId, this.#config.appConfig);
    if (kind.runtime === 'web-llm') {
      const real = this.makeReal(await webLlm(), this.#config);
      this.#backend = real; // set before loading ends, so that `unload` can end it
      return real.reload(modelId, chatOpts);
    }
    if (this.#config.logitProcessorRegistry !== undefined) throw unsupported('logitProcessorRegistry');
    const [options = {}] = Array.isArray(chatOpts) ? chatOpts : [chatOpts];
    this.#backend = await OwnEngine.load(kind.model, options, this.#config.initProgressCallback, signal);
  }

  async unload(): Promise<void> {
    this.#loading.abort();
    const backend = this.#backend;
    this.#backend = undefined;
    await backend?.unload();
  }

  chatCompletion(request: WebLlm.ChatCompletionRequestNonStreaming): Promise<WebLlm.ChatCompletion>;
  chatCompletion(request: WebLlm.ChatCompletionRequestStreaming): Promise<AsyncIterable<WebLlm.ChatCompletionChunk>>;
  chatCompletion(
    request: WebLlm.ChatCompletionRequestBase,
  ): Promise<AsyncIterable<WebLlm.ChatCompletionChunk> | WebLlm.ChatCompletion>;
  async chatCompletion(
    request: WebLlm.ChatCompletionRequestBase,
  ): Promise<AsyncIterable<WebLlm.ChatCompletionChunk> | WebLlm.ChatCompletion> {
    return this.#loaded().chatCompletion(request);
  }

  completion(request: WebLlm.CompletionCreateParamsNonStreaming): Promise<WebLlm.Completion>;
  completion(request: WebLlm.CompletionCreateParamsStreaming): Promise<AsyncIterable<WebLlm.Completion>>;
  completion(request: WebLlm.CompletionCreateParamsBase): Promise<AsyncIterable<WebLlm.Completion> | WebLlm.Completion>;
  async completion(
    request: WebLlm.CompletionCreateParamsBase,
  ): Promise<AsyncIterable<WebLlm.Completion> | WebLlm.Completion> {
    return this.#loaded().completion(request);
  }

  async embedding(request: EmbeddingCreateParams): Promise<CreateEmbeddingResponse> {
    return this.#loaded().embedding(request);
  }

  interruptGenerate(): void {
    this.#backend?.interruptGenerate();
  }

  async resetChat(keepStats?: boolean, modelId?: string): Promise<void> {
    return this.#loaded().resetChat(keepStats, modelId);
  }

  async getMessage(modelId?: string): Promise<string> {
    return this.#loaded().getMessage(modelId);
  }

  async runtimeStatsText(modelId?: string): Promise<string> {
    return this.#loaded().runtimeStatsText(modelId);
  }

  async forwardTokensAndSample(inputIds: number[], isPrefill: boolean, modelId?: string): Promise<number> {
    return this.#real('forwardTokensAndSample').forwardTokensAndSample(inputIds, isPrefill, modelId);
  }

  async listResumableSessions(): Promise<WebLlm.ResumeProbeResult[]> {
    return this.#real('resumable sessions').listResumableSessions();
  }

  async resumeChatCompletion(
    sessionId: string,
    options?: WebLlm.ResumeChatCompletionOptions,
  ): Promise<WebLlm.ResumeResult | AsyncIterable<WebLlm.ChatCompletionChunk>> {
    return this.#real('resumable sessions').resumeChatCompletion(sessionId, options);
  }

  async deleteResumableSession(sessionId: string): Promise<void> {
    return this.#real('resumable sessions').deleteResumableSession(sessionId);
  }

  getMaxStorageBufferBindingSize = async (): Promise<number> => (await deviceLimits()).maxStorageBufferBindingSize;
  getGPUVendor = (): Promise<string> => deviceVendor();

  setInitProgressCallback(initProgressCallback?: InitProgressCallback): void {
    this.#configure({ initProgressCallback });
  }

  getInitProgressCallback(): InitProgressCallback | undefined {
    return this.#config.initProgressCallback;
  }

  setAppConfig(appConfig: AppConfig): void {
    this.#configure({ appConfig });
  }

  /** Only affects web-llm: this runtime logs nothing. */
  setLogLevel(logLevel: LogLevel): void {
    this.#configure({ logLevel });
  }

  /** Makes web-llm's own engine, for models in MLC's format. */
  protected makeReal(webLlm: typeof WebLlm, config: MLCEngineConfig): MLCEngineInterface {
    return new webLlm.MLCEngine(config);
  }

  #configure(config: MLCEngineConfig): void {
    this.#config = { ...this.#config, ...config };
  }

  #loaded(): OwnEngine | MLCEngineInterface {
    if (this.#backend === undefined)
      throw new ChunkwiseError('disposed', { reason: 'no model is loaded: call reload()' });
    return this.#backend;
  }

  /** Returns web-llm's own engine. Throws `unsupported` if this runtime's is loaded. */
  #real(what: string): MLCEngineInterface {
    const backend = this.#loaded();
    return backend instanceof OwnEngine ? refuse(what) : backend;
  }
}

type Create = WebLlm.Chat['completions']['create'];
type Public<T> = Pick<T, keyof T>;

const unsupported = (field: string): ChunkwiseError =>
  new ChunkwiseError('unsupported', { field, reason: 'is for models in MLC format only' });

function refuse(field: string): never {
  throw unsupported(field);
}

/** Loads web-llm, an optional dependency of 2 MB, which only models in its format need. */
export async function webLlm(): Promise<typeof WebLlm> {
  try {
    return await import('@mlc-ai/web-llm');
  } catch (cause) {
    const reason = 'models in MLC format need the package @mlc-ai/web-llm';
    throw new ChunkwiseError('unsupported', { field: 'modelId', reason }, { cause });
  }
}
